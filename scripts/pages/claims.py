"""The ratios that papers claim, and the same kinds of estimate from our ledgers."""

from dataclasses import dataclass

from thermotorch.evaluation.energy.contribution import ONE_KT, Line
from thermotorch.evaluation.energy.digital_count import DigitalCount
from thermotorch.evaluation.energy.digital_hardware import ARITHMETIC_LINE, FP32_45NM, hardware_class
from thermotorch.evaluation.energy.machine_run import MachineRun
from thermotorch.evaluation.energy.ratio import ratio
from thermotorch.evaluation.energy.thermodynamic import device

_TEACHER = 784 * 32 + 32 * 32 + 32 * 10  # multiply-adds of the teacher of the classifier


@dataclass(frozen=True)
class Claim:
    """A published ratio of energies.

    Args:
        paper, claim: the paper, and its ratio.
        divides: numerator and denominator, as far as the paper names them.
        here: numerator and denominator of the same kind of estimate from our models.
        value: ratio of that estimate.
    """

    paper: str
    claim: str
    divides: str
    here: str
    value: float


def claims(
    digital: str, work: DigitalCount, machine: str, run: MachineRun, classifier: str, classifier_heat: float
) -> tuple[Claim, ...]:
    """Return the three ratios of the field beside ours, three kinds of estimate of which none is measured at the wall.

    Args:
        digital, work: label of the digital model, and its count.
        machine, run: label of the thermodynamic generator, and its cycle.
        classifier, classifier_heat: label of the thermodynamic classifier, and its heat of an inference in kT.
    """
    a100, circuit = hardware_class("A100 fp32"), FP32_45NM
    ideal = ratio(circuit.ledger(digital, work), device("ideal").ledger(machine, run),
                  above_line=ARITHMETIC_LINE, below_line=Line.TRAJECTORY)  # fmt: skip
    circuits = ratio(a100.ledger(digital, work), device("dtca").ledger(machine, run))
    teacher = 2 * _TEACHER * circuit.joule_per_flop.value
    return (
        Claim(
            "Whitelam, PRL 136, 037101 (2026), and what was written about it",
            "1e10 to 1e11",
            "arithmetic of a digital denoiser, whose size is not told, over the heat of an ideal device, 2.9e3 kT",
            f"arithmetic of {digital} ({circuit.name}) over the heat of {machine} (ideal)",
            ideal.value,
        ),
        Claim(
            "Whitelam, PNAS 123, e2528413123 (2026)",
            "> 1e7",
            "arithmetic of a digital classifier over the heat of an ideal device, 1e5 kT; one pass of the teacher, "
            f"{_TEACHER:,} multiply-adds at 1 pJ, would give {_TEACHER * 1e-12 / (1e5 * ONE_KT):.0e}",
            f"arithmetic of that teacher ({circuit.name}) over the heat of {classifier} (ideal)",
            teacher / (classifier_heat * ONE_KT),
        ),
        Claim(
            "Jelincic et al., npj Unconventional Computing 3, 30 (2026)",
            "1e4",
            "a GPU, how is not told, over a circuit model of transistor cells; another data set, other models",
            f"total of {digital} ({a100.name}, at its peak) over total of {machine} (dtca, at most)",
            circuits.value,
        ),
    )
