"""Energy as rows of model cards: heat of the ideal device, overhead of one that could be built, arithmetic.

The ledgers hold the contributions one by one, with their ranges; these rows are the few numbers a card keeps. None is
power at the wall. Measured joules are in `meter.py`; the two kinds never share a column.
"""

from torch import Tensor

from thermotorch.arguments import number_of, real, seed_of
from thermotorch.evaluation.energy.contribution import TRAJECTORY
from thermotorch.evaluation.energy.digital_count import NOTHING_COUNTED
from thermotorch.evaluation.energy.digital_hardware import A100_FP32, FP32_45NM
from thermotorch.evaluation.energy.ledger import Ledger
from thermotorch.units import ROOM_TEMPERATURE, kT_to_joule, landauer_bound
from thermotorch.zoo.rows import Row, joined, unavailable

WORK = "work of switching on"
OVERHEAD = "device overhead"
HEAT = "generation heat"
ARITHMETIC = "arithmetic"
JOULE = "J per sample"
HARDWARE = (FP32_45NM, A100_FP32)  # of which model cards have rows


def heat_rows(
    heat: Tensor, seed: int, kelvin: float = ROOM_TEMPERATURE, command: str = "", what: str = "generation"
) -> list[Row]:
    """Heat that an ideal device gives to its bath.

    Args:
        heat: [n], n >= 2, of each sample, in multiples of the device's kT.
        seed: the samples' seed.
        kelvin: temperature of the device for the conversion to joule.
        what: the device did: the rows are called "<what> heat".

    Returns:
        Mean with standard error in kT, standard deviation in kT, mean in joule. All modelled: a simulation gave them.
    """
    if real("heat", heat).dim() != 1 or len(heat) < 2:
        raise ValueError(f"heat: expected at least two numbers [n], found shape {tuple(heat.shape)}")
    seed, kelvin = seed_of(seed), number_of("kelvin", kelvin, positive=True)
    n, mean, deviation = len(heat), heat.double().mean().item(), heat.double().std().item()
    stderr = deviation / n**0.5
    ideal = "ideal device: heat of the run alone, not of the way back to where it began"
    name = f"{what} heat"
    return [
        Row(name, mean, "kT per sample", n, seed, "modelled", stderr, command, ideal),
        Row(f"{name}, standard deviation", deviation, "kT", n, seed, "modelled", None, command, ideal),
        Row(f"{name} at {kelvin:g} K", kT_to_joule(mean, kelvin), JOULE, n, seed, "modelled",
            kT_to_joule(stderr, kelvin), command, ideal),
    ]  # fmt: skip


def work_row(work: Tensor, seed: int, command: str = "") -> Row:
    """Mean work done by switching the trained potential on, and by turning the gain of a scheduled machine.

    Args:
        work: [n] in multiples of the device's kT.
    """
    mean, stderr = work.double().mean().item(), work.double().std().item() / len(work) ** 0.5
    note = "couplings and biases switched on at the noise a sample starts from, and the gain of a schedule turned"
    return Row(WORK, mean, "kT per sample", len(work), seed, "modelled", stderr, command, note)


def overhead_row(seed: int, ledger: Ledger | None = None, command: str = "", num_samples: int = 0) -> Row:
    """What a device spends beside the heat of the trajectory: the other lines of its ledger.

    Args:
        seed: the samples' seed.
        ledger: of the device model; None for a machine that no device model prices.
        num_samples: that it rests on.
    """
    if ledger is None or ledger.kind == "unavailable":
        return unavailable(OVERHEAD, JOULE, seed, "no device model prices this kind of machine")
    others = Ledger(
        ledger.model, ledger.scenario, tuple(x for x in ledger.contributions if x.contribution != TRAJECTORY)
    )
    total = others.total
    if total.joule is None:
        return unavailable(OVERHEAD, JOULE, seed, f"{ledger.scenario}: no other contribution is known")
    largest = max((line for line in others.lines if line.joule is not None), key=lambda line: line.joule)
    note = joined(f"device model {ledger.scenario}, {total.low:.1e} to {total.high:.1e} J by its assumptions",
                  f"most of it {largest.contribution}", total.note)  # fmt: skip
    return Row(OVERHEAD, total.joule, JOULE, num_samples, seed, "modelled", command=command, note=note)


def landauer_row(bits: int, seed: int, kelvin: float = ROOM_TEMPERATURE) -> Row:
    """Least heat of erasing `bits` bits: a scale to read the other energies by, not a bound on them."""
    note = (
        f"least heat of erasing {bits} bits, one for each pixel, at {kelvin:g} K: a scale, not a bound on the machine"
    )
    return Row(f"Landauer bound, {bits} bits", landauer_bound(bits, kelvin), JOULE, 0, seed, "modelled", note=note)


def arithmetic_rows(flops: int, seed: int, command: str = "", note: str = "") -> list[Row]:
    """A digital model's arithmetic for one sample: the count, and its modelled energy on each class of hardware.

    Unavailable where nothing was counted: what such a model does is of a kind that the counter does not know.
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
