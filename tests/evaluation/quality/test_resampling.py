import pytest
import torch

from thermotorch.evaluation.quality.distances import frechet_distance, kernel_distance
from thermotorch.evaluation.quality.resampling import _counts, frechet_replicates, interval, kernel_replicates


def normals(n, width, seed):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def resampled(features, seed):
    """The sets of samples that the counts stand for."""
    counts = _counts(len(features), 3, seed).long()
    return [features.repeat_interleave(row, 0) for row in counts]


def test_frechet_replicates_are_the_distances_of_the_resampled_sets():
    x, y = 0.5 + normals(80, 5, 0), normals(90, 5, 1) * torch.linspace(0.5, 2.0, 5).double()
    expected = [frechet_distance(each, y)[0] for each in resampled(x, 7)]
    assert frechet_replicates(x, y, 3, 7).tolist() == pytest.approx(expected, rel=1e-9)


def test_kernel_replicates_are_the_double_sums_over_the_resampled_sets():
    x, y = 0.5 + normals(30, 3, 0), normals(40, 3, 1)
    expected = []
    for counts in _counts(30, 3, 7).double():
        kernel = (x @ x.T / 3 + 1.0) ** 3
        pairs = [(i, j) for i in range(30) for j in range(30) if i != j]
        within = sum(counts[i] * counts[j] * kernel[i, j] for i, j in pairs) / sum(
            counts[i] * counts[j] for i, j in pairs
        )
        across = sum(counts[i] * ((x[i] @ y.T / 3 + 1.0) ** 3).mean() for i in range(30)) / 30
        expected.append(float(within - 2 * across))
    assert kernel_replicates(x, y, 3, 7).tolist() == pytest.approx(expected, rel=1e-9)


def test_a_resample_has_as_many_samples_as_the_set():
    counts = _counts(50, 20, 0)
    assert counts.sum(1).tolist() == [50.0] * 20
    assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.15)  # binomial of 50 draws


def test_an_interval_is_moved_to_the_value():
    low, high = interval(3.0, torch.linspace(10.0, 20.0, 1001).double())
    assert (low, high) == (pytest.approx(3.0 - 4.75), pytest.approx(3.0 + 4.75))


@pytest.mark.parametrize("distance", ["frechet", "kernel"])
def test_intervals_hold_the_expected_distance_as_often_as_they_say(distance):
    """200 repetitions of 150 samples; the mean over the repetitions stands for the expectation."""
    reference, repetitions = normals(3000, 4, 0), 200
    values, ends = [], []
    for r in range(repetitions):
        x = 0.4 + 1.2 * normals(150, 4, 10 + r)
        if distance == "frechet":
            values.append(frechet_replicates(x, reference, 1, 0).new_tensor(_frechet(x, reference)))
            ends.append(interval(values[-1].item(), frechet_replicates(x, reference, 200, r)))
        else:
            values.append(torch.tensor(kernel_distance(x, reference, 1, 150, seed=0)[0]))
            ends.append(interval(values[-1].item(), kernel_replicates(x, reference, 200, r)))
    mean = torch.stack(values).mean().item()
    held = sum(low <= mean <= high for low, high in ends) / repetitions
    assert 0.89 <= held <= 0.99  # 0.95 by design, 0.015 of chance


def _frechet(x, y):
    """Closed form of the moments, by the eigenvalues of C1 C2."""
    one, two = x.T.cov(), y.T.cov()
    cross = torch.linalg.eigvals(one @ two).real.clamp_min(0).sqrt().sum()
    return float((x.mean(0) - y.mean(0)).square().sum() + one.trace() + two.trace() - 2 * cross)


def test_replicates_spread_as_the_jackknife_says():
    x, reference = 0.7 + normals(200, 4, 1), normals(4000, 4, 0)
    spread = frechet_replicates(x, reference, 400, 0).std().item()
    assert spread == pytest.approx(frechet_distance(x, reference)[1], rel=0.4)  # 20 groups: 16 %


def test_plain_percentiles_of_a_frechet_distance_lie_above_it():
    """60 sets of 150 samples in 32 dimensions: why intervals are moved to the value."""
    reference, values, moved, plain = normals(3000, 32, 0), [], [], []
    for r in range(60):
        x = 0.4 + 1.2 * normals(150, 32, 10 + r)
        replicates = frechet_replicates(x, reference, 100, r)
        values.append(_frechet(x, reference))
        moved.append(interval(values[-1], replicates))
        plain.append(replicates.quantile(torch.tensor([0.025, 0.975]).double()).tolist())
    mean = sum(values) / len(values)
    assert sum(low <= mean <= high for low, high in moved) >= 54
    assert sum(low <= mean for low, _ in plain) <= 6
