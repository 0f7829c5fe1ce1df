"""The fast backends against the reference, path by path: same noise, same states, same gradients,
to float32 rounding.
"""

import resource

import pytest
import torch
from torch import Tensor

import thermotorch as tt
from tests.dynamics.threads import threads
from thermotorch.dynamics import INTEGRATORS
from thermotorch.dynamics.cpu import operators as cpu
from thermotorch.dynamics.fused import covers_action

pytestmark = pytest.mark.skipif(cpu.unavailable() is not None, reason=f"no CPU backend: {cpu.unavailable()}")

MACHINES = {
    "one unit": (1, {"a": 1}, []),
    "no couplings": (9, {"a": 40}, []),
    "one sample": (1, {"a": 13, "b": 24}, [("a", "b"), ("b", "b")]),
    "dense": (6, {"a": 17}, [("a", "a")]),
    "blocks that straddle panels": (19, {"a": 50, "b": 30, "c": 3}, [("a", "a"), ("a", "b"), ("c", "b")]),
    "three layers": (19, {"a": 50, "b": 30, "c": 21}, [("b", "c"), ("a", "b")]),
    "bipartite, several chunks": (83, {"a": 90, "b": 61}, [("a", "b")]),
    "many samples": (253, {"a": 41, "b": 33}, [("a", "b"), ("b", "b")]),  # most of them in lanes (native/lanes.h)
    "many samples of one unit": (253, {"a": 1}, []),
}
TWO_COLOURED = ("one unit", "no couplings", "bipartite, several chunks", "three layers")


def rms_ratio(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm().clamp_min(1e-12)).item()


def machine(name: str) -> tuple[tt.Potential, Tensor, Tensor]:
    """Return a potential with every on-site term, a start and a force [batch, unit], all with gradients."""
    torch.manual_seed(0)
    batch, groups, pairs = MACHINES[name]
    couplings = tt.BlockCouplings(groups, pairs)
    for bonds in couplings.parameters():
        torch.nn.init.normal_(bonds, std=0.2)
    n = couplings.num_units
    potential = tt.Potential(couplings, torch.linspace(-0.5, 1, n), 0.1, 0.5, torch.linspace(-1, 1, n))
    return potential, torch.randn(batch, n, requires_grad=True), torch.randn(batch, n, requires_grad=True)


DRIVES = {
    "no drive": lambda force: None,
    "one force": lambda force: force[0],
    "a force each": lambda force: force,
    "one changing force": lambda force: lambda step: force[0] * (1 + step % 100 / 20),
    "a changing force each": lambda force: lambda step: force * (1 + step % 100 / 20),
}


def results(backend: str, name: str, drive: str, **arguments) -> dict[str, Tensor]:
    """Return all results of a run, and the gradient of a scalar that depends on all of them."""
    potential, start, force = machine(name)
    arguments = {
        "steps": 23,
        "dt": 0.01,
        "temperature": 0.3,
        "seed": (1 << 63) + 5,
        "start_step": (1 << 32) - 9,
        "stream": tt.Stream.DATA,
        "record": 5,
        **arguments,
    }
    run = tt.simulate(potential, start, drive=DRIVES[drive](force), backend=backend, **arguments)
    weights = torch.linspace(-1, 1, run.states.numel()).view_as(run.states)
    (run.state.square().sum() + (run.states * weights).sum() + run.heat.sum() + 2 * run.work.sum()).backward()
    outputs = {"state": run.state, "states": run.states, "heat": run.heat, "work": run.work, "times": run.times}
    gradients = {"start": start, "force": force, **dict(potential.named_parameters())}
    gradients = {f"d/d {name}": leaf.grad for name, leaf in gradients.items() if leaf.grad is not None}
    return {**{name: value.detach() for name, value in outputs.items()}, **gradients}


