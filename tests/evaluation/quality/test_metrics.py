import math

import pytest
import torch

from tests.evaluation.stand_ins import Judge, noise
from thermotorch.evaluation.quality.metrics import (
    class_entropy,
    class_histogram,
    class_probabilities,
    features,
    frechet_distance,
    kernel_distance,
    nearest_training_distance,
    recognised_fraction,
)


def normals(n, width, seed):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_moments(mean, covariance, n, seed):
    """n points whose sample mean and (n - 1) covariance are exactly these."""
    points = normals(n, len(mean), seed)
    points = points - points.mean(0)
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(points.T.cov()), points.T, upper=False).T
    return mean + whitened @ torch.linalg.cholesky(covariance).T


def test_features_do_not_depend_on_the_batches():
    judge, images = Judge(), noise(23, 0)
    assert torch.allclose(features(judge, images, batch_size=5), features(judge, images, batch_size=23), atol=1e-6)
    assert features(judge, images).shape == (23, judge.num_features)
    assert not features(judge, images).requires_grad


def test_frechet_distance_of_gaussians_is_the_closed_form():
    """Commuting covariances A diag(a) A', A diag(b) A': |m1 - m2|^2 + sum (sqrt a - sqrt b)^2."""
    rotation = torch.linalg.qr(normals(6, 6, 0)).Q
    a, b = torch.linspace(0.5, 3.0, 6).double(), torch.linspace(4.0, 0.1, 6).double()
    shift = torch.linspace(-1.0, 2.0, 6).double()
    one = with_moments(torch.zeros(6).double(), rotation * a @ rotation.T, 300, 1)
    two = with_moments(shift, rotation * b @ rotation.T, 200, 2)
    exact = shift.square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    assert frechet_distance(one, two)[0] == pytest.approx(exact.item(), rel=1e-9)


def test_frechet_distance_of_gaussians_that_do_not_commute():
    """tr (C1 C2)^(1/2) = tr (C1^(1/2) C2 C1^(1/2))^(1/2), the latter of a symmetric matrix."""
    covariances = [x.T @ x / 10 for x in (normals(10, 4, 3), normals(10, 4, 4))]
    one, two = (with_moments(torch.zeros(4).double(), c, 50, 5 + k) for k, c in enumerate(covariances))
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors * values.sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariances[1] @ root).sqrt().sum()
    exact = covariances[0].trace() + covariances[1].trace() - 2 * cross
    assert frechet_distance(one, two)[0] == pytest.approx(exact.item(), rel=1e-9)


def test_frechet_distance_of_a_set_from_itself_is_zero():
    same = normals(100, 8, 0)
    assert 0.0 <= frechet_distance(same, same)[0] < 1e-9


def test_jackknife_error_of_the_frechet_distance_is_the_spread_over_repetitions():
    reference = normals(4000, 4, 0)
    found = torch.tensor([frechet_distance(0.7 + 1.3 * normals(200, 4, 10 + k), reference) for k in range(60)])
    assert found[:, 1].mean().item() == pytest.approx(found[:, 0].std().item(), rel=0.25)  # 60 repetitions: 9 %


def test_frechet_distance_falls_as_the_sample_count_grows():
    reference = normals(20000, 16, 0)
    small, large = (frechet_distance(normals(n, 16, 1), reference)[0] for n in (50, 5000))
    assert small > 10 * large


def explicit_kernel_distance(x, y):
    def kernel(p, q):
        return (float(p @ q) / len(p) + 1.0) ** 3

    n, m = len(x), len(y)
    xx = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    xy = sum(kernel(p, q) for p in x for q in y) / (n * m)
    return xx + yy - 2 * xy


def test_kernel_distance_is_the_double_sum():
    x, y = normals(15, 3, 0), 0.5 + normals(15, 3, 1)
    mean, deviation, _ = kernel_distance(x, y, subsets=3, subset_size=15, seed=0)
    assert mean == pytest.approx(explicit_kernel_distance(x, y), rel=1e-9)
    assert deviation == pytest.approx(0.0, abs=1e-12)


def test_kernel_distance_of_one_law_is_unbiased():
    found = [kernel_distance(normals(100, 8, k), normals(100, 8, 500 + k), 20, 50, seed=k)[0] for k in range(40)]
    found = torch.tensor(found)
    assert abs(found.mean()) < 3 * found.std() / math.sqrt(len(found))
    assert found.min() < 0 < found.max()


def test_error_of_the_kernel_distance_is_the_spread_over_repetitions():
    reference = normals(4000, 4, 0)
    found = torch.tensor(
        [kernel_distance(0.7 + normals(200, 4, 10 + k), reference, 50, 100, seed=k) for k in range(60)]
    )
    assert found[:, 2].mean().item() == pytest.approx(found[:, 0].std().item(), rel=0.25)  # 60 repetitions: 9 %


def test_kernel_distance_draws_its_subsets_from_its_seed_alone():
    x, y = normals(60, 4, 0), normals(80, 4, 1)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = kernel_distance(x, y, 5, 20, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    assert kernel_distance(x, y, 5, 20, seed=3) == first
    assert kernel_distance(x, y, 5, 20, seed=4) != first


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        (normals(2, 4, 0), normals(9, 4, 0), "expected at least 3 rows each, found 2 and 9"),
        (normals(9, 4, 0), normals(9, 5, 0), r"expected \[n, feature\] of one width, found \[9, 4\] and \[9, 5\]"),
    ],
)
def test_features_that_cannot_be_compared_are_refused(one, two, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(one, two)


def test_a_subset_larger_than_the_sample_is_refused():
    with pytest.raises(ValueError, match="expected at least 20 rows each, found 19 and 30"):
        kernel_distance(normals(19, 2, 0), normals(30, 2, 0), 5, 20, seed=0)


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
