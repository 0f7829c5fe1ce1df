"""Energy as rows of model cards: heat of the ideal device, overhead of one that could be built, arithmetic.

The ledgers hold all contributions with their ranges; a card keeps these few numbers. None is power at the wall.
"""

from torch import Tensor

from thermotorch.arguments import number_of, real, seed_of
from thermotorch.evaluation.energy.contribution import Line
from thermotorch.evaluation.energy.digital_count import NOTHING_COUNTED
from thermotorch.evaluation.energy.digital_hardware import A100_FP32, FP32_45NM
from thermotorch.evaluation.energy.ledger import Ledger
from thermotorch.evaluation.estimate import mean_of
from thermotorch.units import ROOM_TEMPERATURE, kT_to_joule, landauer_bound
from thermotorch.zoo.rows import Row, joined, unavailable

WORK = "work of switching on"
OVERHEAD = "device overhead"
HEAT = "generation heat"
ARITHMETIC = "arithmetic"
JOULE = "J per sample"
HARDWARE = (FP32_45NM, A100_FP32)  # classes in model cards


def heat_rows(
    heat: Tensor, seed: int, kelvin: float = ROOM_TEMPERATURE, command: str = "", what: str = "generation"
) -> list[Row]:
    """Return the rows of the heat that an ideal device gives to its bath, all modelled.

    Args:
        heat: [n], n >= 2, heat of each sample in multiples of the device's kT.
        seed: seed of the samples.
        kelvin: temperature of the device, for the conversion to joules.
        command: command that reproduces the rows.
        what: name of the process; the rows are called "<what> heat".

    Returns:
        The mean and its standard error in kT, the standard deviation in kT, the mean in joules.
    """
    if real("heat", heat).dim() != 1 or len(heat) < 2:
        raise ValueError(f"heat: expected at least two numbers [n], found shape {tuple(heat.shape)}")
    seed, kelvin = seed_of(seed), number_of("kelvin", kelvin, positive=True)
    n, (mean, stderr) = len(heat), mean_of(heat)
    ideal = "ideal device: heat of the run alone, not of the way back to where it began"
    name = f"{what} heat"
    return [
        Row(name, mean, "kT per sample", n, seed, "modelled", stderr, command, ideal),
        Row(f"{name}, standard deviation", stderr * n**0.5, "kT", n, seed, "modelled", None, command, ideal),
        Row(f"{name} at {kelvin:g} K", kT_to_joule(mean, kelvin), JOULE, n, seed, "modelled",
            kT_to_joule(stderr, kelvin), command, ideal),
    ]  # fmt: skip


def work_row(work: Tensor, seed: int, command: str = "") -> Row:
    """Return the mean work [n], in kT, of switching the potential on and of turning the gain of a scheduled machine."""
    note = "couplings and biases switched on at the noise a sample starts from, and the gain of a schedule turned"
    mean, stderr = mean_of(work)
    return Row(WORK, mean, "kT per sample", len(work), seed, "modelled", stderr, command, note)


def overhead_row(seed: int, ledger: Ledger | None = None, command: str = "", num_samples: int = 0) -> Row:
    """Return the energy of a device beside the heat of the trajectory, the sum of the other lines of its ledger.

    Args:
        seed: seed of the samples.
        ledger: ledger of the device model; None for a machine that no device model prices.
        command: command that reproduces the row.
        num_samples: number of samples behind the ledger.
    """
    if ledger is None or ledger.kind == "unavailable":
        return unavailable(OVERHEAD, JOULE, seed, "no device model prices this kind of machine")
    others = tuple(line for line in ledger.contributions if line.contribution != Line.TRAJECTORY)
    total = Ledger(ledger.model, ledger.scenario, others).total
    if total.joule is None:
        return unavailable(OVERHEAD, JOULE, seed, f"{ledger.scenario}: no other contribution is known")
    largest = max((line for line in others if line.joule is not None), key=lambda line: line.known)
    note = joined(f"device model {ledger.scenario}, {total.low:.1e} to {total.high:.1e} J by its assumptions",
                  f"most of it {largest.contribution}", total.note)  # fmt: skip
    return Row(OVERHEAD, total.joule, JOULE, num_samples, seed, "modelled", command=command, note=note)


def landauer_row(bits: int, seed: int) -> Row:
    """Return the least heat of erasing `bits` bits, a scale for the other energies rather than a bound on them."""
    conditions = f"one per pixel, at {ROOM_TEMPERATURE:g} K: a scale, not a bound on the machine"
    note = f"least heat of erasing {bits} bits, {conditions}"
    return Row(f"Landauer bound, {bits} bits", landauer_bound(bits), JOULE, 0, seed, "modelled", note=note)


def arithmetic_rows(flops: int, seed: int, command: str = "", note: str = "") -> list[Row]:
    """Return the operations of a digital model for one sample, and their modelled energy on each class of hardware.

    The rows are unavailable where nothing was counted.
    """
    if not flops:
        units = {"operations": "FLOP per sample"} | {hardware.name: JOULE for hardware in HARDWARE}
        return [unavailable(f"{ARITHMETIC}, {what}", unit, seed, NOTHING_COUNTED) for what, unit in units.items()]
    count = f"counted in one run on one image, matrix products and convolutions{note and ', ' + note}"
    return [
        Row(f"{ARITHMETIC}, operations", flops, "FLOP per sample", 1, seed, "measured", command=command, note=count),
        *(
            Row(f"{ARITHMETIC}, {hardware.name}", flops * hardware.joule_per_flop.value, JOULE, 1, seed, "modelled",
                command=command, note=hardware.source)
            for hardware in HARDWARE
        ),
    ]  # fmt: skip
