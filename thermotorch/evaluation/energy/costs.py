"""Energy of the samples of one entry, in rows and ledgers, and its network evaluations."""

from functools import partial
from typing import NamedTuple

from thermotorch.evaluation import energy
from thermotorch.evaluation.entries import Entry
from thermotorch.evaluation.generation import Generation, sampler_options
from thermotorch.evaluation.quality.curve import network_evaluations
from thermotorch.models.protocol import abilities
from thermotorch.zoo.rows import Row

_SIMULATED = 64  # samples that device models average over
_PRICED = energy.RCAnalog.name  # device model of the overhead in the rows


class Costs(NamedTuple):
    """Energy of a sample, in rows for the card and by contribution."""

    rows: list[Row]
    ledgers: tuple[energy.Ledger, ...]
    evaluations: int  # of the network, for one image; 0 for a device
    work: energy.MachineRun | energy.DigitalCount | None  # priced by the modelled ledgers; None for other machines


def costs(entry: Entry, generation: Generation, how: str = "", command: str = "") -> Costs:
    """Price the samples on every device model, or on every class of hardware.

    Args:
        entry: the model and its protocol.
        generation: its samples.
        how: description of the sampling, for the notes.
        command: command that reproduces the rows.

    Cost: 64 samples of a device, or one of a digital model with its operations counted.
    """
    seed, simulated = entry.protocol.seed, min(entry.protocol.num_samples, _SIMULATED)
    bits = energy.landauer_row(generation.images[0].numel(), seed)
    measured = energy.measured_ledger(entry.label, generation.drawn)
    able = abilities(entry.model)
    if generation.heat is not None and generation.work is not None:
        run = None
        if energy.has_cycle(entry.model):
            run = energy.machine_run(entry.model, simulated, seed, generation.heat)
            ledgers = tuple(device.ledger(entry.label, run) for device in energy.DEVICES)
        else:
            ledgers = energy.thermodynamic_ledgers(
                entry.label, entry.model, generation.heat, num_samples=simulated, seed=seed
            )
        priced = next((ledger for ledger in ledgers if ledger.scenario == _PRICED), None)
        rows = energy.heat_rows(generation.heat, seed, command=command)
        overhead = energy.overhead_row(seed, priced, command, simulated if priced else 0)
        rows += [energy.work_row(generation.work, seed, command), overhead, bits]
        return Costs(rows, (*ledgers, measured), 0, run)
    draw_one = partial(able.draw, 1, seed=seed, **sampler_options(able, entry.protocol))
    evaluations, work = network_evaluations(entry.model, lambda: energy.count(entry.model, lambda: draw_one().images))
    ledgers = energy.digital_ledgers(entry.label, work)
    rows = [*energy.arithmetic_rows(work.flops, seed, command, how), bits]
    return Costs(rows, (*ledgers, measured), evaluations, work)
