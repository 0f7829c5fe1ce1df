from dataclasses import replace

import pytest
import torch

from tests.evaluation.stand_ins import noise
from thermotorch.evaluation import Protocol
from thermotorch.evaluation.metrics import NEAREST, NOVELTY
from thermotorch.evaluation.quality.image_rows import metric_rows
from thermotorch.evaluation.quality.judged import Judged
from thermotorch.evaluation.quality.novelty import KnownImages, nearest_training_distance

PROTOCOL = Protocol(name="test", num_samples=40, seed=3, kernel_subsets=10, kernel_subset_size=20)
KNOWN = KnownImages(noise(300, 8), noise(200, 9))


def novelty_rows(images, protocol, known, command="", how=""):
    nothing = torch.zeros(len(images), 0)
    return metric_rows(
        Judged(protocol, nothing, nothing, images=images, known=known), (*NEAREST, NOVELTY), "", command, how=how
    )


def by_metric(rows):
    return {row.metric: row for row in rows}


def test_new_images_of_the_same_law_score_one():
    rows = by_metric(novelty_rows(noise(150, 10), PROTOCOL, KNOWN, command="here", how="steps 4"))
    ratio = rows[NOVELTY.name]
    assert abs(ratio.value - 1) < 4 * ratio.stderr
    assert ratio.stderr < 0.02
    assert (ratio.num_samples, ratio.seed, ratio.kind, ratio.command) == (150, 3, "measured", "here")
    assert ratio.note.startswith("150 held-out images are ")
    assert ratio.note.endswith("steps 4")


def test_copies_score_zero_and_half_copies_half():
    copies = by_metric(novelty_rows(KNOWN.training[:40], PROTOCOL, KNOWN))
    assert (copies[NOVELTY.name].value, copies["nearest training image, least"].value) == (0.0, 0.0)
    mixed = torch.cat([KNOWN.training[:75], noise(75, 10)])
    ratio = by_metric(novelty_rows(mixed, PROTOCOL, KNOWN))[NOVELTY.name]
    assert abs(ratio.value - 0.5) < 4 * ratio.stderr


def test_the_ratio_is_that_of_the_mean_distances():
    images = noise(250, 10).square()
    rows = by_metric(novelty_rows(images, PROTOCOL, KNOWN))
    found, floor = (nearest_training_distance(each, KNOWN.training)[0] for each in (images, KNOWN.held_out))
    assert rows[NOVELTY.name].value == pytest.approx((found.mean() / floor.mean()).item())
    assert rows["nearest training image, mean"].value == pytest.approx(found.mean().item())
    assert rows["nearest training image, least"].value == pytest.approx(found.min().item())
    few = [
        by_metric(novelty_rows(images[:20], replace(PROTOCOL, seed=seed), KNOWN))[NOVELTY.name] for seed in (3, 3, 4)
    ]
    assert few[0].value == few[1].value != few[2].value  # other held-out images
    assert "20 held-out images" in few[0].note


def test_without_training_images_the_rows_are_unavailable():
    for row in novelty_rows(noise(40, 3), PROTOCOL, None):
        assert row.kind == "unavailable" and "needs the training images" in row.note


@pytest.mark.parametrize("chunk", [7, 64, 1000])
def test_nearest_training_image(chunk):
    training = noise(100, 0)
    images = torch.cat([training[[42, 3, 99]], noise(5, 1)])
    images[1] += 0.001
    distance, index = nearest_training_distance(images, training, chunk=chunk)
    explicit = (images[:, None] - training[None]).flatten(2).norm(dim=2)
    assert index[:3].tolist() == [42, 3, 99]
    assert torch.equal(index, explicit.argmin(1))
    assert torch.allclose(distance, explicit.amin(1), atol=1e-6)
    assert distance[0] == 0.0  # a copy, exactly
    assert distance[1].item() == pytest.approx(0.001 * 6, rel=1e-3)


def test_training_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected \[n, \[1, 6, 6\]\], found \[4, 1, 8, 8\]"):
        nearest_training_distance(noise(2, 0), torch.zeros(4, 1, 8, 8))
