"""ln det by thermodynamic integration and by Jarzynski's equality, and what switching speed costs."""

import math

import pytest
import torch
from numpy.polynomial.legendre import leggauss

from tests.linear_algebra import exact
from tests.linear_algebra.matrices import positive, unit_diagonal
from tests.physics import assert_within
from thermotorch.linear_algebra.determinant import logdet_by_integration, logdet_by_switching
from thermotorch.linear_algebra.solve import Device, Readout

SIGMAS = 4.5


@pytest.mark.parametrize("units", [1, 5, 12])
def test_integration(units):
    """Within the predicted error, node by node: 2 tr(B Gamma B Gamma) summed over each node's reads."""
    A, readout, nodes = positive(units), Readout(reads=8000, warmup=100.0, blocks=10), 16
    found = logdet_by_integration(A, device=Device(0.3), readout=readout, nodes=nodes)
    coupling = unit_diagonal(A)[0] - torch.eye(units)
    variance = 0.0
    for point, weight in zip(*leggauss(nodes), strict=True):
        loaded = torch.eye(units) + 0.5 * (1 + point) * coupling
        variance += (0.5 * weight) ** 2 * exact.quadratic_variance(loaded, coupling, 1.0, 500, 1.0)
    assert_within(found.value, torch.logdet(A), variance**0.5 + 1e-12, SIGMAS)
    assert_within(found.stderr, variance**0.5, variance**0.5 / 18**0.5 + 1e-12, SIGMAS)
    assert (found.loads, found.reads) == (16, 8000)


@pytest.mark.parametrize("device", [Device(0.3), Device(0.3, inertia=True), Device(0.3, dt=0.01)])
@pytest.mark.parametrize("duration", [0.5, 10.0])
def test_jarzynski_is_exact_at_any_speed(duration, device):
    """exp(-W/kT) averages to the ratio of partition functions.

    Euler-Maruyama's first-order error of the covariance, dt/2, drops out: tr(A - 1) = 0 at unit diagonal.
    """
    A = positive()
    found = logdet_by_switching(A, device=device, duration=duration)
    assert_within(found.value, torch.logdet(A), found.stderr, SIGMAS)
    assert found.dissipated > 0


def test_the_standard_error_of_switching_is_its_spread():
    squares = []
    for seed in range(100):
        found = logdet_by_switching(positive(), replicas=300, stages=4, duration=4.0, seed=seed)
        squares.append((((found.value - torch.logdet(positive())) / found.stderr) ** 2).item())
    squares = torch.tensor(squares)
    assert_within(squares.mean(), 1.0, squares.std() / 10, SIGMAS)


def test_slower_switching_dissipates_less():
    """As 1/duration, up to relative corrections of a few relaxations (3) over the duration; and a jump does no work.

    The mean work of a jump is <x.(A - 1) x> / 2 over uncoupled units, zero at unit diagonal.
    """
    fast, slow = (logdet_by_switching(positive(), duration=t, stages=128, replicas=4000) for t in (20.0, 80.0))
    error = (fast.work.std() + 4 * slow.work.std()) / 4000**0.5
    assert abs(fast.dissipated - 4 * slow.dissipated) < SIGMAS * error + 3 / 20 * fast.dissipated
    assert (slow.reads, slow.loads) == (4000 * 128, 128)
    assert slow.time == pytest.approx(4000 * (20 + 80 * 127 / 128)), "rest, and all stages but the last one"
    jump = logdet_by_switching(positive(), stages=1, replicas=4000)
    assert jump.time == pytest.approx(4000 * 20) and jump.loads == 1
    assert_within(jump.work.mean(), 0.0, jump.work.std() / 4000**0.5, SIGMAS)


def test_large_matrices_do_not_overflow():
    """det of 200 units of 1e3 would be 1e600."""
    A = 1e3 * torch.eye(200, dtype=torch.float64)
    found = logdet_by_switching(A, replicas=10, stages=2)
    assert found.value.item() == pytest.approx(200 * math.log(1e3))
    strong = 0.1 * torch.eye(400, dtype=torch.float64) + 0.9  # works from -200 to 900 kT
    found = logdet_by_switching(strong, replicas=200, stages=1, seed=0)
    assert found.work.max() - found.work.min() > 800
    assert found.value.isfinite() and found.stderr.isfinite() and math.isfinite(found.dissipated)


def test_works_far_apart_do_not_overflow():
    """One jump of 200 units does works of -100 to 300 kT, whose exponentials float32 does not hold."""
    A = 0.5 * (torch.ones(200, 200) + torch.eye(200))
    found = logdet_by_switching(A, replicas=100, stages=1, check=False, seed=0)
    assert found.work.max() - found.work.min() > 100 and torch.isfinite(found.value) and torch.isfinite(found.stderr)
    assert found.dissipated > 0


@pytest.mark.parametrize("function", [logdet_by_integration, logdet_by_switching])
def test_bad_matrices_are_refused_by_name(function):
    for matrix, message in ((torch.ones(3, 3), "singular"), (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "indefinite"),
                            (torch.tensor([[1.0, 2.0], [0.0, 1.0]]), "asymmetric")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            function(matrix)
    with pytest.raises(ValueError, match="replicas: expected at least 2"):
        logdet_by_switching(torch.eye(2), replicas=1)


def test_no_two_nodes_of_the_integration_share_noise(monkeypatch):
    seen, average = [], Device.average

    def spy(self, A, statistic, readout, *, first_sample=0, **options):
        seen.append(range(first_sample, first_sample + readout.replicas))
        return average(self, A, statistic, readout, first_sample=first_sample, **options)

    monkeypatch.setattr(Device, "average", spy)
    logdet_by_integration(positive(), readout=Readout(reads=400, replicas=3, blocks=5), nodes=4)
    assert len({number for numbers in seen for number in numbers}) == 4 * 3


def test_the_bias_of_the_logarithm_is_taken_off():
    """As the jackknife takes it off, which knows nothing of its formula, up to second order in 1 / replicas."""
    found = logdet_by_switching(positive(), replicas=200, stages=4, duration=2.0, seed=0)

    def naive(work):
        return -2 * torch.logsumexp(-work, 0) + 2 * math.log(len(work))

    others = torch.stack([naive(torch.cat([found.work[:k], found.work[k + 1 :]])) for k in range(200)])
    bias = 199 * (others.mean() - naive(found.work))
    scale = unit_diagonal(positive())[1]
    unbiased = naive(found.work) - bias - 2 * scale.log().sum()
    assert bias > 10 * abs(found.value - unbiased)
    free_energy = (found.value + 2 * scale.log().sum()) / 2
    assert found.dissipated == pytest.approx((found.work.mean() - free_energy).item())
