"""What a page needs of a trained machine: wells, clock and read-out, and couplings and biases of 8 bits each.

The numbers are those of `realise(model, bits=8)`: every kind on 255 levels up to its largest magnitude.
"""

import base64
from typing import Any, cast

import torch
from torch import Tensor, nn

from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics.alternating import second_colour
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.imperfections import quantised
from thermotorch.units import energy_to_joule

BITS = 8
FORMAT = 1


def describe(model: nn.Module, name: str) -> dict[str, Any]:
    """Return the description of a machine that a page can run, as plain numbers, strings, lists and dicts.

    Args:
        model: a `ThermodynamicGenerator` that runs by the alternating scheme, without a schedule.
        name: how the page calls it.

    Raises:
        ValueError: a model that a page cannot show, with the reason.
    """
    if type(model) is not ThermodynamicGenerator:
        raise ValueError(
            f"model: a page shows a ThermodynamicGenerator, and {name} is a {type(model).__name__}; "
            "try model=generator.mnist"
        )
    if reason := _not_shown(model):
        raise ValueError(f"model: a page cannot show {name}, which {reason}; try model=generator.mnist")
    return {"format": FORMAT, "name": name, "stages": [_stage(model)]}


def _not_shown(machine: ThermodynamicGenerator) -> str:
    """Return what the page's simulator lacks for this machine, "" if nothing."""
    if machine.integrator != "alternating":
        return f"runs by integrator={machine.integrator!r} where the page has 'alternating'"
    if machine.config["schedule"] is not None:
        return "follows a schedule where the page's couplings are constant in time"
    if machine.image_shape[0] != 1:
        return f"draws {machine.image_shape[0]} channels where the page has one"
    if not machine.potential.quartic:
        return "has a potential of its own"
    parts = _couplings(machine).slices.values()
    if any(len(values.unique()) > 1 for part in parts for values in _numbers(machine, part).values()):
        return "has different wells or mobilities within a group of units"
    return ""


@torch.no_grad()
def _stage(machine: ThermodynamicGenerator) -> dict[str, Any]:
    couplings, config = _couplings(machine), machine.config
    return {
        "image_shape": list(machine.image_shape[1:]),
        "temperature": machine.temperature,
        "joule_per_energy": energy_to_joule(1.0, machine.temperature) if machine.temperature else 0.0,
        "dt": machine.dt,
        "steps": machine.steps,
        "readout_steps": machine.readout_steps,
        "display_range": list(config["display_range"]),
        "groups": _groups(machine),
        "couplings": [
            {"rows": rows, "columns": columns, **_levels(couplings.block(rows, columns))}
            for rows, columns in couplings.pairs
        ],
        "bias": _levels(machine.potential.bias),
    }


def _groups(machine: ThermodynamicGenerator) -> list[dict[str, Any]]:
    """Return the groups of units in their order: their places, wells and mobilities, 0 for those that are held."""
    potential, couplings = machine.potential, _couplings(machine)
    second = second_colour(couplings.pieces(), potential.num_units)
    groups = []
    for name, part in couplings.slices.items():
        wells = {key: float(values[0]) for key, values in _numbers(machine, part).items()}
        if part.start >= machine.hidden.stop:
            wells["mobility"] = 0.0
        place = {"start": part.start, "size": part.stop - part.start, "second": bool(second[part.start])}
        groups.append({"name": name, **place, **wells})
    return groups


def _couplings(machine: ThermodynamicGenerator) -> BlockCouplings:
    return cast(BlockCouplings, machine.potential.couplings)


def _numbers(machine: ThermodynamicGenerator, part: slice) -> dict[str, Tensor]:
    """Return the wells and mobilities of a group of units, [unit] each."""
    potential = machine.potential
    values = {"j2": potential.j2, "j3": potential.j3, "j4": potential.j4, "mobility": machine.mobility}
    return {name: value.expand(potential.num_units)[part] for name, value in values.items()}


def _levels(values: Tensor) -> dict[str, Any]:
    """Return `quantised(values, BITS)` as scale x level; the levels in base64, one byte each, row by row."""
    values = quantised(values.detach().float().cpu(), BITS)
    scale = values.abs().amax().item() / (2 ** (BITS - 1) - 1)
    levels = (values / scale).round() if scale else torch.zeros_like(values)
    return {"scale": scale, "levels": base64.b64encode(levels.to(torch.int8).numpy().tobytes()).decode()}
