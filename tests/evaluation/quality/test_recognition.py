import math

import pytest
import torch

from tests.evaluation.stand_ins import Judge, noise
from thermotorch.evaluation.quality.recognition import (
    class_entropy,
    class_histogram,
    class_probabilities,
    features,
    recognised_fraction,
)


def test_features_do_not_depend_on_the_batches():
    judge, images = Judge(), noise(23, 0)
    assert torch.allclose(features(judge, images, batch_size=5), features(judge, images, batch_size=23), atol=1e-6)
    assert features(judge, images).shape == (23, judge.num_features)
    assert not features(judge, images).requires_grad


def test_recognised_fraction_counts_confident_images():
    probabilities = torch.tensor([[0.95, 0.05], [0.5, 0.5], [0.1, 0.9], [0.2, 0.8]], dtype=torch.float64)
    fraction, stderr = recognised_fraction(probabilities)
    assert fraction == 0.5
    assert stderr == pytest.approx(math.sqrt(0.5 * 0.5 / 4))
    assert recognised_fraction(probabilities, threshold=0.75)[0] == 0.75


def test_class_probabilities_and_histogram():
    judge, images = Judge(), noise(50, 0)
    probabilities = class_probabilities(judge, images, batch_size=7)
    assert torch.allclose(probabilities.sum(1), torch.ones(50))
    classes = judge(images).argmax(1)
    expected = [int((classes == k).sum()) for k in range(4)]
    assert class_histogram(probabilities).tolist() == expected and sum(expected) == 50


@pytest.mark.parametrize(
    ("histogram", "entropy"),
    [([7] * 10, math.log(10)), ([0, 5, 0], 0.0), ([1, 3], 2 * math.log(2) - 0.75 * math.log(3))],
)
def test_class_entropy(histogram, entropy):
    found = class_entropy(torch.tensor(histogram))
    assert found == pytest.approx(entropy, abs=1e-12)
    assert math.copysign(1.0, found) == 1.0
