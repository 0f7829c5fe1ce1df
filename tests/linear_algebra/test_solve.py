"""Every algorithm against torch.linalg, within the error that theory predicts for its read-out."""

import pytest
import torch
from torch import Tensor

from tests.linear_algebra import exact
from tests.linear_algebra.matrices import normal, positive, unit_diagonal
from tests.physics import assert_within
from thermotorch import linear_algebra
from thermotorch.dynamics.linear.ornstein_uhlenbeck import OrnsteinUhlenbeck
from thermotorch.linear_algebra import sampling_error
from thermotorch.linear_algebra.solve import Device, Readout, expm, inverse, lyapunov, solve

SIGMAS = 4.5
READOUT = Readout(reads=4000, warmup=200.0)


def law(A: Tensor, D: Tensor, interval: float) -> tuple[Tensor, Tensor]:
    """Return F over an interval and S."""
    ou = OrnsteinUhlenbeck(A, D=D)
    return ou.transition(interval).decay, ou.stationary()[1]


def as_loaded(A: Tensor, precondition: str | None) -> tuple[Tensor, Tensor, float]:
    loaded, scale = unit_diagonal(A) if precondition else (A, torch.ones(len(A)).double())
    return loaded, scale, READOUT.interval / loaded.diagonal().mean().item()


@pytest.mark.parametrize("precondition", ["diagonal", None])
@pytest.mark.parametrize("units", [1, 5, 12])
def test_solve(units, precondition):
    A, b, kT = positive(units), normal(units, seed=1), 0.3
    found = solve(A, b, device=Device(kT), readout=READOUT, precondition=precondition)
    loaded, scale, interval = as_loaded(A, precondition)
    decay, covariance = law(loaded, 2 * kT * torch.eye(units), interval)
    predicted = exact.mean_covariance(decay, covariance, READOUT.reads).diagonal().sqrt() * scale
    assert_within(found.value, torch.linalg.solve(A, b), predicted, SIGMAS)
    assert_within(found.stderr, predicted, predicted / 38**0.5, SIGMAS)
    assert (found.reads, found.loads) == (4000, 1)
    assert found.time == pytest.approx(4200 * interval)


@pytest.mark.parametrize("precondition", ["diagonal", None])
@pytest.mark.parametrize("units", [1, 5, 12])
def test_inverse(units, precondition):
    A = positive(units)
    found = inverse(A, device=Device(0.3), readout=READOUT, precondition=precondition)
    loaded, scale, interval = as_loaded(A, precondition)
    decay, covariance = law(loaded, 2 * torch.eye(units), interval)
    predicted = exact.covariance_variance(decay, covariance, READOUT.reads).sqrt() * torch.outer(scale, scale)
    assert_within(found.value, torch.linalg.inv(A), predicted, SIGMAS)
    assert_within(found.stderr, predicted, predicted / 38**0.5, SIGMAS)
    torch.testing.assert_close(found.value, found.value.T)


@pytest.mark.parametrize("device", [Device(0.3), Device(0.3, inertia=True), Device(0.3, dt=0.01)])
def test_every_device_solves_and_inverts(device):
    """Euler-Maruyama leaves the mean alone and inflates the variance of the mode of rate a by 2 / (2 - a dt)."""
    A, b = positive(), normal(5, seed=1)
    readout = Readout(reads=400, interval=4.0, warmup=100.0, replicas=40, blocks=2)
    found = solve(A, b, device=device, readout=readout)
    assert_within(found.value, torch.linalg.solve(A, b), found.stderr, SIGMAS)
    found = inverse(A, device=device, readout=readout)
    loaded, scale = unit_diagonal(A)
    values, vectors = torch.linalg.eigh(loaded)
    expected = vectors @ torch.diag(2 / (values * (2 - values * (device.dt or 0.0)))) @ vectors.T
    assert_within(found.value, expected * torch.outer(scale, scale), found.stderr, SIGMAS)


def test_lyapunov():
    A, Q = normal(5, 5) + 4 * torch.eye(5), positive(seed=3)
    found = lyapunov(A, Q, device=Device(0.3), readout=READOUT)
    decay, truth = law(A, Q, READOUT.interval / A.diagonal().mean().item())
    predicted = exact.covariance_variance(decay, truth, READOUT.reads).sqrt()
    torch.testing.assert_close(A @ truth + truth @ A.T, Q)
    assert_within(found.value, truth, predicted, SIGMAS)
    assert_within(found.stderr, predicted, predicted / 38**0.5, SIGMAS)


def test_noise_may_act_in_one_direction():
    """A singular Q, whose least eigenvalue is a rounding on either side of zero."""
    A, v = torch.eye(3, dtype=torch.float64) + 0.2 * normal(3, 3), normal(3)
    found = lyapunov(A, torch.outer(v, v), readout=READOUT)
    _, truth = law(A, torch.outer(v, v), 1.0)
    assert_within(found.value, truth, found.stderr, SIGMAS)


EXPONENTS = {"general": 0.4 * normal(4, 4), "negative": -positive(4), "zero": torch.zeros(3, 3, dtype=torch.float64)}


