"""Write docs/energy.md, the energy ledgers of one machine and one digital model, with the code that fills them.

`python -m scripts.pages.energy_page` takes a minute on one core.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from torch import nn

from scripts.pages.circuit_table import checked_section
from scripts.pages.claims import claims
from scripts.pages.energy_tables import effects_table, quantities_table
from thermotorch.evaluation.energy.digital_count import DigitalCount, count
from thermotorch.evaluation.energy.digital_hardware import HARDWARE_CLASSES
from thermotorch.evaluation.energy.machine_run import MachineRun, machine_run
from thermotorch.evaluation.energy.quantity import quantities
from thermotorch.evaluation.energy.ratio import Ratio, ratio
from thermotorch.evaluation.energy.sensitivity import Side, sensitivity
from thermotorch.evaluation.energy.thermodynamic import DEVICES, device
from thermotorch.evaluation.report.energy_tables import ledgers_table
from thermotorch.evaluation.report.markdown import bullet, number, table
from thermotorch.units import ROOM_TEMPERATURE
from thermotorch.zoo import load_card, load_checkpoint
from thermotorch.zoo.rows import rows_of

MACHINE, DIGITAL, CLASSIFIER = "generator.mnist", "ddpm.mnist", "classifier.teacher_student"
COMMAND = "python -m scripts.pages.energy_page"

_INTRODUCTION = """# The energy ledger

What a sample costs, contribution by contribution. Everything on this page is **modelled**: the thermodynamic machines
are simulated, and no digital joule here was metered. Joules that a machine's counters do give (`NVML`, `RAPL`, with the
idle power taken off) are in the ledger "this machine" of a comparison, and never share a table with these.

`{command}` writes this page; nothing on it is typed in. The same ledgers are in `thermotorch-compare` and
`thermotorch-evaluate` (`energy.md` in its folder), and in Python:

```python
import thermotorch as tt
from thermotorch.evaluation import energy

machine = tt.create_model("generator.mnist", pretrained=True)
model = tt.create_model("ddpm.mnist", pretrained=True)

ledgers = energy.thermodynamic_ledgers("mine", machine)  # one for each device model
work = energy.count(model, lambda: model.generate(1))
others = energy.digital_ledgers("baseline", work)  # one for each class of hardware
print(energy.ratio(others[0], ledgers[1]).words)  # names both sides and their scenarios
energy.sensitivity(
    energy.Side("baseline", energy.hardware_class("A100 fp16"), work),
    energy.Side("mine", energy.device("rc_analog"), energy.machine_run(machine)),
)
```

In brackets stands the range that the quantities below leave, all of a line at their worst together. A device model is a
frozen dataclass of them, so that another opinion is `dataclasses.replace` away.

## How a machine is priced

A cycle of the machine: switch couplings and biases on, relax (that is the sample), read, switch off, relax to noise.
Over a cycle it returns to where it was, so that heat + preparation = work of switching on + off. **Every joule that
switching takes from the supply becomes heat; the ledger counts it once, as heat.**

- `ideal`: heat of the dynamics at {kelvin:g} K, and kT ln 2 for each bit of memory that is overwritten. The device
  of the papers, and a lower scale.
- `rc_analog`: voltages on thermal RC nodes, coupled by transconductors. The derivation (voltage scale
  sqrt(kT / C T), energy scale kT / T, static current, which does not depend on the clock) is in the docstring of
  `RCAnalog`. Its heat is v i, not the fall of V, and a part of the static current.
- `spu_board`: as many LC cells of the board of Normal Computing as the machine has units. Little is published; what is
  not stays without a number, and the total is a lower bound.
- `dtca`: Extropic's transistor cells, by the update, read and write. That binary cells with 12 neighbours can do the
  work of these machines is assumed, not shown.

