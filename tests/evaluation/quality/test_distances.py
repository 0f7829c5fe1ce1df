import math

import pytest
import torch

from thermotorch.evaluation.quality.distances import frechet_distance, kernel_distance


def normals(n, width, seed):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_moments(mean, covariance, n, seed):
    """n points whose sample mean and (n - 1) covariance are exactly these."""
    points = normals(n, len(mean), seed)
    points = points - points.mean(0)
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(points.T.cov()), points.T, upper=False).T
    return mean + whitened @ torch.linalg.cholesky(covariance).T


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


def test_error_of_the_kernel_distance_has_the_scatter_of_few_small_subsets():
    """Of the same samples, other subsets: two of 10 scatter far more than the 400 samples do."""
    x, y = 0.7 + normals(400, 4, 0), normals(400, 4, 1)
    found = torch.tensor([kernel_distance(x, y, 2, 10, seed=k) for k in range(200)])
    by_samples = kernel_distance(x, y, 2, 400, seed=0)[2]
    spread = found[:, 0].std().item()
    assert spread > 3 * by_samples
    error = found[:, 2].square().mean().sqrt().item()
    assert error == pytest.approx((spread**2 + by_samples**2) ** 0.5, rel=0.2)  # 200 repetitions: 7 % each


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
