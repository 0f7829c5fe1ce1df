"""Random potentials, couplings, schemes and temperatures, extremes included: backends agree, or refuse alike."""

import math
import random
import re
import warnings

import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics import INTEGRATORS
from thermotorch.dynamics.cpu import operators as cpu

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(cpu.unavailable() is not None, reason=f"no CPU backend: {cpu.unavailable()}"),
]

EXTREMES = (0.0, -0.0, math.nan, math.inf, -math.inf, -1.0, 1e-45, 1e-38, 1e30, 3.4e38, 1e300)


def couplings(chance: random.Random) -> torch.nn.Module:
    kind = chance.choice(("dense", "blocks", "bipartite", "lattice", "none"))
    if kind == "lattice":
        made = tt.LatticeCouplings((chance.randint(2, 5), chance.randint(2, 5)), offsets=[(0, 1), (1, 0)])
    elif kind == "dense":
        made = tt.DenseCouplings(chance.randint(1, 40))
    else:
        pairs = {"blocks": [("a", "b"), ("b", "b")], "bipartite": [("a", "b")], "none": []}[kind]
        made = tt.BlockCouplings({"a": chance.randint(1, 30), "b": chance.randint(2, 20)}, pairs)
    strength = chance.choice((0.0, 0.05, 0.3, 1.0)) / math.sqrt(made.num_units)
    for bonds in made.parameters():
        torch.nn.init.normal_(bonds, std=strength)
    return made


def some_units(chance: random.Random, low: float, high: float, n: int) -> float | torch.Tensor:
    """A number, or one for each unit."""
    if chance.random() < 0.5:
        return chance.uniform(low, high)
    return torch.empty(n).uniform_(low, high)


def case(chance: random.Random) -> tuple[tt.Potential, torch.Tensor, dict]:
    torch.manual_seed(chance.randrange(2**31))
    bonds = couplings(chance)
    n, batch = bonds.num_units, chance.choice((1, 2, 3, 5, 8, 17, 70))
    j4 = chance.choice((0.0, some_units(chance, 0.2, 1.5, n)))
    double = chance.random() < 0.5 and not (isinstance(j4, float) and j4 == 0.0)
    j2 = some_units(chance, -0.8 if double else 0.6, 1.5, n)
    potential = tt.Potential(bonds, j2, chance.choice((0.0, some_units(chance, -0.2, 0.2, n))) if double else 0.0, j4)
    torch.nn.init.normal_(potential.bias, std=0.5)
    steps = chance.randint(1, 30)
    force = torch.randn(n)
    forces = {
        "none": None, "unit": force, "sample": torch.randn(batch, n), "step": lambda step: force * math.cos(step),
    }  # fmt: skip
    mobility = some_units(chance, 0.2, 2.0, n)
    if isinstance(mobility, torch.Tensor) and chance.random() < 0.5:
        mobility[chance.randrange(n)] = 0.0
    ids = torch.randperm(200)[:batch] + chance.choice((0, 0, 1 << 32))
    return potential, torch.randn(batch, n), {
        "steps": steps, "dt": chance.choice((1e-3, 1e-2, 0.03)),
        "temperature": chance.choice((0.0, 1e-6, 0.1, 1.0, 20.0)),
        "mobility": mobility, "seed": chance.choice((0, 1, 2**31, 2**63, 2**64 - 1)),
        "sample_ids": chance.choice((None, ids)), "drive": forces[chance.choice(list(forces))],
        "clamp": chance.choice((None, torch.rand(n) < 0.3)), "integrator": chance.choice((*INTEGRATORS, "auto")),
        "record": chance.choice((None, 1, 3)), "start_step": chance.choice((0, 7, 2**32 - 3)),
    }  # fmt: skip


def spoiled(chance: random.Random, potential: tt.Potential, state: torch.Tensor, arguments: dict) -> str:
    """Put one extreme number somewhere, and say where."""
    place, value = chance.choice(("tensor", "number", "integer")), chance.choice(EXTREMES)
    if place == "integer":
        name = chance.choice(("steps", "seed", "record", "start_step"))
        arguments[name] = value = chance.choice((-1, 0, 2**64, 1.5, math.nan, True, "1"))
    elif place == "number":
        name = chance.choice(("dt", "temperature", "mobility"))
        arguments[name] = value
    else:
        numbers = {"bias": potential.bias, "j2": potential.j2, "j4": potential.j4, "state": state}
        numbers |= dict(potential.couplings.named_parameters())
        numbers["drive"] = arguments["drive"] = torch.zeros(state.shape[1])
        name, value = chance.choice(list(numbers)), torch.tensor(value).item()  # as float32 holds it
        with torch.no_grad():
            numbers[name].view(-1)[-1:] = value
    return f"{name} = {value}"


def run(backend: str, potential: tt.Potential, state: torch.Tensor, arguments: dict) -> object:
    """Return the result of a backend, or the kind and message of its error without numbers of the machine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(5)  # from which a seed of None is drawn
        try:
            return tt.simulate(potential, state.clone(), backend=backend, **arguments)
        except (ValueError, TypeError, FloatingPointError) as error:
            return type(error).__name__, re.sub(r"[-+]?[\d.]+(e[-+]?\d+)?|nan|inf", "#", str(error))


def assert_alike(found: object, expected: object, where: str) -> None:
    if isinstance(expected, tuple) and isinstance(found, tuple):
        assert found[0] == expected[0] and found[1][:40] == expected[1][:40], f"{where}: {found} for {expected}"
        return
    assert not isinstance(expected, tuple) and not isinstance(found, tuple), f"{where}: {found} for {expected}"
    pairs = [("state", found.state, expected.state)]
    if expected.states is not None:
        pairs.append(("states", found.states, expected.states))
    for name, one, other in pairs:
        assert torch.isfinite(one).all(), f"{where}: {name}"
        error = ((one - other).double().norm() / other.double().norm().clamp_min(1e-12)).item()
        assert error < 1e-4, f"{where}: {name} differ by {error:.1e}"
    # Heat is a difference of energies: its rounding is that of what they are made of.
    scale = expected.state.double().square().sum(1).square() + expected.heat.double().abs() + 1
    assert ((found.heat - expected.heat).double().abs() < 1e-3 * scale).all(), f"{where}: heat"


@pytest.mark.parametrize("number", range(40))
def test_paths_of_the_backends_are_one(chance, number):
    potential, state, arguments = case(chance)
    expected = run("reference", potential, state, arguments)
    assert_alike(run("cpu", potential, state, arguments), expected, str(arguments))
    assert_alike(run("auto", potential, state, arguments), expected, str(arguments))


@pytest.mark.parametrize("number", range(80))
def test_one_extreme_number_is_taken_or_refused_alike(chance, number):
    potential, state, arguments = case(chance)
    where = spoiled(chance, potential, state, arguments)
    expected = run("reference", potential, state, arguments)
    assert_alike(run("cpu", potential, state, arguments), expected, f"{where}; {arguments}")
