"""The Ornstein-Uhlenbeck process against its integrals, its joint Gaussian, sampled moments and thermox."""

from math import log, log2, pi

import pytest
import torch
from scipy.integrate import quad_vec
from scipy.linalg import expm
from torch import Tensor

from tests.physics import assert_mean, assert_within
from thermotorch.dynamics.linear.ornstein_uhlenbeck import OrnsteinUhlenbeck

float64 = torch.float64


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=float64, generator=torch.Generator().manual_seed(seed))


def positive(n: int, seed: int = 0) -> Tensor:
    root = random(n, n, seed=seed)
    return root @ root.T / n + 0.3 * torch.eye(n)


SYSTEMS = {
    "symmetric, identity": (positive(3), torch.eye(3, dtype=float64)),
    "detailed balance, full diffusion": (positive(3) @ torch.linalg.inv(positive(3, seed=1)), positive(3, seed=1)),
    "general drift, full diffusion": (random(3, 3) + 2.5 * torch.eye(3), positive(3, seed=2)),
    "complex pairs, singular diffusion": (torch.tensor([[0.1, 2.0, 0], [-2.0, 0.1, 0.3], [0, 0, 1.0]], dtype=float64),
                                          torch.diag(torch.tensor([1.0, 0.0, 0.5], dtype=float64))),
    "defective": (torch.tensor([[0.0, -1.0], [1.0, 2.0]], dtype=float64),
                  torch.diag(torch.tensor([0.0, 3.0], dtype=float64))),
    "nearly detailed balance": (positive(3) + 1e-5 * random(3, 3, seed=5), torch.eye(3, dtype=float64)),
    "a mode that does not decay": (torch.diag(torch.tensor([0.0, 1.0], dtype=float64)), torch.eye(2, dtype=float64)),
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", SYSTEMS)
STABLE = pytest.mark.parametrize("name", [name for name in SYSTEMS if "not decay" not in name])


def process(name: str, **changed) -> OrnsteinUhlenbeck:
    A, D = SYSTEMS[name]
    return OrnsteinUhlenbeck(A, **{"D": D, "force": random(len(A), seed=3), **changed})


@EVERY
@pytest.mark.parametrize("grad", [False, True])
def test_a_stride_is_the_matrix_exponential_and_its_integrals(name, grad):
    A, D = SYSTEMS[name]
    force = random(len(A), seed=3)
    ou = OrnsteinUhlenbeck(A.clone().requires_grad_(grad), D=D, force=force)
    law = ou.transition(torch.tensor([0.3, 5.0], dtype=float64))
    for k, h in enumerate((0.3, 5.0)):

        def decay(u: float):
            return expm(-A.numpy() * u)

        expected = [
            decay(h),
            quad_vec(lambda u: decay(u) @ force.numpy(), 0, h, epsabs=1e-13)[0],
            quad_vec(lambda u: decay(u) @ D.numpy() @ decay(u).T, 0, h, epsabs=1e-13)[0],
        ]
        for found, truth in zip((law.decay[k], law.shift[k], law.covariance[k]), expected, strict=True):
            torch.testing.assert_close(found.detach(), torch.as_tensor(truth), rtol=1e-9, atol=1e-10)


@EVERY
def test_two_strides_are_one_of_twice_the_length(name):
    once, twice = process(name).transition(0.7).power(2), process(name).transition(1.4)
    for field in ("decay", "shift", "covariance"):
        torch.testing.assert_close(getattr(once, field), getattr(twice, field), rtol=1e-9, atol=1e-11)


@STABLE
@pytest.mark.parametrize("grad", [False, True])
def test_the_stationary_law_solves_the_lyapunov_equation(name, grad):
    A, D = SYSTEMS[name]
    ou = process(name) if not grad else OrnsteinUhlenbeck(A.clone().requires_grad_(), D=D, force=random(len(A), seed=3))
    mean, covariance = (tensor.detach() for tensor in ou.stationary())
    torch.testing.assert_close(A @ covariance + covariance @ A.T, D, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(A @ mean, random(len(A), seed=3), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ou.transition(60.0).covariance.detach(), covariance, rtol=0, atol=0.05)


@pytest.mark.parametrize("name", list(SYSTEMS)[:3])
def test_detailed_balance_is_a_symmetric_correlation(name):
    """E[x(t) x(0)^T] is symmetric exactly when the process runs alike in both directions of time."""
    correlation = process(name).autocovariance(0.5)
    asymmetry = (correlation - correlation.T).abs().max().item()
    assert asymmetry > 0.01 if "general" in name else asymmetry < 1e-12


@EVERY
def test_sampled_moments(name):
    """20,000 independent paths over three unequal strides, against the composed law: mean and every covariance."""
    count, start = 20_000, random(len(SYSTEMS[name][0]), seed=4)
    ou, ts = process(name), torch.tensor([0.0, 0.2, 1.0, 1.3], dtype=float64)
    end = ou.sample(ts, start.expand(count, -1), seed=0)[-1]
    law = ou.transition(1.3)
    spread = law.covariance.diagonal()
    assert_within(end.mean(0), law.mean(start), (spread / count).sqrt() + 1e-12, 4.5)
    centred = end - law.mean(start)
    error = ((law.covariance**2 + torch.outer(spread, spread)) / count).sqrt() + 1e-12  # Wick
    assert_within(centred.T @ centred / count, law.covariance, error, 4.5)


@STABLE
@pytest.mark.parametrize("strides", ["even", "uneven"])
def test_scan_and_plain_loop_give_one_path(name, strides):
    """The parallel scan over modes, and matrices one stride at a time, which a start that wants a gradient asks for."""
    ts = torch.linspace(0, 60, 601, dtype=float64)
    ts = ts if strides == "even" else ts + 0.04 * torch.rand(601, generator=torch.Generator().manual_seed(0)).double()
    start = random(2, len(SYSTEMS[name][0]))
    fast = process(name).sample(ts, start, seed=5)
    plain = process(name).sample(ts, start.requires_grad_(), seed=5)
    torch.testing.assert_close(fast, plain.detach(), rtol=1e-8, atol=1e-8)


def test_times_that_differ_by_rounding_are_one_stride():
    ou = process("general drift, full diffusion")
    assert len(ou._strides(torch.arange(10_001, dtype=float64) * 0.1)[0]) == 1
    assert len(ou._strides(torch.tensor([0.0, 0.1, 0.2, 0.4, 0.6]))[0]) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sample_depends_on_its_own_number_only(dtype):
    ou, ts = process("general drift, full diffusion"), torch.arange(300, dtype=float64) * 0.1
    start = random(5, 3).to(dtype)
    whole = ou.sample(ts, start, seed=7)
    assert whole.dtype == dtype
    alone = ou.sample(ts, start[[3]], seed=7, sample_ids=torch.tensor([3]))
    torch.testing.assert_close(alone[:, 0], whole[:, 3])
    first = ou.sample(ts[:101], start, seed=7)
    rest = ou.sample(ts[100:], first[-1], seed=7, start_step=100)
    torch.testing.assert_close(rest, whole[100:])
    assert not torch.allclose(ou.sample(ts, start, seed=8), whole)


def test_a_single_state_is_the_first_sample_of_a_batch():
    ou, ts, start = process("general drift, full diffusion"), torch.tensor([0.0, 0.2, 0.7], dtype=float64), random(3)
    torch.testing.assert_close(ou.sample(ts, start, seed=7), ou.sample(ts, start[None], seed=7)[:, 0])
    law = ou.transition(0.3)
    torch.testing.assert_close(law.run(start, 4, seed=7), law.run(start[None], 4, seed=7)[:, 0])


def test_many_systems_at_once_are_each_by_itself():
    A = torch.stack([SYSTEMS["general drift, full diffusion"][0] * scale for scale in (1.0, 1.5, 2.0)])
    ts, starts = torch.tensor([0.0, 0.1, 0.7], dtype=float64), random(4, 3, 3)
    paths = OrnsteinUhlenbeck(A, D=positive(3)).sample(ts, starts, seed=0)
    numbers = torch.arange(12).view(4, 3)
    for k in range(3):
        single = OrnsteinUhlenbeck(A[k], D=positive(3)).sample(ts, starts[:, k], sample_ids=numbers[:, k], seed=0)
        torch.testing.assert_close(paths[:, :, k], single)


@pytest.mark.parametrize("name", list(SYSTEMS)[:4])
def test_log_prob_is_the_joint_gaussian_of_the_path(name):
    """All points of the path as one Gaussian vector, whose covariance the autocovariances give."""
    ou, ts = process(name), torch.tensor([0.0, 0.5, 0.8, 2.0], dtype=float64)
    xs = random(4, 2, 3, seed=9)
    mean, covariance = ou.stationary()
    blocks = [[ou.autocovariance(abs(t - u)) if t >= u else ou.autocovariance(u - t).T for u in ts.tolist()]
              for t in ts.tolist()]  # fmt: skip
    joint = torch.distributions.MultivariateNormal(mean.repeat(4), torch.cat([torch.cat(row, 1) for row in blocks]))
    first = torch.distributions.MultivariateNormal(mean, covariance)
    expected = joint.log_prob(xs.transpose(0, 1).reshape(2, -1)) - first.log_prob(xs[0])
    torch.testing.assert_close(ou.log_prob(ts, xs), expected, rtol=1e-8, atol=1e-8)


def test_gradients_of_the_likelihood_and_of_the_path():
    """Degenerate eigenvalues included, where a gradient through the eigenvectors would be infinite."""
    ts, xs = torch.tensor([0.0, 0.4, 0.8, 1.7], dtype=float64), random(4, 2, 2)
    for A in (torch.eye(2, dtype=float64), random(2, 2) + 2 * torch.eye(2)):
        arguments = [A.clone().requires_grad_(), random(2).requires_grad_(), positive(2).requires_grad_()]
        assert torch.autograd.gradcheck(
            lambda A, b, D: OrnsteinUhlenbeck(A, b, 0.5 * (D + D.T)).log_prob(ts, xs), arguments, fast_mode=True
        )
        assert torch.autograd.gradcheck(
            lambda A, b, x0: OrnsteinUhlenbeck(A, b, positive(2)).sample(ts, x0, seed=1),
            [*arguments[:2], random(3, 2).requires_grad_()],
        )
        assert torch.autograd.gradcheck(lambda A: OrnsteinUhlenbeck(A, D=positive(2)).stationary()[1], arguments[:1])


def test_a_decomposition_made_without_gradients_does_not_cost_the_later_ones():
    A = positive(2).requires_grad_()
    ou = OrnsteinUhlenbeck(A, D=positive(2))
    with torch.no_grad():
        assert ou.modes is not None
    ou.transition(0.3).covariance.sum().backward()
    assert A.grad.abs().min() > 0
    force = random(2).requires_grad_()
    ou, ts = OrnsteinUhlenbeck(positive(2), force=force), torch.tensor([0.0, 0.5, 1.0], dtype=float64)
    with torch.no_grad():
        ou.sample(ts, torch.zeros(3, 2, dtype=float64))
    for _ in range(2):
        ou.sample(ts, torch.zeros(3, 2, dtype=float64)).sum().backward()
    assert force.grad.abs().min() > 0


def test_the_score_has_mean_zero_at_the_truth():
    """E[d log p / d A] = 0 over paths of the process itself: sampler and likelihood are of one law."""
    A, D = SYSTEMS["general drift, full diffusion"]
    ts = torch.tensor([0.0, 0.3, 0.6, 1.5], dtype=float64)
    xs = process("general drift, full diffusion", force=None).sample(ts, torch.zeros(4000, 3, dtype=float64), seed=0)
    drift = A.expand(4000, 3, 3).clone().requires_grad_()
    OrnsteinUhlenbeck(drift, D=D).log_prob(ts, xs).sum().backward()
    assert_mean(drift.grad.flatten(1), 0.0, sigmas=4.5)


def test_euler_maruyama_inflates_the_variance_as_known():
    """The mode of rate a has variance D/(2a) x 2/(2 - a dt), and an unbiased mean."""
    A, dt = positive(4), 0.2
    force = random(4)
    mean, covariance = OrnsteinUhlenbeck(A, D=2 * torch.eye(4).double(), force=force).euler_maruyama(dt).stationary()
    values, vectors = torch.linalg.eigh(A)
    torch.testing.assert_close(A @ mean, force)
    torch.testing.assert_close(covariance, vectors @ torch.diag(2 / (values * (2 - values * dt))) @ vectors.T)


@pytest.mark.parametrize("name", [name for name in SYSTEMS if "complex" not in name])
def test_euler_maruyama_converges_with_order_one(name):
    ou = process(name)
    errors = {}
    for steps in (512, 1024):
        scheme, truth = ou.euler_maruyama(1.5 / steps).power(steps), ou.transition(1.5)
        errors[steps] = [(getattr(scheme, field) - getattr(truth, field)).norm().item()
                         for field in ("decay", "shift", "covariance")]  # fmt: skip
    for coarse, fine in zip(errors[512], errors[1024], strict=True):
        assert log2(coarse / fine) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: OrnsteinUhlenbeck(torch.ones(2, 3)), "A: expected a square matrix"),
    (lambda: OrnsteinUhlenbeck(torch.ones(3)), r"A: expected a square matrix .*, got \(3,\)"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2), torch.ones(2), force=torch.ones(2)), "expected one of the two"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2), torch.ones(3)), r"b: expected shape \(\.\.\., 2\), got \(3,\)"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2), force=torch.ones(())), r"force: expected shape \(\.\.\., 2\), got \(\)"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2), D=torch.ones(2)), r"D: expected shape \(\.\.\., 2, 2\), got \(2,\)"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2), D=torch.eye(3)), r"D: expected shape \(\.\.\., 2, 2\), got \(3, 3\)"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2), D=torch.eye(2) * torch.nan), "D: every entry must be finite"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2), torch.tensor([0.0, torch.inf])), "b: every entry must be finite"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2), D=torch.tensor([[1.0, 0.5], [0.0, 1.0]])), "D is asymmetric"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2), D=torch.tensor([[1e3, 2e-3], [0.0, 1e3]])), "D is asymmetric"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2), D=torch.diag(torch.tensor([1.0, -1.0]))), "D is indefinite"),
    (lambda: OrnsteinUhlenbeck(torch.diag(torch.tensor([1.0, -1.0]))).stationary(), "real part -1"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2)).sample(torch.tensor([0.0, 0.0]), torch.zeros(2)), "increasing times"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2)).sample(torch.tensor([0.0, 1.0]), torch.zeros(3)), "x0: expected shape"),
    (lambda: OrnsteinUhlenbeck(torch.diag(torch.tensor([1.0, 0.0]))).stationary(), "real part 0"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2)).sample(torch.tensor([0.0, 1.0]), torch.zeros(())), "x0: expected shape"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2)).sample(torch.arange(2), torch.zeros(2).int()), "x0: expected float"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2)).sample(torch.tensor([1.0]), torch.zeros(2)), "ts: expected at least two"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2)).sample(torch.ones(2, 2), torch.zeros(2)), "ts: expected .* one dimension"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2)).sample(torch.tensor([0.0, 1.0, 0.5]), torch.zeros(2)), "increasing times"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2).expand(3, 2, 2)).sample(torch.arange(2), torch.zeros(2)),
     r"x0: expected one start for each system, shape \(3, 2\)"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2)).log_prob(torch.arange(3), torch.zeros(2, 2)),
     "xs: expected one state for each of the 3 times, got 2"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2)).log_prob(torch.arange(2), torch.zeros(2, 3)), "xs: expected shape"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2)).sample(torch.arange(2), torch.zeros(3, 2), start_step=-1), "start_step"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2)).sample(torch.arange(2), torch.zeros(3, 2), sample_ids=torch.arange(2)),
     r"sample_ids: expected an int64 tensor of shape \(3,\)"),
    (lambda: OrnsteinUhlenbeck(torch.eye(2), D=torch.zeros(2, 2)).log_prob(torch.tensor([0.0, 1.0]), torch.zeros(2, 2)),
     "singular, so a path has no density"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_diffusion_may_be_asymmetric_and_negative_by_a_rounding_of_its_largest_entry():
    for rounding in (torch.tensor([[1e3, 9e-4], [0.0, 1e3]]), torch.diag(torch.tensor([1e3, -9e-4]))):
        OrnsteinUhlenbeck(torch.eye(2), D=rounding)
    with pytest.raises(ValueError, match="D is indefinite"):
        OrnsteinUhlenbeck(torch.eye(2), D=torch.diag(torch.tensor([1e3, -2e-3])))


@pytest.mark.slow
def test_thermox_agrees():
    """Its likelihood, on paths of ours, for drifts that are normal in the frame where the diffusion is the identity."""
    thermox = pytest.importorskip("thermox")
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    rotation = torch.tensor([[0.0, 0.7, 0.0], [-0.7, 0.0, 0.2], [0.0, -0.2, 0.0]], dtype=float64)
    for A, D in [(positive(3), torch.eye(3, dtype=float64)), SYSTEMS["detailed balance, full diffusion"],
                 (rotation + 1.3 * torch.eye(3), 2 * torch.eye(3, dtype=float64))]:  # fmt: skip
        b, ts = random(3, seed=3), torch.tensor([0.0, 0.5, 0.8, 2.0], dtype=float64)
        ou = OrnsteinUhlenbeck(A, b, D)
        xs = ou.sample(ts, random(3), seed=2)
        theirs = float(thermox.log_prob(*(jax.numpy.asarray(tensor.numpy()) for tensor in (ts, xs, A, b, D))))
        assert ou.log_prob(ts, xs).item() == pytest.approx(theirs, rel=1e-9)
        times = jax.numpy.linspace(0.0, 2e4, 20_001)
        path = thermox.sample(jax.random.PRNGKey(0), times, *(jax.numpy.asarray(t.numpy()) for t in (b, A, b, D)))
        found = ou.log_prob(*(torch.tensor(array.tolist(), dtype=float64) for array in (times, path))).item()
        # minus the entropy rate of our law, give or take the fluctuation of 20,000 strides
        law = ou.transition(1.0)
        expected = -20_000 * (0.5 * 3 * (1 + log(2 * pi)) + 0.5 * torch.linalg.slogdet(law.covariance)[1].item())
        assert abs(found - expected) < 4.5 * (20_000 * 1.5) ** 0.5