def assert_same_paths(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Compare two sets of results; observed: up to 3e-7, or 4e-6 where a sum cancels (heat, work of a single unit)."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert rms_ratio(found[name], value) < (1e-5 if name in ("heat", "work") else 2e-6), name


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("name", MACHINES)
def test_paths_and_every_gradient_are_those_of_the_reference(name, integrator):
    if integrator == "alternating" and name not in TWO_COLOURED:
        pytest.skip("needs two colours")
    arguments = {"integrator": integrator, "mobility": torch.linspace(0.5, 1.5, sum(MACHINES[name][1].values()))}
    expected, found = (results(b, name, "a force each", **arguments) for b in ("reference", "cpu"))
    assert_same_paths(found, expected)


@pytest.mark.parametrize("integrator", ["euler_maruyama", "splitting"])
@pytest.mark.parametrize("steps", [1, 3])
def test_states_that_are_recorded_need_no_gradient_of_their_own(steps, integrator):
    """A scalar of the end alone, or of the records alone, of a run of which fewer states are kept than recorded."""
    for which in ("state", "states"):
        found = []
        for backend in ("cpu", "reference"):
            potential, start, force = machine("dense")
            run = tt.simulate(potential, start, steps=steps, dt=0.01, temperature=0.3, seed=1, record=1, drive=force,
                              backend=backend, integrator=integrator)  # fmt: skip
            found.append(torch.autograd.grad(getattr(run, which).square().sum(), [start, force, potential.bias]))
        for ours, expected in zip(*found, strict=True):
            assert rms_ratio(ours, expected) < 2e-6


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("drive", DRIVES)
def test_every_kind_of_drive(drive, integrator):
    name = "three layers" if integrator == "alternating" else "blocks that straddle panels"
    found, expected = (results(backend, name, drive, integrator=integrator) for backend in ("cpu", "reference"))
    assert_same_paths(found, expected)


@pytest.mark.parametrize("held", ["some", "all"])
def test_clamped_units_stay_to_the_last_bit(held):
    name = "blocks that straddle panels"
    clamp = torch.arange(83) % 5 == 2 if held == "some" else torch.ones(83, dtype=torch.bool)
    expected, found = (results(backend, name, "a force each", clamp=clamp) for backend in ("reference", "cpu"))
    assert_same_paths(found, expected)
    assert torch.equal(found["state"][:, clamp], machine(name)[1][:, clamp])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_clamped_units_stay_also_in_a_skewed_well(integrator, backend):
    """The flows are exact in a shifted coordinate, and a shift back and forth would round."""
    potential = tt.Potential(tt.BlockCouplings({"a": 20, "b": 13}, [("a", "b")]), 1.0, 0.37, 0.5)
    torch.manual_seed(0)
    start, clamp = torch.randn(50, 33), torch.arange(33) % 3 == 0
    end = tt.simulate(potential, start, steps=9, dt=0.01, temperature=0.2, seed=1, clamp=clamp, integrator=integrator,
                      backend=backend).state  # fmt: skip
    assert torch.equal(end[:, clamp], start[:, clamp])
    assert (end != start)[:, ~clamp].all()


def test_gradients_from_checkpoints_are_those_from_all_states(monkeypatch):
    """With little memory only every fifth state is kept, and the others are computed again, noise and all."""
    name = "three layers"
    for integrator in INTEGRATORS:
        expected = results("cpu", name, "a force each", integrator=integrator)
        monkeypatch.setattr("thermotorch.dynamics.fused._KEEP_ELEMENTS", 0)
        found = results("cpu", name, "a force each", integrator=integrator)
        monkeypatch.undo()
        for key, value in expected.items():
            assert torch.equal(found[key], value), key


def test_observers_see_the_same_transitions():
    potential, start, force = machine("dense")
    observers = {"action": tt.PathAction(potential, reverse=True), "moments": tt.Moments(warmup=3, covariance=True)}
    seen = []
    for backend in ("reference", "cpu"):
        with torch.no_grad():
            run = tt.simulate(
                potential,
                start,
                steps=30,
                dt=0.02,
                temperature=0.3,
                drive=force,
                observers=observers,
                backend=backend,
                seed=0,
            )
        seen.append((run.observed["action"], *run.observed["moments"][1:]))
    for found, expected in zip(*seen, strict=True):
        assert rms_ratio(found, expected) < 2e-6


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_a_run_does_not_depend_on_the_layout_of_tensors_in_memory(integrator):
    """States, forces and incoming gradients that are transposed, or every second column of a wider tensor."""
    layouts = (torch.clone, lambda x: x.T.contiguous().T, lambda x: torch.stack([x, -x], -1).flatten(1)[:, ::2])
    seen = []
    for layout in layouts:
        potential, start, force = machine("three layers")
        start, force = (layout(value.detach()).requires_grad_() for value in (start, force))
        assert (layout is torch.clone) == start.is_contiguous()
        common = {"steps": 7, "dt": 0.01, "temperature": 0.3, "seed": 3, "integrator": integrator, "backend": "cpu"}
        run = tt.simulate(potential, start, drive=force, record=3, **common)
        weights = layout(torch.linspace(-1, 1, start.numel()).view_as(start))
        outputs, leaves = [run.state, run.states[1]], [start, force, *potential.parameters()]
        seen.append([*outputs, *torch.autograd.grad(outputs, leaves, [weights, 2 * weights])])
    for found in seen[1:]:
        # Not to the bit: torch multiplies matrices of another layout in another order.
        assert all(rms_ratio(one, other) < 1e-6 for one, other in zip(found, seen[0], strict=True))


@pytest.mark.parametrize(
    "name, integrator",
    [*(("bipartite, several chunks", integrator) for integrator in INTEGRATORS), ("many samples", "euler_maruyama")],
)
@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16"])
def test_bits_do_not_depend_on_batch_chunks_threads_or_a_restart(name, integrator, precision):
    potential, start, force = machine(name)
    common = {"dt": 0.01, "temperature": 0.3, "seed": 3, "integrator": integrator, "backend": "cpu"}
    common |= {"precision": precision}
    with torch.no_grad():
        whole = tt.simulate(potential, start, steps=40, drive=force, record=8, **common)
        for rows in ([7], [0, 3], list(range(2, 83)), [82, 5, 5, 6, 7, 8]):
            part = tt.simulate(
                potential, start[rows], steps=40, drive=force[rows], sample_ids=torch.tensor(rows), **common
            )
            assert torch.equal(part.state, whole.state[rows])
        first = tt.simulate(potential, start, steps=17, drive=force, **common)
        second = tt.simulate(potential, first.state, steps=23, drive=force, start_step=first.step, **common)
        if integrator == "splitting":  # two half kicks at the seam instead of a whole one
            assert rms_ratio(second.state, whole.state) < {"ieee": 1e-6, "tf32": 3 * 2**-18, "bf16": 2**-8}[precision]
            return
        assert torch.equal(second.state, whole.state)
        stepwise = tt.simulate(potential, start, steps=40, drive=lambda step: force, record=8, **common)
        assert torch.equal(stepwise.states, whole.states)
        with threads(3):
            assert torch.equal(tt.simulate(potential, start, steps=40, drive=force, **common).state, whole.state)


def test_a_state_at_the_stability_limit_stays_finite():
    """The largest step that the linear bound allows, strong couplings, large starts: no NaN, as in the reference."""
    potential = tt.Potential(tt.DenseCouplings(40))
    torch.nn.init.normal_(potential.couplings.bonds, std=2.0)
    start = torch.full((5, 40), 3.0)
    dt = 0.9 * potential.stable_dt(start, temperature=0.1)
    with torch.no_grad():
        runs = [
            tt.simulate(potential, start, steps=300, dt=dt, temperature=0.1, backend=b, seed=0)
            for b in ("reference", "cpu")
        ]
    assert all(torch.isfinite(run.state).all() for run in runs)
    assert (runs[0].state - runs[1].state).abs().max() < 1e-3


@pytest.mark.filterwarnings("ignore::thermotorch.StabilityWarning")
def test_a_diverging_run_names_step_sample_and_unit_as_the_reference_does():
    messages = []
    for backend in ("reference", "cpu"):
        with pytest.raises(FloatingPointError, match=r"step \d+, sample 11, unit 1 ") as caught:
            tt.simulate(
                tt.Potential(tt.DenseCouplings(3)),
                torch.tensor([[0.0, 0.0, 0.0], [0.0, 9.0, 0.0]]),
                steps=50,
                dt=0.1,
                temperature=0.1,
                sample_ids=torch.tensor([4, 11]),
                backend=backend,
                seed=0,
            )
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    "backend, message, changed",
    [
        ("cpu", "it computes in float32, but the state is torch.float64", {"dtype": torch.float64}),
        ("cuda", "the state is on cpu; write state.to", {}),
    ],
)
def test_what_a_backend_cannot_do_is_refused_by_name_and_left_to_the_reference_by_auto(backend, message, changed):
    potential = tt.Potential(tt.DenseCouplings(3)).to(changed.get("dtype", torch.float32))
    arguments = {"steps": 2, "dt": 0.01, "temperature": 0.1}
    start = torch.zeros(2, 3, dtype=potential.bias.dtype)
    with pytest.raises(ValueError, match=f"backend='{backend}': {message}"):
        tt.simulate(potential, start, backend=backend, **arguments, seed=0)
    tt.simulate(potential, start, backend="auto", **arguments, seed=0)


