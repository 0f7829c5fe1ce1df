"""Numbers that are none are named before a run; a step that is too long for its scheme is not taken without a word."""

import warnings

import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics.underdamped import simulate_underdamped

SCHEMES = ["euler_maruyama", "heun", "splitting", "alternating"]


def pairs(strength: float = 1.0, **wells) -> tt.Potential:
    couplings = tt.BlockCouplings({"left": 4, "right": 4}, [("left", "right")])
    torch.nn.init.normal_(couplings.blocks["left-right"], std=strength)
    return tt.Potential(couplings, **wells)


def run(potential: tt.Potential, **arguments) -> tt.Trajectory:
    plain = {"steps": 4, "dt": 0.01, "temperature": 0.1, "seed": 0}
    return tt.simulate(potential, torch.zeros(2, 8), **{**plain, **arguments})


@pytest.mark.parametrize("steps", [0, 1, 50])
@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("integrator", SCHEMES)
@pytest.mark.parametrize("name", ["bias", "couplings.blocks.left-right"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_parameter_that_is_no_number_is_named(bad, name, integrator, backend, steps):
    potential = pairs()
    with torch.no_grad():
        dict(potential.named_parameters())[name].view(-1)[3] = bad
    with pytest.raises(ValueError, match=f"potential.{name}: every value must be finite"):
        run(potential, integrator=integrator, backend=backend, steps=steps)
    with pytest.raises(ValueError, match=f"potential.{name}: every value must be finite"):
        simulate_underdamped(potential, torch.zeros(2, 8), steps=steps, dt=0.01, temperature=0.1)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("integrator", SCHEMES)
def test_a_drive_that_becomes_no_number_is_named_with_its_step(integrator, backend):
    def drive(step: int) -> torch.Tensor:
        return torch.full((8,), float("nan") if step == 7 else 1.0)

    with pytest.raises(ValueError, match="drive: every value must be finite, found others at step 7"):
        run(pairs(), drive=drive, steps=20, integrator=integrator, backend=backend)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("integrator", ["splitting", "alternating"])
def test_exact_flows_warn_where_their_heat_is_wrong(integrator, backend):
    """At ten times the bound the mean heat misses that of short steps by half and more, at half of it by less than 5 %.

    That is give or take the scatter of 4,000 samples, and without a warning."""
    potential = pairs(2.0)
    bound = potential.stable_dt(torch.zeros(1, 8), temperature=0.1)
    heat = {}
    for factor in (0.05, 0.5, 10.0):
        steps = max(1, round(20 * bound / (factor * bound)))
        arguments = {"steps": steps, "dt": factor * bound, "temperature": 0.1, "seed": 1, "integrator": integrator}
        with warnings.catch_warnings(record=True) as caught, torch.no_grad():
            warnings.simplefilter("always")
            heat[factor] = tt.simulate(potential, torch.zeros(4000, 8), backend=backend, **arguments).heat.mean()
        assert [warning.category for warning in caught] == [tt.StabilityWarning] * (factor == 10.0)
        assert all(warning.filename == __file__ and integrator in str(warning.message) for warning in caught)
    assert abs(heat[0.5] / heat[0.05] - 1) < 0.05 < 0.5 < abs(heat[10.0] / heat[0.05] - 1)


def test_uncoupled_quadratic_units_are_exact_at_any_step():
    potential = tt.Potential(tt.BlockCouplings({"unit": 8}, []), j4=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(potential, dt=100.0, integrator="splitting")


@pytest.mark.filterwarnings("ignore::thermotorch.StabilityWarning")
def test_an_energy_beyond_all_floats_is_an_error():
    with pytest.raises(FloatingPointError, match="the energy became non-finite: the state reached .* try dt="):
        run(pairs(4.0), dt=4.0, integrator="splitting", steps=1)


@pytest.mark.filterwarnings("ignore::thermotorch.StabilityWarning")
@pytest.mark.parametrize("integrator", ["euler_maruyama", "heun", "leimkuhler_matthews"])
def test_so_is_that_of_a_unit_that_is_held_far_out(integrator):
    """Its state is finite and stays so; the fourth power of it is not."""
    start = torch.tensor([[0.0, 1e11]])
    arguments = {"steps": 3, "dt": 1e-3, "temperature": 0.1, "clamp": torch.tensor([False, True])}
    potential = tt.Potential(tt.DenseCouplings(2))
    with pytest.raises(FloatingPointError, match="the energy became non-finite: the state reached .x. = 1e.11"):
        tt.simulate(potential, start, integrator=integrator, seed=0, **arguments)
