"""The cycle of a thermodynamic machine in reduced units, which every device model prices."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeGuard

import torch
from torch import Tensor, nn

from thermotorch.evaluation.estimate import mean_of
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.potential import Potential

_RECORDS = 25  # recorded states per trajectory, for averages over the run


@dataclass(frozen=True)
class MachineRun:
    """One cycle of a machine, averaged over simulated samples. Energies in multiples of the machine's kT.

    A cycle switches couplings and biases on, relaxes to the sample, reads it, switches off and relaxes back to noise.
    It ends where it began, so the first law reads

        heat + preparation = work_on + work_off

    All work of switching leaves as heat: a ledger counts heat or work, never both.

    On a circuit `drive` is the v i that couplings and biases give to the nodes; unlike the heat it grows with the time.
    `coupling_loss` is the heat of resistors in place of the couplings, straight or crossed as the sign says.
    """

    heat: float  # given to the bath while the sample relaxes
    heat_stderr: float
    preparation: float  # heat given to the bath while the machine, switched off, relaxes back to noise
    work_on: float  # of switching on at the noise, and of turning the knobs of a scheduled machine
    work_off: float  # of switching off at the sample
    returned: float  # work that flows back into the supply in single runs, extra heat if the supply cannot take it
    units: int
    read_units: int
    inputs: int  # labels set for each sample
    couplings: int  # to program, and so are the biases
    biases: int
    temperature: float  # kT in the potential's energy unit
    run_time: float  # of the sample, in units of 1 / (mobility x energy unit)
    noise_time: float  # of the noise before it, averaged over units: a die takes longer than the others
    drive: float  # integral of -gain mu x.(b + Jx) over the units that move while the sample relaxes
    stored: float  # growth of x^2 / 2 of these units in that time, the charge of the nodes
    coupling_slope: float  # sum of |J_ij| over i != j where unit i moves, a conductance in units of that of unit slope
    well_slope: float  # the same for the wells at the states of the run: sum of |2 j2| + 12 j4 <x^2>
    coupling_loss: float  # sum over bonds of |J_ij| <(x_i -+ x_j)^2>, in energy units per time unit
    num_samples: int  # that were simulated
    seed: int


def has_cycle(model: nn.Module) -> TypeGuard[ThermodynamicGenerator]:
    """Return True for a machine that runs from noise to a sample, whose cycle `machine_run` can follow."""
    return isinstance(model, ThermodynamicGenerator)


def noise_of(model: ThermodynamicGenerator, sample_ids: Tensor, seed: int) -> Tensor:
    """Return the initial states of samples, [sample, unit]; held labels take their classes in turn."""
    labels = sample_ids % model.num_classes if model.num_classes and not model.draws_class else None
    return model.start(len(sample_ids), seed=seed, sample_ids=sample_ids, labels=labels)


@torch.no_grad()
def machine_run(model: nn.Module, num_samples: int = 64, seed: int = 0, heat: Tensor | None = None) -> MachineRun:
    """Simulate the cycle of a `ThermodynamicGenerator` and return the averages that device models price.

    Args:
        model: the machine.
        num_samples, seed: number of simulated samples, and their seed.
        heat: [n], n >= 2, in multiples of kT, heat of samples already generated, which replaces that of the simulation.

    Raises:
        TypeError: another kind of model.

    Cost: `num_samples` samples.
    """
    if not has_cycle(model):
        raise TypeError(f"model: expected a thermodynamic generator, found a {type(model).__name__}")
    potential, kT = model.potential, model.temperature
    start = noise_of(model, torch.arange(num_samples, device=potential.bias.device), seed)
    run = model.denoise(start, seed=seed, record=max(1, model.steps // _RECORDS))
    end = run.state
    wells = model.resting()
    on = model.segments[0].gain * model.interaction(start) / kT
    off = -model.segments[-1].gain * model.interaction(end) / kT
    turning = run.work / kT  # the knobs of a scheduled machine
    released, released_stderr = mean_of(run.heat / kT if heat is None else heat)
    assert run.states is not None  # recorded
    held, die = model.held(), model.die
    die_time = max(0.0, die.time - model.t_final) * 2 * die.classes / potential.num_units if die else 0.0
    moves = torch.ones_like(end[0]) if held is None else (~held).to(end)
    times = torch.linspace(0, model.steps - 1, len(run.states) + 1).tolist()
    gain = [next(part.gain for part in model.segments if step < part.last) for step in times]
    return MachineRun(
        heat=released,
        heat_stderr=released_stderr,
        preparation=(wells.energy(end) - wells.energy(start)).double().mean().item() / kT,
        work_on=(on + turning).double().mean().item(),
        work_off=off.double().mean().item(),
        returned=-sum(work.clamp(max=0).double().mean().item() for work in (on, turning, off)),
        units=potential.num_units,
        read_units=prod(model.image_shape),
        inputs=model.num_classes,
        couplings=potential.couplings.num_bonds,
        biases=int((potential.bias != 0).sum()),
        temperature=kT,
        run_time=model.t_final,
        noise_time=model.t_final + die_time,
        drive=drive(potential, torch.cat([start[None], run.states]), model.mobility * moves, model.t_final, gain) / kT,
        stored=((end**2 - start**2) @ moves).double().mean().item() / (2 * kT),
        **slopes(potential, run.states, moves),
        num_samples=num_samples,
        seed=seed,
    )


def slopes(potential: Potential, states: Tensor, moves: Tensor) -> dict[str, float]:
    """Return `coupling_slope`, `well_slope` and `coupling_loss` of `MachineRun` from the states of a run.

    Args:
        potential: potential of all units.
        states: [record, sample, unit].
        moves: 1 for units that move and 0 for clamped ones, [unit].
    """
    second = (states := states.flatten(0, 1)).T @ states / len(states)
    square, strength = second.diagonal(), potential.couplings.matrix()
    across = square + square[:, None] + 2 * strength.sign() * second  # <(x_i +- x_j)^2>
    wells = 2 * potential.j2.abs() + 12 * potential.j4 * square
    return {
        "coupling_slope": (moves @ strength.abs()).sum().item(),
        "well_slope": (wells @ moves).item(),
        "coupling_loss": 0.5 * (strength.abs() * across).sum().item(),
    }


def drive(potential: Potential, states: Tensor, weight: Tensor, time: float, gain: Sequence[float]) -> float:
    """Return the integral of -gain w x.(b + Jx) over a run.

    Args:
        potential: potential of all units.
        states: equally distant states, from the start to the end, [record, sample, unit].
        weight: w, the mobility of units that move and 0 for clamped ones, [unit].
        time: duration of the run.
        gain: factor of couplings and biases, [record].
    """
    field = weight * (potential.live_bias() + potential.couplings(states))
    power = -(states * field).sum(-1).double().mean(1).cpu() * torch.tensor(gain).double()
    return torch.trapezoid(power).item() * time / (len(states) - 1)
