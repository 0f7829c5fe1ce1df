"""The description of a machine or chain for its page: wells, clocks and read-out, couplings and biases of a few bits.

The numbers are those of `realise(model, bits=...)`: every kind on 2^bits - 1 levels up to its largest magnitude. One
machine has 8 bits. A chain has some twenty times its couplings and six bits, which are one character of text each.
"""

import base64
import string
from typing import Any, cast

import torch
from torch import Tensor, nn

from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics.alternating import second_colour
from thermotorch.models.generator.chain import ThermodynamicChain
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.generator.stage import DenoisingStage
from thermotorch.models.imperfections import quantised
from thermotorch.potential import Potential
from thermotorch.units import energy_to_joule

MACHINE_BITS = 8
CHAIN_BITS = 6
FORMAT = 2
# Character k is level k - 31: one of base64's 64 for each level, so that a server's compression finds them.
CHARACTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+"


def describe(model: nn.Module, name: str) -> dict[str, Any]:
    """Return the description of a machine that a page can run, as plain numbers, strings, lists and dicts.

    Args:
        model: a `ThermodynamicGenerator` that runs by the alternating scheme, without a schedule, or a
            `ThermodynamicChain` that begins with one.
        name: name on the page.

    Raises:
        ValueError: a model that a page cannot show, with the reason.
    """
    if type(model) not in (ThermodynamicGenerator, ThermodynamicChain):
        raise ValueError(
            f"model: a page shows a ThermodynamicGenerator or a ThermodynamicChain, and {name} is a "
            f"{type(model).__name__}; try model=generator.mnist"
        )
    model = cast(ThermodynamicGenerator | ThermodynamicChain, model).without_die()  # a page asks for classes
    chain = model if isinstance(model, ThermodynamicChain) else None
    first = cast(ThermodynamicGenerator, chain.first if chain else model)
    if reason := _not_shown(first):
        raise ValueError(f"model: a page cannot show {name}, which {reason}; try model=generator.mnist")
    bits = CHAIN_BITS if chain else MACHINE_BITS
    temperature = chain.temperature if chain else first.temperature
    return {
        "format": FORMAT,
        "name": name,
        "bits": bits,
        "image_shape": list(first.image_shape[1:]),
        "display_range": list(first.config["display_range"]),
        "temperature": temperature,  # the kT that heat is counted in, that of 300 K
        "joule_per_energy": energy_to_joule(1.0, temperature) if temperature else 0.0,
        "first": _first(first, bits) | ({"readout_steps": 0} if chain else {}),  # a chain takes the state at the end
        "stages": [_stage(cast(DenoisingStage, stage), bits) for stage in chain.stages] if chain else [],
        "order": list(chain.order) if chain else [],
    }


def _not_shown(machine: ThermodynamicGenerator) -> str:
    """Return the property of this machine that the page's simulator lacks, "" for none."""
    if machine.integrator != "alternating":
        return f"runs by integrator={machine.integrator!r} where the page has 'alternating'"
    if machine.config["schedule"] is not None:
        return "follows a schedule where the page's couplings are constant in time"
    if machine.image_shape[0] != 1:
        return f"draws {machine.image_shape[0]} channels where the page has one"
    if not machine.potential.quartic:
        return "has a potential of its own"
    parts = _couplings(machine.potential).slices.values()
    if any(
        len(values.unique()) > 1
        for part in parts
        for values in _numbers(machine.potential, machine.mobility, part).values()
    ):
        return "has different wells or mobilities within a group of units"
    return ""


@torch.no_grad()
def _first(machine: ThermodynamicGenerator, bits: int) -> dict[str, Any]:
    groups = _groups(machine.potential, machine.mobility)
    for group in groups:
        if group["start"] >= machine.hidden.stop:
            group["mobility"] = 0.0
    return _clock(machine) | {"groups": groups, **_levels(machine.potential, bits)}


@torch.no_grad()
def _stage(stage: DenoisingStage, bits: int) -> dict[str, Any]:
    """Return a machine of a chain with its couplings to held units, noisy image and labels, [unit, held unit]."""
    noise = {key: getattr(stage, key) for key in ("angle", "noising_time", "amplitude", "hidden_spread")}
    return {
        **_clock(stage),
        **noise,
        "classes": len(stage.label_hidden),
        "groups": _groups(stage.potential, torch.tensor(1.0)),
        **_levels(stage.potential, bits),
        "held_hidden": written(stage.held_hidden.T, bits),
        "held_visible": written(stage.held_visible, bits),
        "label_hidden": written(stage.label_hidden.T, bits),
    }


def _clock(machine: ThermodynamicGenerator | DenoisingStage) -> dict[str, Any]:
    return {key: getattr(machine, key) for key in ("temperature", "dt", "steps", "readout_steps")}


def _levels(potential: Potential, bits: int) -> dict[str, Any]:
    """Return the couplings, block by block, and the biases."""
    couplings = _couplings(potential)
    blocks = [
        {"rows": rows, "columns": columns, **written(couplings.block(rows, columns), bits)}
        for rows, columns in couplings.pairs
    ]
    return {"couplings": blocks, "bias": written(potential.bias, bits)}


def _groups(potential: Potential, mobility: Tensor) -> list[dict[str, Any]]:
    """Return the groups of units in their order: their places, wells and mobilities."""
    couplings = _couplings(potential)
    second = second_colour(couplings.pieces(), potential.num_units)
    return [
        {
            "name": name,
            "start": part.start,
            "size": part.stop - part.start,
            "second": bool(second[part.start]),
            **{key: float(values[0]) for key, values in _numbers(potential, mobility, part).items()},
        }
        for name, part in couplings.slices.items()
    ]


def _couplings(potential: Potential) -> BlockCouplings:
    return cast(BlockCouplings, potential.couplings)


def _numbers(potential: Potential, mobility: Tensor, part: slice) -> dict[str, Tensor]:
    """Return the wells and mobilities of a group of units, [unit] each."""
    values = {"j2": potential.j2, "j3": potential.j3, "j4": potential.j4, "mobility": mobility}
    return {name: value.expand(potential.num_units)[part] for name, value in values.items()}


def written(values: Tensor, bits: int) -> dict[str, Any]:
    """Return `quantised(values, bits)` as {"scale", "levels"}, row by row: text whose numbers are scale x level.

    Levels are bytes in base64 or, at six bits and fewer, a character each.

    Args:
        values: couplings or biases of any shape.
        bits: 2 to 8.
    """
    values = quantised(values.detach().float().cpu(), bits)
    scale = values.abs().amax().item() / (2 ** (bits - 1) - 1) if values.numel() else 0.0
    levels = (values / scale).round().to(torch.int8) if scale else torch.zeros_like(values, dtype=torch.int8)
    if bits > 6:
        return {"scale": scale, "levels": base64.b64encode(levels.contiguous().numpy().tobytes()).decode()}
    places = (levels + 31).to(torch.uint8).contiguous().numpy().tobytes()
    return {"scale": scale, "levels": places.translate(bytes(CHARACTERS, "ascii").ljust(256, b"?")).decode("ascii")}
