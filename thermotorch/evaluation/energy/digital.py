"""The ledgers of a digital model, one for each class of hardware."""

from collections.abc import Sequence

from thermotorch.evaluation.energy.digital_count import DigitalCount
from thermotorch.evaluation.energy.digital_hardware import HARDWARE_CLASSES, BoardClass, CircuitClass
from thermotorch.evaluation.energy.ledger import Ledger
from thermotorch.evaluation.energy.quantity import named


def hardware_class(name: str) -> CircuitClass | BoardClass:
    """The class of that name.

    Raises:
        ValueError: an unknown name; it lists the known ones.
    """
    return named("class of hardware", name, HARDWARE_CLASSES)


def digital_ledgers(
    label: str, work: DigitalCount, hardware: Sequence[CircuitClass | BoardClass] = HARDWARE_CLASSES
) -> tuple[Ledger, ...]:
    """What a sample of a digital model costs, on each class of hardware.

    Args:
        label: of the model in the comparison.
        work: `count(model, lambda: model.generate(1, ...))`, with the sampler and steps that are to be priced.
        hardware: see `HARDWARE_CLASSES`.
    """
    return tuple(kind.ledger(label, work) for kind in hardware)
