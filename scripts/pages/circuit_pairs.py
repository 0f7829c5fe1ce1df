"""Measure coupling pairs in ngspice and print what their saturation does to the digits of generator.digits8x8.

python -m scripts.pages.circuit_pairs        # two minutes

Pairs answer to the unit that they read, J f(x_j), so that the forces of a bond have no common energy and `simulate`
does not apply: the loop here is Heun's scheme of the same equation.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from scripts.pages.circuit_cell import REACH, WELLS, with_wells
from scripts.pages.circuit_digits import NAME, SAMPLES, judge, obeyed
from thermotorch.circuit.cell import measure, measure_pair, well
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.zoo import load_checkpoint

DT = 0.0125


def table(state: Tensor, value: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the broken line through measured points, constant beyond the last ones."""
    spacing = (state[1] - state[0]).item()

    def look_up(x: Tensor) -> Tensor:
        place = ((x - state[0].item()) / spacing).clamp(0, len(state) - 1.001)
        cell = place.long()
        return torch.lerp(value[cell], value[cell + 1], place - cell)

    return look_up


@torch.no_grad()
def drawn(
    machine: ThermodynamicGenerator, wells: Callable[[Tensor], Tensor], answer: Callable[[Tensor], Tensor], seed: int
) -> Tensor:
    """Return images of a machine whose couplings answer J f(x_j), from the preparation on."""
    potential, kT = machine.potential, machine.temperature
    strength, bias = potential.couplings.matrix(), potential.bias
    moves = (torch.arange(potential.num_units) < machine.hidden.stop).float()
    noise = torch.Generator().manual_seed(seed)
    x = torch.zeros(SAMPLES, potential.num_units)
    x[torch.arange(SAMPLES), machine.hidden.stop + torch.arange(SAMPLES) % 10] = 1.0
    steps, kept = round(machine.t_final / DT), []
    for step in range(2 * steps):

        def force(x: Tensor, on: bool = step >= steps) -> Tensor:
            return -(wells(x) + (bias + answer(x) @ strength if on else 0.0))

        kick = (2 * kT * DT) ** 0.5 * torch.randn(x.shape, generator=noise)
        first = force(x)
        x = x + moves * (0.5 * DT * (first + force(x + moves * (DT * first + kick))) + kick)
        kept = [*kept, x][-round(machine.config["readout_time"] / DT) :]
    return machine.to_images(torch.stack(kept).mean(0))


def main() -> None:
    classifier, machine = judge(), load_checkpoint(NAME)
    assert isinstance(machine, ThermodynamicGenerator)
    force = torch.stack([measure(list(well(cell, 0)), reach=REACH).force for cell, _ in WELLS.values()])
    wells = {
        "quartic": machine.potential.on_site_gradient,
        "cells": with_wells(machine, force).potential.on_site_gradient,
    }
    answers: dict[str, Callable[[Tensor], Tensor]] = {"linear": lambda x: x}
    for overdrive in (0.2, 0.1, 0.05):
        state, value = measure_pair(overdrive)
        offset = value[len(value) // 2].item()
        away = ((value - offset - state).abs() / state.abs().clamp_min(1e-9))[state.abs() > 0.01]
        at = {reach: away[(state[state.abs() > 0.01]).abs() <= reach + 1e-9].max().item() for reach in (0.5, 1.0, 1.5)}
        print(
            f"V_ov {overdrive}: offset {offset:.4f}, from linear", {reach: round(far, 3) for reach, far in at.items()}
        )
        answers[f"pairs {overdrive}"] = table(state, (value - offset).float())
    for well_name, answer_name in (
        ("quartic", "linear"), ("quartic", "pairs 0.2"), ("quartic", "pairs 0.1"), ("quartic", "pairs 0.05"),
        ("cells", "linear"), ("cells", "pairs 0.2"),
    ):  # fmt: skip
        found = [obeyed(classifier, drawn(machine, wells[well_name], answers[answer_name], seed)) for seed in (0, 1)]
        print(f"{well_name} wells, {answer_name}: {found[0]:.3f}, {found[1]:.3f} of {SAMPLES}", flush=True)


if __name__ == "__main__":
    main()
