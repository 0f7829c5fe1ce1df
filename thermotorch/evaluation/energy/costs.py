"""What the samples of one entry cost: rows and ledgers of its energy, and how often its network is evaluated."""

from typing import NamedTuple

from torch import Tensor

from thermotorch.evaluation import energy
from thermotorch.evaluation.entries import Entry
from thermotorch.evaluation.generation import Generation, sampler_options
from thermotorch.evaluation.quality.curve import network_evaluations
from thermotorch.models.protocol import abilities
from thermotorch.zoo.rows import Row

_SIMULATED = 64  # samples that device models average over
_PRICED = energy.RCAnalog.name  # the device model whose other contributions stand beside the heat in the rows


class Costs(NamedTuple):
    """Energy of a sample, in rows for the card and by contribution; modelled and measured in different ledgers."""

    rows: list[Row]
    ledgers: tuple[energy.Ledger, ...]
    evaluations: int  # of the network, for one image; 0 for a device
    work: energy.MachineRun | energy.DigitalCount | None  # what the modelled ledgers price; None for other machines


def costs(entry: Entry, made: Generation, how: str = "", command: str = "") -> Costs:
    """Price the samples on every device model, or on every class of hardware.

    Args:
        entry: the model, and how it was sampled.
        made: its samples.
        how: they were sampled, in words, for the notes.
        command: what gives the rows again.

    Cost: 64 samples of a device; one of a digital model, in which every operation is counted.
    """
    seed, n = entry.protocol.seed, entry.protocol.num_samples
    bits = energy.landauer_row(made.images[0].numel(), seed)
    measured = energy.measured_ledger(entry.label, made.drawn)
    able = abilities(entry.model)
    if able.thermodynamic:
        run = (
            energy.machine_run(entry.model, min(n, _SIMULATED), seed, made.heat)
            if energy.has_cycle(entry.model)
            else None
        )
        if run is None:
            ledgers = energy.thermodynamic_ledgers(entry.label, entry.model, made.heat)
        else:
            ledgers = tuple(device.ledger(entry.label, run) for device in energy.DEVICES)
        priced = next((ledger for ledger in ledgers if ledger.scenario == _PRICED), None)
        rows = energy.heat_rows(made.heat, seed, command=command)
        overhead = energy.overhead_row(seed, priced, command, run.num_samples if run else 0)
        rows += [energy.work_row(made.work, seed, command), overhead, bits]
        return Costs(rows, (*ledgers, measured), 0, run)
    options, found = sampler_options(able, entry.protocol), []

    def one() -> Tensor:
        return entry.model.generate(1, seed=seed, **options)

    evaluations = network_evaluations(entry.model, lambda: found.append(energy.count(entry.model, one)))
    (work,) = found
    ledgers = energy.digital_ledgers(entry.label, work)
    return Costs(
        [*energy.arithmetic_rows(work.flops, seed, command, how), bits], (*ledgers, measured), evaluations, work
    )
