"""What one sample asks of a thermodynamic machine, in reduced units: what every device model prices."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.generator.noising import uncoupled
from thermotorch.models.generator.schedule import interaction

_RECORDS = 25  # states kept of each trajectory, for averages over the run


@dataclass(frozen=True)
class MachineRun:
    """One cycle of a machine, averaged over simulated samples. Energies in multiples of the machine's kT.

    A cycle is: switch couplings and biases on, relax (that is the sample), read, switch them off, relax back to noise.
    Over the cycle the machine returns to where it began, so the first law reads

        heat + preparation = work_on + work_off

    Every joule drawn from the supply by switching leaves as heat: a ledger counts heat, or work, never both.

    Args:
        heat, heat_stderr: given to the bath while the sample relaxes.
        preparation: given to the bath while the machine, switched off, relaxes back to noise.
        work_on, work_off: done by switching on at the noise (and by turning the knobs of a scheduled machine), and by
            switching off at the sample.
        returned: of both, what flows back into the supply in single runs; if that cannot take it, it is more heat.
        units, read_units, inputs: how many there are, are read, and are set for each sample (labels).
        couplings, biases: numbers to be programmed.
        temperature: kT in the potential's energy unit.
        run_time, noise_time: of the sample and of the noise, in units of 1 / (mobility x energy unit).
        coupling_slope: sum over all i != j of |J_ij|: the conductances that couplings need, in that of a unit slope.
        well_slope: sum over units of |2 j2| + 12 j4 <x^2>: the same for the wells, at the states of the run.
        coupling_loss: sum over bonds of |J_ij| <(x_i -+ x_j)^2>, in the energy unit per time unit: what resistors in
            the place of the couplings turn to heat. The sign is that of a resistor, straight or crossed.
        num_samples, seed: of the simulation.
    """

    heat: float
    heat_stderr: float
    preparation: float
    work_on: float
    work_off: float
    returned: float
    units: int
    read_units: int
    inputs: int
    couplings: int
    biases: int
    temperature: float
    run_time: float
    noise_time: float
    coupling_slope: float
    well_slope: float
    coupling_loss: float
    num_samples: int
    seed: int


def has_cycle(model: nn.Module) -> bool:
    """Whether a machine runs from noise to a sample, so that `machine_run` can follow its whole cycle."""
    return isinstance(model, ThermodynamicGenerator)


def noise_of(model: nn.Module, sample_ids: Tensor, seed: int) -> Tensor:
    """Where the samples of a `ThermodynamicGenerator` start, [sample, unit]; labels take their classes in turn."""
    labels = {"labels": sample_ids % model.num_classes} if model.num_classes else {}
    return model.start(len(sample_ids), seed=seed, sample_ids=sample_ids, **labels)


@torch.no_grad()
def machine_run(model: nn.Module, num_samples: int = 64, seed: int = 0, heat: Tensor | None = None) -> MachineRun:
    """Simulate one cycle of a `ThermodynamicGenerator` and return the averages that device models price.

    Args:
        model: the machine.
        num_samples, seed: of the simulation.
        heat: [n], n >= 2, in multiples of kT: heat of samples that were already generated, which then replaces that of
            these few.

    Raises:
        TypeError: a model that is no such machine.

    Cost: `num_samples` samples.
    """
    if not has_cycle(model):
        raise TypeError(f"model: expected a thermodynamic generator, found a {type(model).__name__}")
    potential, kT = model.potential, model.temperature
    start = noise_of(model, torch.arange(num_samples, device=potential.bias.device), seed)
    run = model.denoise(start, seed=seed, record=max(1, model.steps // _RECORDS))
    end = run.state
    wells = uncoupled(potential.num_units, potential.j2, potential.j4).to(start)
    on = model.segments[0].gain * interaction(potential, start) / kT
    off = -model.segments[-1].gain * interaction(potential, end) / kT
    turning = run.work / kT  # the knobs of a scheduled machine
    released = run.heat / kT if heat is None else heat
    second = (states := run.states.flatten(0, 1)).T @ states / len(states)
    square, strength, sign = second.diagonal(), potential.couplings.matrix(), potential.couplings.matrix().sign()
    across = square + square[:, None] + 2 * sign * second  # <(x_i +- x_j)^2>
    return MachineRun(
        heat=released.double().mean().item(),
        heat_stderr=released.double().std().item() / len(released) ** 0.5,
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
        noise_time=model.t_final,
        coupling_slope=strength.abs().sum().item(),
        well_slope=(2 * potential.j2.abs() + 12 * potential.j4 * square).sum().item(),
        coupling_loss=0.5 * (strength.abs() * across).sum().item(),
        num_samples=num_samples,
        seed=seed,
    )  # fmt: skip
