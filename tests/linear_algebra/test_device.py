"""The ideal device: equipartition, detailed balance, its schemes, its errors, and what it refuses."""

import warnings
from dataclasses import replace

import pytest
import torch

from tests.linear_algebra.matrices import normal, positive
from tests.physics import assert_within
from thermotorch import linear_algebra
from thermotorch.dynamics import OrnsteinUhlenbeck
from thermotorch.linear_algebra.device import Device, Readout, RelaxationWarning, combine
from thermotorch.linear_algebra.solve import second_moment

KINDS = {
    "overdamped": Device(temperature=0.6),
    "inertia": Device(temperature=0.6, inertia=True, friction=0.8),
    "euler": Device(temperature=0.6, dt=1e-3),
}
LONG = Readout(reads=200, interval=2.0, warmup=40.0, replicas=300, blocks=2)


def estimate(device: Device, statistic, readout: Readout = LONG, **arguments):
    return combine(device.average(positive(), statistic, readout, **arguments)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_equipartition(kind):
    """<x_i dV/dx_j> = kT delta_ij, whatever the dynamics, over 600 independent stretches."""
    value, stderr = estimate(KINDS[kind], lambda x: second_moment(x) @ positive())
    bias = 0.6 * 0.5e-3 * 10 if kind == "euler" else 0.0  # 1/2 dt times the largest scaled rate, some 5, doubled
    assert_within(value, 0.6 * torch.eye(5), stderr + bias / 4.5, 4.5)


@pytest.mark.parametrize("kind", KINDS)
def test_detailed_balance(kind):
    """Reads one interval apart: E[x_i(t) x_j(0)] = E[x_j(t) x_i(0)]."""

    def antisymmetric(x):
        x = x.transpose(0, 1)
        later = x[:, 1:].mT @ x[:, :-1] / x.shape[1]
        return later - later.mT

    value, stderr = estimate(KINDS[kind], antisymmetric, replace(LONG, interval=0.5, reads=400))
    assert_within(value, 0.0, stderr + 1e-12, 4.5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_balances_the_force(kind):
    force = normal(5, seed=1)
    value, stderr = estimate(KINDS[kind], lambda x: x.mean(0) @ positive(), force=force)
    assert_within(value, force, stderr, 4.5)


@pytest.mark.parametrize("replicas", [1, 3])
def test_standard_errors_are_right_for_correlated_reads(replicas):
    """Mean square of (value - truth) / stderr over many runs is that of Student's law: 9/7 with 9 degrees."""
    readout = Readout(reads=2000, interval=0.5, warmup=40.0, blocks=10, replicas=300 * replicas)
    force = normal(5, seed=1)
    truth = torch.linalg.solve(positive(), force)
    blocks, _ = Device().average(positive(), lambda x: x.mean(0), readout, force=force)
    runs = [combine(part) for part in blocks.split(replicas, dim=1)]
    squares = torch.stack([((value - truth) / stderr)[0] ** 2 for value, stderr in runs])
    degrees = 10 * replicas - 1
    assert_within(squares.mean(), degrees / (degrees - 2), squares.std() / 300**0.5, 4.5)


def test_replicas_and_their_noise():
    """A replica is a sample: the same alone as beside others, and different from them."""
    readout = Readout(reads=40, replicas=3, blocks=2)
    whole, time = Device().average(positive(), lambda x: x.mean(0), readout, seed=0)
    alone, _ = Device().average(positive(), lambda x: x.mean(0), replace(readout, replicas=1), seed=0, first_sample=2)
    torch.testing.assert_close(whole[:, 2], alone[:, 0])
    assert not torch.allclose(whole[:, 2], whole[:, 1])
    assert time == pytest.approx(3 * 44 / positive().diagonal().mean().item())


def test_the_clock_is_the_mean_diagonal_entry():
    """A tenfold matrix at tenfold kT runs the same path in a tenth of the time."""
    readout = Readout(reads=40, blocks=2)
    blocks, time = Device(1.0).average(positive(), lambda x: x.mean(0), readout, seed=0)
    faster, less = Device(10.0).average(10 * positive(), lambda x: x.mean(0), readout, seed=0)
    torch.testing.assert_close(blocks, faster)
    assert less == pytest.approx(time / 10)


def test_a_run_too_short_for_its_slowest_mode_warns():
    slow = torch.diag(torch.tensor([1.0, 2e-3], dtype=torch.float64))
    with pytest.warns(RelaxationWarning, match="raise reads"):
        combine(Device().average(slow, lambda x: x[..., 1:].square().mean(0), Readout(2000, replicas=16))[0])


@pytest.mark.parametrize("device", [Device(), Device(inertia=True), Device(dt=0.05)])
def test_a_mode_that_does_not_relax_is_noticed(device):
    saddle = torch.diag(torch.tensor([3.0, -0.5], dtype=torch.float64))
    with pytest.raises(FloatingPointError, match="it is indefinite"):
        device.average(saddle, lambda x: x.mean(0), Readout(reads=2000))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Readout(reads=0), "reads: expected at least 1"),
    (lambda: Readout(reads=30), "reads: expected at least two for each of 20 blocks"),
    (lambda: Readout(blocks=1), "their spread gives the standard error"),
    (lambda: Readout(interval=0.0), "interval must be finite and positive"),
    (lambda: Device(temperature=0.0), "temperature must be finite and positive"),
    (lambda: Device(inertia=True, dt=0.1), "dt: expected None"),
    (lambda: Device().average(-torch.eye(2), second_moment, Readout()), "positive mean diagonal entry"),
    (lambda: Device().average(torch.zeros(2, 2), second_moment, Readout()), "positive mean diagonal entry"),
    (lambda: Device().average(torch.ones(2), second_moment, Readout()), "A: expected a square matrix"),
    (lambda: Device().average(torch.ones(2, 3), second_moment, Readout()), "A: expected a square matrix"),
    (lambda: Device().average(torch.ones(0, 0), second_moment, Readout()), "A: expected a square matrix"),
    (lambda: Device().average(torch.eye(2), second_moment, Readout(), first_sample=-1), "first_sample: expected at"),
    (lambda: Device(inertia=True).average(torch.eye(2), second_moment, Readout(), noise=torch.eye(2)), "inertia=False"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


EYE, ONES = torch.eye(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
COSTS = {
    "solve": lambda readout: linear_algebra.solve(EYE, ONES, readout=readout, seed=0),
    "inverse": lambda readout: linear_algebra.inverse(EYE, readout=readout, seed=0),
    "lyapunov": lambda readout: linear_algebra.lyapunov(EYE, EYE, readout=readout, seed=0),
    "expm": lambda readout: linear_algebra.expm(EYE, readout=readout, seed=0),
    "logdet": lambda readout: linear_algebra.logdet_by_integration(EYE, nodes=2, readout=readout, seed=0),
    "regression": lambda readout: linear_algebra.bayesian_linear_regression(
        EYE, ONES, EYE, noise_variance=1.0, prior_precision=1.0, readout=readout, seed=0),
    "process": lambda readout: linear_algebra.gaussian_process(EYE, EYE, ONES, ONES, 0.5, readout=readout, seed=0),
}  # fmt: skip


@pytest.mark.parametrize("name", COSTS)
def test_every_replica_costs_its_reads_and_its_time(name):
    """Replicas are devices side by side: three of them read three times as much, from one load of the matrix."""
    one, three = (COSTS[name](Readout(reads=40, blocks=4, replicas=replicas)) for replicas in (1, 3))
    assert three.reads == 3 * one.reads >= 3 * 40
    assert three.time == pytest.approx(3 * one.time) and one.time > 0
    assert three.loads == one.loads
    runs = 1 if name in ("solve", "inverse", "lyapunov", "expm", "logdet") else 2  # for means and for variances
    assert (three.reads, three.loads) == (120 * runs, 2 if name == "logdet" else 1)
    assert three.time == pytest.approx(132 * runs), (
        "44 units of time for 40 reads and the warm-up, in each of the replicas"
    )


def test_inertia_lasts_as_long_as_friction_lets_it():
    """A cold device of two springs: the damped oscillations of its units, in times of 1 / (mean diagonal entry)."""
    A, x = torch.tensor([[3.0, 0.5], [0.5, 1.0]]).double(), torch.tensor([[1.0, -2.0, 0.3, 0.7]]).double()
    device = Device(temperature=1e-30, inertia=True, friction=0.3)
    force = torch.tensor([0.4, -0.2]).double()
    found = device.process(A, force)(x, 2, 0.7, 0, 0)
    one = torch.eye(2).double()
    drift = torch.cat([torch.cat([0 * one, -one], 1), torch.cat([A / 2, 0.3 * one], 1)])
    rest = torch.cat([torch.linalg.solve(A, force), torch.zeros(2).double()])
    for k in (1, 2):
        expected = rest + torch.linalg.matrix_exp(-0.7 * k * drift) @ (x[0] - rest)
        torch.testing.assert_close(found[k - 1, 0], expected, rtol=0, atol=1e-6)


def test_a_read_out_takes_the_time_of_its_reads_and_of_its_warm_up():
    readout = Readout(reads=400, interval=0.5)
    assert (readout.start_up, readout.duration) == (20.0, 220.0)
    readout = Readout(reads=400, interval=0.5, warmup=3.0)
    assert (readout.start_up, readout.duration) == (3.0, 203.0)
    assert Readout(reads=8, replicas=2, blocks=1, warmup=0.0).duration == 8.0
    assert Readout(reads=40).blocks == 20  # two reads in each block are enough


def test_a_block_in_pieces_has_the_average_of_all_of_its_reads(monkeypatch):
    """Pieces of unequal length, since long blocks are not held at once; without a warm-up the first read is read."""
    A, readout = torch.diag(torch.tensor([1.0, 2.0]).double()), Readout(reads=22, blocks=2, replicas=2, warmup=0.0)
    whole, time = Device().average(A, lambda x: x.mean(0), readout, seed=3, first_sample=5)
    monkeypatch.setattr("thermotorch.linear_algebra.device._READS_AT_ONCE", 4 * 4)
    pieces, _ = Device().average(A, lambda x: x.mean(0), readout, seed=3, first_sample=5)
    torch.testing.assert_close(whole, pieces)
    reads = Device().process(A, first_sample=5)(torch.zeros(2, 2).double(), 22, 1.0, 3, 0)
    torch.testing.assert_close(whole, reads.view(2, 11, 2, 2).mean(1))
    assert time == pytest.approx(2 * 22 / 1.5)


def test_no_piece_of_a_block_is_a_single_read(monkeypatch):
    """A correlation of neighbouring reads would be NaN there."""
    monkeypatch.setattr("thermotorch.linear_algebra.device._READS_AT_ONCE", 1)
    pieces, readout = [], Readout(reads=14, blocks=2)
    blocks, _ = Device().average(EYE, lambda x: pieces.append(len(x)) or torch.ones(1, 2).double(), readout, seed=0)
    assert pieces == [2, 2, 3] * 2
    torch.testing.assert_close(blocks, torch.ones(2, 1, 2).double())
    assert linear_algebra.expm(EYE, readout=readout, seed=0).value.isfinite().all()


@pytest.mark.parametrize(("blocks", "correlation", "warned"), [(8, 0.25, True), (8, 0.1, False), (7, 0.9, False)])
def test_neighbouring_blocks_may_be_correlated_by_a_tenth_and_chance(blocks, correlation, warned):
    """Of 1,000 replicas eight blocks tell a correlation of 0.1 from 0.13, in most of five entries; seven do not."""
    torch.manual_seed(0)
    averages = [torch.randn(1000, 5).double()]
    for _ in range(blocks - 1):
        averages.append(correlation * averages[-1] + (1 - correlation**2) ** 0.5 * torch.randn(1000, 5).double())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        combine(3.0 + 2.0 * torch.stack(averages))
    assert [warning.category for warning in caught] == [RelaxationWarning] * warned
    if warned:
        assert str(caught[0].message).startswith(f"block averages are correlated ({correlation:.1f}"[:-1])


@pytest.mark.parametrize("scale", [-3.0, torch.tensor([2.0, -0.5]).double()])
def test_blocks_are_combined_over_replicas_too(scale):
    torch.manual_seed(0)
    blocks = torch.randn(5, 3, 2).double()
    value, stderr = combine(blocks, scale)
    torch.testing.assert_close(value, scale * blocks.mean((0, 1)))
    spread = (blocks - blocks.mean((0, 1))).square().sum((0, 1)) / 14
    torch.testing.assert_close(stderr, abs(scale) * (spread / 15).sqrt())


@pytest.mark.parametrize(
    ("blocks", "memory", "warns"), [(7, 0.99, False), (8, 0.99, True), (400, 0.4, True), (400, 0.05, False)]
)
def test_neighbouring_blocks_that_agree_are_named(blocks, memory, warns):
    """Of two replicas; with fewer than eight blocks nothing can be said."""
    torch.manual_seed(0)
    values, rows = torch.randn(2, 1).double(), []
    for xi in torch.randn(blocks, 2, 1).double():
        values = memory * values + (1 - memory**2) ** 0.5 * xi
        rows.append(values)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        combine(torch.stack(rows))
    assert [warning.category for warning in caught] == [RelaxationWarning] * warns


@pytest.mark.parametrize(("interval", "steps"), [(0.3, 3), (0.26, 3), (0.01, 1)])
def test_reads_are_the_nearest_whole_number_of_euler_steps_apart(interval, steps):
    """At least one, and all of one length; 0.3 / 0.1 is less than 3 in floating point."""
    A, start = torch.diag(torch.tensor([0.5, 1.5]).double()), torch.ones(3, 2).double()
    found = Device(dt=0.1).process(A)(start, 2, interval, 5, 7)
    law = OrnsteinUhlenbeck(A, D=2 * torch.eye(2).double()).euler_maruyama(interval / steps).power(steps)
    torch.testing.assert_close(found, law.run(start, 2, seed=5, start_step=7))
