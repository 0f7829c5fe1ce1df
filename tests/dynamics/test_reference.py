"""The reference loop itself: gradients through checkpointed segments, their memory, and what a diverging run says."""

import re
import warnings

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

import thermotorch as tt
from tests.physics import random_potential
from thermotorch.dynamics import INTEGRATORS, normals

pytestmark = pytest.mark.filterwarnings("ignore::thermotorch.StabilityWarning")


def start_state(batch: int = 2, unit: int = 3) -> Tensor:
    return torch.randn(batch, unit, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_gradcheck_of_state_drive_bias_and_couplings(integrator):
    def end(state, force, bias, bonds):
        potential = random_potential(3, j3=0.2, bipartite=integrator == "alternating")
        tensors = {"bias": bias, name_of_bonds: bonds}
        run = torch.func.functional_call(
            _Run(potential, integrator), {f"potential.{k}": v for k, v in tensors.items()}, (state, force)
        )
        return run.state, run.heat, run.work, run.states, run.observed["action"], run.observed["moments"].variance

    potential = random_potential(3, j3=0.2, bipartite=integrator == "alternating")
    force = torch.ones(3, dtype=torch.float64, requires_grad=True)
    name_of_bonds, bonds = next((name, p) for name, p in potential.named_parameters() if name != "bias")
    arguments = start_state(), force, potential.bias, bonds
    assert torch.autograd.gradcheck(end, arguments, fast_mode=True)


class _Run(torch.nn.Module):
    """A whole run as a module, so that `functional_call` can put other parameters into its potential."""

    def __init__(self, potential: tt.Potential, integrator: str) -> None:
        super().__init__()
        self.potential, self.integrator = potential, integrator

    def forward(self, state: Tensor, force: Tensor) -> tt.Trajectory:
        return tt.simulate(
            self.potential,
            state,
            steps=7,
            dt=0.05,
            temperature=0.3,
            integrator=self.integrator,
            record=3,
            drive=lambda step: force * (1 + step),
            clamp=torch.tensor([False, False, True]),
            observers={"action": tt.PathAction(self.potential, reverse=True), "moments": tt.Moments()},
            seed=0,
        )


@pytest.mark.parametrize("steps", [1, 2, 10, 23])
def test_gradient_is_that_of_a_plain_loop(steps):
    def plain(potential, x, force):
        noise = normals(5, torch.arange(len(x)), 0, steps, x.shape[1], dtype=x.dtype)
        for xi in noise:
            x = x + 0.02 * (force - potential.gradient(x)) + (2 * 0.3 * 0.02) ** 0.5 * xi
        return x

    def simulated(potential, x, force):
        return tt.simulate(potential, x, steps=steps, dt=0.02, temperature=0.3, drive=force, seed=5).state

    results = []
    for run in (plain, simulated):
        potential, x, force = random_potential(4), start_state(3, 4), torch.ones(4).double().requires_grad_()
        end = run(potential, x, force)
        results.append([end, *torch.autograd.grad(end.square().sum(), [x, force, *potential.parameters()])])
    for found, expected in zip(*reversed(results), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


class LiveBytes(TorchDispatchMode):
    """Bytes of the tensors made under this mode that still exist, whoever holds them: autograd's savings included."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.made[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        return result

    def total(self) -> int:
        return sum(size for reference, size in self.made.values() if not reference.expired())


def states_held(steps: int) -> float:
    """Return the memory after a run with a pending gradient, in states."""
    potential, state = random_potential(8), torch.zeros(1000, 8, dtype=torch.float64)
    with LiveBytes() as live:
        run = tt.simulate(potential, state, steps=steps, dt=1e-3, temperature=0.1, seed=0)
        held = live.total()
    assert run.state.requires_grad
    return held / (state.numel() * state.element_size())


def test_memory_grows_as_the_root_of_the_number_of_steps():
    """One state per segment of sqrt(steps) steps, and a constant: a chunk of noise (16 states) and the energies."""
    few, many = states_held(64), states_held(256)
    assert many - few == pytest.approx(16 - 8, abs=1)
    assert many < 50, "a plain loop of 256 steps holds three states for each"


def test_without_gradients_only_the_present_is_held():
    with torch.no_grad(), LiveBytes() as live:
        run = tt.simulate(
            random_potential(8), torch.zeros(1000, 8).double(), steps=256, dt=1e-3, temperature=0.1, seed=0
        )
        assert live.total() < 4 * run.state.numel() * 8


def diverging(**changed) -> dict:
    stiff = tt.Potential(tt.DenseCouplings(3), j2=torch.tensor([1.0, 400.0, 1.0]))
    state = torch.ones(2, 3) * torch.tensor([[2.0], [1.0]])  # so that the first sample is the first to diverge
    return {"potential": stiff, "state": state, "steps": 300, "dt": 0.02, "temperature": 0.1, **changed}


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"start_step": 1000},
        {"sample_ids": torch.tensor([40, 50])},
        {"integrator": "heun"},
        {"integrator": "leimkuhler_matthews"},
        {"drive": torch.full((3,), 5.0)},
        {"mobility": 2.0},
        {"state": torch.full((2, 3), 60.0), "potential": tt.Potential(tt.DenseCouplings(3))},
    ],
)
def test_divergence_names_step_sample_unit_and_a_dt_that_works(changed, grad):
    arguments = diverging(**changed)
    potential, state = arguments.pop("potential"), arguments.pop("state")
    with torch.set_grad_enabled(grad):
        with pytest.raises(FloatingPointError) as error:
            tt.simulate(potential, state, **arguments)
        step, sample, unit, dt = re.fullmatch(
            r"the state became non-finite at step (\d+), sample (\d+), unit (\d+) \(dt=.*\); try dt=(\S+) or smaller",
            str(error.value),
        ).groups()
        assert int(sample) in arguments.get("sample_ids", torch.arange(2)).tolist()
        assert "potential" in changed or (int(unit), int(sample)) == (1, 40 if "sample_ids" in changed else 0)
        first = arguments.get("start_step", 0)
        try:
            before = tt.simulate(potential, state, **{**arguments, "steps": int(step) - first}, seed=0)
        except FloatingPointError as overflow:  # of the energy of a state that is finite
            assert "the energy became non-finite: the state reached |x| = " in str(overflow)
        else:
            assert torch.isfinite(before.state).all()
        with pytest.raises(FloatingPointError):
            tt.simulate(potential, state, **{**arguments, "steps": int(step) - first + 1}, seed=0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tt.simulate(potential, state, **{**arguments, "dt": float(dt)}, seed=0)


def test_the_dt_to_try_is_that_of_the_fastest_unit():
    potential, mobility = tt.Potential(tt.DenseCouplings(2), j4=0.0), torch.tensor([0.1, 40.0])
    arguments = {"steps": 400, "temperature": 0.0, "mobility": mobility, "backend": "reference"}
    with pytest.raises(FloatingPointError) as error, pytest.warns(tt.StabilityWarning):
        tt.simulate(potential, torch.ones(1, 2), dt=0.2, **arguments)
    dt = float(re.search(r"try dt=(\S+) or smaller", str(error.value))[1])
    assert 0.25 / 80 < dt < 1 / 40, "half of the step at which the fast unit, of curvature 2, would grow"
