"""Energy of the samples of one entry, in rows and ledgers, and its network evaluations."""

from typing import NamedTuple

from thermotorch.evaluation import energy
from thermotorch.evaluation.energy.card_rows import arithmetic_rows, heat_rows, landauer_row, overhead_row, work_row
from thermotorch.evaluation.energy.digital_count import DigitalCount
from thermotorch.evaluation.energy.ledger import Ledger
from thermotorch.evaluation.energy.machine_run import MachineRun, has_cycle
from thermotorch.evaluation.energy.measured import measured_ledger
from thermotorch.evaluation.energy.rc_analog import RCAnalog
from thermotorch.evaluation.entries import Entry
from thermotorch.evaluation.generation import Generation
from thermotorch.zoo.rows import Row

_SIMULATED = 64  # samples that device models average over
_PRICED = RCAnalog.name  # device model of the overhead in the rows


class Costs(NamedTuple):
    """Energy of a sample, in rows for the card and by contribution."""

    rows: list[Row]
    ledgers: tuple[Ledger, ...]
    evaluations: int  # of the network, for one image; 0 for a device
    work: MachineRun | DigitalCount | None  # priced by the modelled ledgers; None for other machines


def costs(entry: Entry, generation: Generation) -> Costs:
    """Price the samples on every device model, or on every class of hardware.

    Args:
        entry: the model and its protocol.
        generation: its samples.

    Cost: 64 samples of a device, or one of a digital model with its operations counted.
    """
    seed, command, simulated = entry.protocol.seed, entry.command, min(entry.protocol.num_samples, _SIMULATED)
    bits = landauer_row(generation.images[0].numel(), seed)
    measured = measured_ledger(entry.label, generation.drawn)
    if generation.heat is not None and generation.work is not None:
        label, model, heat = entry.label, entry.model, generation.heat
        run = energy.machine_run(model, simulated, seed, heat) if has_cycle(model) else None
        ledgers = energy.thermodynamic_ledgers(label, model, heat, run=run, num_samples=simulated, seed=seed)
        priced = next((ledger for ledger in ledgers if ledger.scenario == _PRICED), None)
        rows = heat_rows(heat, seed, command=command)
        overhead = overhead_row(seed, priced, command, simulated if priced else 0)
        rows += [work_row(generation.work, seed, command), overhead, bits]
        return Costs(rows, (*ledgers, measured), 0, run)
    work = energy.count(entry.model, lambda: entry.able.draw(1, seed=seed, **entry.options).images)
    ledgers = energy.digital_ledgers(entry.label, work)
    rows = [*arithmetic_rows(work.flops, seed, command, entry.how), bits]
    return Costs(rows, (*ledgers, measured), work.evaluations, work)
