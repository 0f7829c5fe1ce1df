"""Modelled energy of both kinds of machine, and the count of a digital model's arithmetic.

What these numbers are: the heat of an ideal thermodynamic device, and the arithmetic of a digital one. What they are
not: power at the wall. Preparation, programming and read-out of the thermodynamic device, and the memory traffic of the
digital one, come on top. Measured joules are in `meter.py`; the two kinds never share a column.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from thermotorch.evaluation.rows import Row, unavailable
from thermotorch.units import ROOM_TEMPERATURE, kT_to_joule, landauer_bound

WORK = "work of switching on"
OVERHEAD = "device overhead"
HEAT = "generation heat"
ARITHMETIC = "arithmetic"
JOULE = "J per sample"


@dataclass(frozen=True)
class HardwareClass:
    """A kind of digital hardware: joule per floating-point operation, and what that covers.

    Args:
        name: as it stands in rows.
        joule_per_flop: a multiply-add is two operations.
        source: where the number is from, and what it leaves out.
    """

    name: str
    joule_per_flop: float
    source: str


HARDWARE = (
    HardwareClass(
        "45 nm fp32",
        (0.9e-12 + 3.7e-12) / 2,
        "Horowitz, ISSCC 2014: 0.9 pJ an addition, 3.7 pJ a multiplication; the arithmetic units alone, no memory",
    ),
    HardwareClass(
        "A100 fp32",
        400 / 19.5e12,
        "NVIDIA A100 SXM data sheet: 400 W at 19.5 TFLOP/s; the whole board at its peak, which programs stay below",
    ),
)


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
    n, mean, deviation = len(heat), heat.double().mean().item(), heat.double().std().item()
    stderr = deviation / n**0.5
    ideal = "ideal device: heat of the dynamics alone"
    name = f"{what} heat"
    return [
        Row(name, mean, "kT per sample", n, seed, "modelled", stderr, command, ideal),
        Row(f"{name}, standard deviation", deviation, "kT", n, seed, "modelled", None, command, ideal),
        Row(f"{name} at {kelvin:g} K", kT_to_joule(mean, kelvin), JOULE, n, seed, "modelled",
            kT_to_joule(stderr, kelvin), command, ideal),
    ]  # fmt: skip


def work_row(work: Tensor, seed: int, command: str = "") -> Row:
    """Mean work done by switching the trained potential on; `work` [n] in multiples of the device's kT."""
    mean, stderr = work.double().mean().item(), work.double().std().item() / len(work) ** 0.5
    note = "couplings and biases switched on at the noise a sample starts from"
    return Row(WORK, mean, "kT per sample", len(work), seed, "modelled", stderr, command, note)


def overhead_row(seed: int) -> Row:
    """What the heat leaves out, and no model here prices yet."""
    note = "preparing the noise, programming the couplings, control and read-out: not modelled yet"
    return unavailable(OVERHEAD, JOULE, seed, note)


def landauer_row(bits: int, seed: int, kelvin: float = ROOM_TEMPERATURE) -> Row:
    """Least heat of erasing `bits` bits: a scale to read the other energies by, not a bound on them."""
    note = (
        f"least heat of erasing {bits} bits, one for each pixel, at {kelvin:g} K: a scale, not a bound on the machine"
    )
    return Row(f"Landauer bound, {bits} bits", landauer_bound(bits, kelvin), JOULE, 0, seed, "modelled", note=note)


def count_flops(function: Callable[[], object]) -> int:
    """Floating-point operations of one call: matrix products, convolutions and attention; a multiply-add is two.

    Element-wise operations count as zero (torch's `FlopCounterMode`).
    """
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def arithmetic_rows(flops: int, seed: int, command: str = "", note: str = "") -> list[Row]:
    """A digital model's arithmetic for one sample: the count, and its modelled energy on each class of hardware."""
    count = f"counted in one run on one image, matrix products and convolutions{note and ', ' + note}"
    return [
        Row(f"{ARITHMETIC}, operations", flops, "FLOP per sample", 1, seed, "measured", command=command, note=count),
        *(
            Row(f"{ARITHMETIC}, {hardware.name}", flops * hardware.joule_per_flop, JOULE, 1, seed, "modelled",
                command=command, note=hardware.source)
            for hardware in HARDWARE
        ),
    ]  # fmt: skip
