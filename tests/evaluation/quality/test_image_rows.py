from dataclasses import replace

import pytest
import torch

from tests.evaluation.stand_ins import CLASSES, feature_space, noise
from thermotorch.evaluation import Protocol
from thermotorch.evaluation.quality.distances import frechet_distance
from thermotorch.evaluation.quality.image_rows import quality_rows, real_rows
from thermotorch.evaluation.quality.neighbours import neighbours
from thermotorch.evaluation.quality.novelty import KnownImages, nearest_training_distance

PROTOCOL = Protocol(name="test", num_samples=40, seed=3, kernel_subsets=10, kernel_subset_size=20)
DISTANCE = "Frechet distance (thermotorch-test-v1)"


def by_metric(rows):
    return {row.metric: row for row in rows}


def test_rows_are_about_the_images_given():
    space, images, known = feature_space(), noise(40, 3), KnownImages(noise(70, 8), noise(70, 9))
    rows, counts = quality_rows(images, PROTOCOL, space, known, command="here", how="steps 4")
    rows = by_metric(rows)
    expected, stderr = frechet_distance(space.net.features(images).detach(), space.reference)
    assert (rows[DISTANCE].value, rows[DISTANCE].stderr) == (pytest.approx(expected), pytest.approx(stderr))
    row = rows[DISTANCE]
    assert row.low < row.value < row.high
    assert (row.high - row.low) / 4 == pytest.approx(row.stderr, rel=0.5)
    kernel = rows["kernel distance (thermotorch-test-v1)"]
    assert kernel.low < kernel.value < kernel.high
    near = neighbours(space.net.features(images).detach(), space.reference, PROTOCOL.neighbours)
    for metric in ("precision", "recall", "density", "coverage"):
        assert rows[f"{metric} (thermotorch-test-v1)"].value == pytest.approx(getattr(near, metric))
    distance, _ = nearest_training_distance(images, known.training)
    assert rows["nearest training image, mean"].value == pytest.approx(distance.mean().item())
    assert sum(counts) == 40
    for row in rows.values():
        assert (row.num_samples, row.seed, row.kind, row.command) == (40, 3, "measured", "here")
        assert "steps 4" in row.note


def test_samples_that_were_asked_for_a_class_are_scored_by_it():
    space, images = feature_space(), noise(40, 3)
    seen = space.net(images).argmax(1)
    labels = torch.where(torch.arange(40) < 10, (seen + 1) % CLASSES, seen)
    rows = by_metric(quality_rows(images, PROTOCOL, space, how="steps 4", labels=labels)[0])
    accuracy = rows["class-conditional accuracy"]
    assert (accuracy.value, accuracy.stderr) == (0.75, pytest.approx((0.75 * 0.25 / 40) ** 0.5))
    assert accuracy.note.endswith("steps 4")
    assert "class-conditional accuracy" not in by_metric(quality_rows(images, PROTOCOL, space)[0])


def test_real_images_score_what_samples_of_the_same_law_do():
    protocol, space = replace(PROTOCOL, num_samples=100), feature_space(2000)
    real = by_metric(real_rows(protocol, space))[DISTANCE]
    assert real.num_samples == 100 and real.note.startswith("100 real images against the other 1,900, ")
    same = by_metric(quality_rows(noise(100, 5), protocol, space)[0])[DISTANCE]
    assert abs(real.value - same.value) < 4 * (real.stderr**2 + same.stderr**2) ** 0.5
    other = by_metric(quality_rows(noise(100, 5).square(), protocol, space)[0])[DISTANCE]
    assert other.value > 5 * real.value


def test_a_reference_too_small_to_be_split_has_no_floor():
    assert len(real_rows(replace(PROTOCOL, num_samples=100), feature_space(200))) == 6
    assert real_rows(replace(PROTOCOL, num_samples=101), feature_space(200)) == []