A digital model is counted by running it: operations of every layer (a multiply-add is two; element-wise operations and
random numbers count as none), and the numbers that every operation reads or writes, once each. On 45 nm circuits each
of them costs; a board draws its rated power for the longer of computing at its peak and moving the numbers.
"""


def energy_page(
    machine_name: str,
    machine: nn.Module,
    digital_name: str,
    digital: nn.Module,
    classifier_name: str,
    classifier_heat: float,
    *,
    command: str,
    num_samples: int = 256,
    seed: int = 0,
    progress: Callable[[str], None] = lambda what: None,
    **sampling: object,
) -> str:
    """Return the page for one thermodynamic and one digital generator.

    Args:
        machine_name, machine: the thermodynamic generator.
        digital_name, digital: the digital generator.
        classifier_name, classifier_heat: classifier of the third claim, and its heat of an inference in kT.
        command: command that writes the page.
        num_samples, seed: number of simulated samples of the machine, and their seed.
        progress: called with a description of each step.
        sampling: arguments of the digital model, such as `sampler="dpm++", steps=10`.

    Cost: `num_samples` samples of the machine, and one counted sample of the digital model.
    """
    progress(f"{num_samples} samples of {machine_name}")
    run = machine_run(machine, num_samples, seed)
    progress(f"operations of {digital_name}")
    work = count(digital, lambda: digital.generate(1, seed=seed, **sampling))
    how = ", ".join(f"{key} {value}" for key, value in sampling.items())
    label = f"{digital_name}, {how}" if how else digital_name
    parts = [
        introduction(command),
        f"## {machine_name}",
        f"Modelled, {num_samples} samples, seed {seed}. Work of switching on {number(run.work_on)} kT and off "
        f"{number(run.work_off)} kT; heat {number(run.heat, run.heat_stderr)} kT and preparation "
        f"{number(run.preparation)} kT.",
        ledgers_table([model.ledger(machine_name, run) for model in DEVICES]),
        "\n".join(_shares(machine_name, run)),
        checked_section(),
        f"## {label}",
        f"{work.flops:,} operations for a sample in batch one; {work.numbers:,} numbers read or written by them, of "
        f"which {work.weight_numbers:,} weights; at least {work.least_numbers:,} (each weight once, and the sample).",
        ledgers_table([kind.ledger(label, work) for kind in HARDWARE_CLASSES]),
        _layers(work),
        "## Ratios",
        "Total of the digital model over total of the machine, both modelled. Where a device lacks contributions, the "
        "ratio is *at most* this. The samples are not of one quality: see the report of `thermotorch-compare`.",
        _ratios(label, work, machine_name, run),
        "## Which assumption changes the ratio by ten",
        "Each quantity is put at its low and at its high, the others at their values. Bold: a factor of ten or more.",
        *_sensitivities(label, work, machine_name, run),
        "## The claims of the papers",
        "Three kinds of estimate; none was measured at the wall, and the ratios above say how far each is from one.",
        _claims(claims(label, work, machine_name, run, classifier_name, classifier_heat)),
        "## Quantities and their sources",
        quantities_section(),
    ]
    return "\n\n".join(parts) + "\n"


def introduction(command: str) -> str:
    """Return the first part of the page, with the command that writes it."""
    return _INTRODUCTION.format(command=command, kelvin=ROOM_TEMPERATURE).strip()


def quantities_section() -> str:
    """Return a table of every quantity of the device models and classes of hardware."""
    return quantities_table(
        (hardware.name, name, quantity)
        for hardware in (*DEVICES, *HARDWARE_CLASSES)
        for name, quantity in quantities(hardware)
    )


def _shares(machine: str, run: MachineRun) -> Iterator[str]:
    """Yield the shares of the heat and of the largest contribution in each total."""
    for model in DEVICES:
        ledger = model.ledger(machine, run)
        known = [line for line in ledger.contributions if line.joule is not None]
        largest, heat = max(known, key=lambda line: line.joule), known[0]
        whole = "what is known of the total" if ledger.missing else "the total"
        yield bullet(
            f"`{ledger.scenario}`: the {heat.contribution} is {heat.joule / ledger.total.joule:.2g} of {whole}, "
            f"{largest.contribution} {largest.joule / ledger.total.joule:.2g}."
        )


def by_block(work: DigitalCount, depth: int) -> dict[str, int]:
    """Return the operations summed over the modules that share the first `depth` parts of their name."""
    blocks: dict[str, int] = {}
    for name, flops in work.flops_by_layer.items():
        block = ".".join(name.split(".")[:depth])
        blocks[block] = blocks.get(block, 0) + flops
    return blocks


def _layers(work: DigitalCount) -> str:
    blocks = by_block(work, 3)
    rows = [[name or "outside the network", f"{flops:,}", f"{100 * flops / work.flops:.1f} %"]
            for name, flops in sorted(blocks.items(), key=lambda block: -block[1])]  # fmt: skip
    return table(["operations by block", "for a sample", "of all"], rows, right=(1, 2))


def _ratios(label: str, work: DigitalCount, machine: str, run: MachineRun) -> str:
    below = [model.ledger(machine, run) for model in DEVICES]
    header = ["digital over", *(f"{ledger.scenario}{' (at most)' if ledger.missing else ''}" for ledger in below)]
    rows = [
        [kind.name, *(_shown(ratio(kind.ledger(label, work), ledger)) for ledger in below)] for kind in HARDWARE_CLASSES
    ]
    return table(header, rows, right=range(1, len(header)))


def _shown(found: Ratio) -> str:
    return f"{found.value:.0e} ({found.low:.0e} to {found.high:.0e})"


def _sensitivities(label: str, work: DigitalCount, machine: str, run: MachineRun) -> Iterator[str]:
    for above, below in (("A100 fp32", "rc_analog"), ("A100 fp32", "dtca"), ("45 nm fp32", "ideal")):
        hardware = next(kind for kind in HARDWARE_CLASSES if kind.name == above)
        effects = sensitivity(Side(label, hardware, work), Side(machine, device(below), run))
        yield f"{above} over {below}:"
        yield effects_table(effect for effect in effects if effect.factor > 1.005)


def _claims(found: tuple) -> str:
    rows = [[one.paper, one.claim, one.divides, one.here, f"{one.value:.0e}"] for one in found]
    return table(["paper", "ratio", "what is divided by what", "the same kind here", "ratio"], rows, right=(4,))


if __name__ == "__main__":
    heat = next(row.known for row in rows_of(load_card(CLASSIFIER)) if row.metric == "inference heat")
    page = energy_page(
        MACHINE,
        load_checkpoint(MACHINE),
        DIGITAL,
        load_checkpoint(DIGITAL),
        CLASSIFIER,
        heat,
        command=COMMAND,
        progress=lambda what: print(what, file=sys.stderr),
        sampler="dpm++",
        steps=10,
    )
    path = Path(__file__).resolve().parents[2] / "docs" / "energy.md"
    path.write_text(page, encoding="utf-8")
    print(path)