@pytest.mark.parametrize("A", EXPONENTS.values(), ids=EXPONENTS)
def test_expm(A):
    found = expm(A, device=Device(0.3), readout=READOUT)
    part = 0.5 * (A + A.T)
    shift = (part.diagonal() + part.abs().sum(-1) - part.diagonal().abs()).max().item() + 0.5
    drift = shift * torch.eye(len(A)) - A
    decay, covariance = law(drift, drift + drift.T, 1.0)
    torch.testing.assert_close(covariance, torch.eye(len(A)).double())
    reads = READOUT.reads - READOUT.blocks  # a pair is lost at the end of each block
    predicted = exact.covariance_variance(decay, covariance, reads, lag=1).sqrt() * torch.e**shift
    assert_within(found.value, torch.linalg.matrix_exp(A), predicted, SIGMAS)
    assert_within(found.stderr, predicted, predicted / 38**0.5, SIGMAS)


def test_the_error_falls_as_the_root_of_the_reads():
    """Relative Frobenius error of an inverse, over 40 seeds each: the predicted one at both lengths."""
    A = positive()
    loaded, _ = unit_diagonal(A)
    truth = torch.linalg.inv(loaded)
    for reads in (200, 1800):
        readout = Readout(reads=reads, warmup=100.0)
        squares = torch.stack([
            ((inverse(loaded, readout=readout, seed=seed, check=False).value - truth).norm() / truth.norm()) ** 2
            for seed in range(40)
        ])  # fmt: skip
        predicted = sampling_error.inverse_error(torch.linalg.eigvalsh(loaded), reads, 1.0) ** 2
        assert_within(squares.mean(), predicted, squares.std() / 40**0.5, SIGMAS)


def test_the_device_never_sees_the_digital_answer(monkeypatch):
    """By Euler-Maruyama and without the check nothing is inverted, factorised by eigenvalues, or solved."""
    A, b = positive(), normal(5, seed=1)
    truth, inverted = torch.linalg.solve(A, b), torch.linalg.inv(A)
    device, readout = Device(0.3, dt=0.02), Readout(reads=400, interval=4.0, warmup=100.0, replicas=20, blocks=2)
    for name in ("solve", "inv", "eig", "eigh", "pinv", "lstsq", "lu_factor", "cholesky", "matrix_exp", "svd"):
        monkeypatch.setattr(torch.linalg, name, lambda *_, **__: pytest.fail("a digital solver was called"))
    found = solve(A, b, device=device, readout=readout, check=False)
    assert_within(found.value, truth, found.stderr, SIGMAS)
    found = inverse(A, device=device, readout=readout, check=False)
    assert_within(found.value, inverted, found.stderr + 0.02 * inverted.abs() / SIGMAS, SIGMAS)


def test_the_diagonal_is_preconditioned():
    """A diagonal that spans six decades: solved as if it were even; refused without the scaling."""
    stretch = torch.logspace(-1.5, 1.5, 5, dtype=torch.float64)
    A = stretch[:, None] * unit_diagonal(positive())[0] * stretch
    found = inverse(A, readout=READOUT)
    assert_within(found.value, torch.linalg.inv(A), found.stderr, SIGMAS)
    with pytest.raises(ValueError, match="ill-conditioned for this read-out: condition number .*reads="):
        inverse(A, readout=READOUT, precondition=None)


def test_the_reads_asked_for_are_enough():
    """The message about an ill-conditioned matrix names a read-out that is then accepted, and right."""
    A = torch.tensor([[1.0, 0.995], [0.995, 1.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="ill-conditioned") as error:
        solve(A, torch.ones(2).double(), readout=Readout(reads=2000))
    reads = int(str(error.value).split("reads=")[1].split(")")[0])
    found = solve(A, torch.ones(2).double(), readout=Readout(reads=reads))
    assert_within(found.value, torch.linalg.solve(A, torch.ones(2).double()), found.stderr, SIGMAS)


SINGULAR = torch.ones(3, 3, dtype=torch.float64)
INDEFINITE = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
ASYMMETRIC = torch.tensor([[1.0, 0.5], [0.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: inverse(SINGULAR), "A is singular: .*add a ridge"),
    (lambda: inverse(INDEFINITE), "A is indefinite: it has an eigenvalue of -1"),
    (lambda: inverse(-torch.eye(2)), "A is indefinite: entry 0 of its diagonal is -1"),
    (lambda: inverse(torch.diag(torch.tensor([1.0, 0.0]))), "A is indefinite: entry 1 of its diagonal is 0"),
    (lambda: inverse(ASYMMETRIC), r"A is asymmetric: .* up to 0.5.*A.T @ A"),
    (lambda: solve(torch.ones(2, 3), torch.ones(2)), "A: expected a square matrix"),
    (lambda: solve(torch.eye(2), torch.ones(3)), r"b: expected shape \(2,\)"),
    (lambda: solve(torch.full((2, 2), torch.nan), torch.ones(2)), "must be finite"),
    (lambda: solve(torch.eye(2), torch.ones(2), precondition="jacobi"), "precondition: expected 'diagonal' or None"),
    (lambda: lyapunov(-ASYMMETRIC, torch.eye(2).double()), "A does not relax: it has an eigenvalue of -1"),
    (lambda: lyapunov(ASYMMETRIC, INDEFINITE), "Q is indefinite"),
    (lambda: lyapunov(ASYMMETRIC, ASYMMETRIC), "Q is asymmetric"),
    (lambda: expm(torch.ones(2, 3)), "A: expected a square matrix"),
])  # fmt: skip
def test_bad_matrices_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_table_of_the_module_names_what_exists():
    assert set(linear_algebra.__all__) >= {"solve", "inverse", "lyapunov", "expm", "Device", "Readout"}
