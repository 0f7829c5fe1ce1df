import pytest
import torch

from tests.evaluation.stand_ins import feature_space, noise
from thermotorch.evaluation.quality.curve import device_curve, digital_point
from thermotorch.evaluation.quality.distances import frechet_distance
from thermotorch.zoo.rows import Row


def test_a_digital_model_is_one_point():
    point = digital_point(
        20, Row("Frechet", 1.5, "", 9, 0, "measured", 0.2), Row("recognised", 0.9, "", 9, 0, "measured")
    )
    assert (point.axis, point.x, point.frechet, point.frechet_stderr, point.recognised) == (
        "network evaluations", 20, 1.5, 0.2, 0.9,
    )  # fmt: skip
    bare = digital_point(3, Row("F", 1.5, "", 9, 0, "measured"), Row("recognised", 0.9, "", 9, 0, "measured"))
    assert (bare.x, bare.frechet_stderr) == (3, 0.0), "a distance without an error has a bar of no length"


def test_no_frames_are_no_curve():
    assert device_curve([], None, feature_space()) == ()


def test_a_device_is_judged_at_every_time_it_was_read():
    space, frames = feature_space(), torch.stack([noise(30, seed) ** (seed + 1) for seed in range(3)])
    points = device_curve([0.5, 1.0, 2.0], frames, space)
    assert [(point.axis, point.x) for point in points] == [("observation time", time) for time in (0.5, 1.0, 2.0)]
    for point, images in zip(points, frames, strict=True):
        distance, error = frechet_distance(space.net.features(images).detach(), space.reference)
        assert (point.frechet, point.frechet_stderr) == (pytest.approx(distance), pytest.approx(error))
        confident = space.net(images).softmax(-1).amax(-1) >= 0.9
        assert point.recognised == confident.double().mean().item()


def test_times_and_frames_belong_together():
    with pytest.raises(ValueError, match="shorter"):
        device_curve([0.5, 1.0], noise(30, 0)[None], feature_space())