@pytest.mark.parametrize("name", ["three layers", "bipartite, several chunks"])  # chunks of 19 and of 64 samples
@pytest.mark.parametrize("precision, tolerance", [("bf16", 5e-3), ("tf32", 2e-5)])
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_rounded_operands_change_states_and_gradients_by_their_rounding(integrator, precision, tolerance, name):
    """Products of bfloat16, a relative 2^-9 of each operand, or of two pieces of each, at most 3 x 2^-18 of a term
    (where the processor has them); sums in float32. Heat and work are what is left when energies cancel.
    """
    exact, rounded = (
        results("cpu", name, "a force each", integrator=integrator, precision=p) for p in ("ieee", precision)
    )
    for key in exact.keys() - {"times"}:
        assert rms_ratio(rounded[key], exact[key]) < tolerance * (6 if key in ("heat", "work") else 1), key


def test_memory_of_a_long_run_is_that_of_a_short_one():
    """20,000 steps of 32 x 128 units would be 330 MB if they were kept anywhere."""
    potential, start = tt.Potential(tt.DenseCouplings(128)), torch.zeros(32, 128)
    peaks = []
    for steps in (20, 20_000):
        with torch.no_grad():
            tt.simulate(potential, start, steps=steps, dt=1e-3, temperature=0.1, backend="cpu", seed=0)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # kB
    assert peaks[1] - peaks[0] < 10_000


def test_gradients_are_the_same_to_the_bit_whenever_they_are_computed():
    """Several threads share the batch; which takes which rows must not depend on who is faster."""
    with threads(3):
        first, *others = (results("cpu", "bipartite, several chunks", "a force each", steps=40) for _ in range(12))
    for other in others:
        assert all(torch.equal(other[key], value) for key, value in first.items())


@pytest.mark.parametrize("integrator", [name for name in INTEGRATORS if name != "alternating"])
def test_gradients_pass_through_observed_runs(integrator):
    """Each chunk is a checkpoint, which gives its saved tensors once.

    The two sum the same float32 terms in another order: nine steps, each off by an epsilon of 1.2e-7 (observed: 2e-7).
    """
    potential = tt.Potential(tt.DenseCouplings(3))
    torch.nn.init.normal_(potential.couplings.bonds, std=0.3)
    found = {}
    for name, observers in {"plain": None, "observed": {"moments": tt.dynamics.Moments()}}.items():
        run = tt.simulate(potential, torch.ones(2, 3), steps=9, dt=0.02, temperature=0.1, seed=1, backend="cpu",
                          integrator=integrator, observers=observers)  # fmt: skip
        (found[name],) = torch.autograd.grad(run.state.square().sum(), [potential.couplings.bonds])
    assert torch.allclose(found["observed"], found["plain"], rtol=2e-6)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("stranger", [6, 77, 1 << 33])
def test_a_stranger_among_four_neighbours_has_its_own_noise(place, stranger):
    """Samples 4 k ... 4 k + 3 in a row share their blocks of noise; it takes all four to be there."""
    ids = torch.arange(8)
    ids[place] = stranger
    potential, arguments = tt.Potential(tt.DenseCouplings(5)), {"steps": 3, "dt": 0.01, "temperature": 0.3, "seed": 1}
    found, expected = (
        tt.simulate(potential, torch.zeros(8, 5), sample_ids=ids, backend=backend, **arguments).state
        for backend in ("cpu", "reference")
    )
    assert rms_ratio(found, expected) < 1e-6


def test_the_operator_of_the_action_takes_float32_on_a_device_with_a_backend():
    path = torch.zeros(3, 2, 4)
    assert covers_action(path)
    assert not covers_action(path.double())
    assert not covers_action(path.to("meta"))
    seen = []
    torch.vmap(lambda part: seen.append(covers_action(part)) or part)(path)
    assert seen == [False]


@pytest.mark.parametrize("stream", tt.Stream)
def test_the_noise_of_every_stream_and_late_step_is_that_of_the_reference(stream):
    """A step beyond 2^32 and a seed beyond 2^32 fill every word of the counter and the key."""
    potential, start = tt.Potential(tt.DenseCouplings(5)), torch.zeros(6, 5)
    run = {"steps": 3, "dt": 0.01, "temperature": 0.5, "seed": (7 << 40) + 3, "start_step": (5 << 32) + 1}
    found, expected = (
        tt.simulate(potential, start, stream=stream, backend=backend, **run).state for backend in ("cpu", "reference")
    )
    # Both round in float32; a wrong word of the counter or the key gives other normals, of size 0.1, altogether.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
