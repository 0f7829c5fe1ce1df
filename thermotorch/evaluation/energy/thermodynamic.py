"""The ledgers of a thermodynamic machine, one for each device model."""

from collections.abc import Sequence

from torch import Tensor, nn

from thermotorch.evaluation.energy.contribution import CONTRIBUTIONS, ONE_KT, SIMULATED, TRAJECTORY, in_kT, unknown
from thermotorch.evaluation.energy.dtca import DTCA
from thermotorch.evaluation.energy.ideal_device import IdealDevice
from thermotorch.evaluation.energy.ledger import Ledger
from thermotorch.evaluation.energy.machine_run import has_cycle, machine_run
from thermotorch.evaluation.energy.quantity import Interval, named
from thermotorch.evaluation.energy.rc_analog import RCAnalog
from thermotorch.evaluation.energy.spu_board import SPUBoard

Device = IdealDevice | RCAnalog | SPUBoard | DTCA
DEVICES: tuple[Device, ...] = (IdealDevice(), RCAnalog(), SPUBoard(), DTCA())


def device(name: str) -> Device:
    """The device model of that name, with its standard quantities.

    Raises:
        ValueError: an unknown name; it lists the known ones.
    """
    return named("device model", name, DEVICES)


def thermodynamic_ledgers(
    label: str,
    model: nn.Module,
    heat: Tensor | None = None,
    *,
    num_samples: int = 64,
    seed: int = 0,
    devices: Sequence[Device] = DEVICES,
) -> tuple[Ledger, ...]:
    """What a sample of a thermodynamic machine costs, on each device model.

    Args:
        label: of the model in the comparison.
        model: a `ThermodynamicGenerator`. Of any other machine only the heat is priced, on the ideal device.
        heat: [n], n >= 2, in multiples of kT, of the samples at hand (`Samples.heat`); None takes that of the few.
        num_samples, seed: of the simulation that gives everything but the heat.
        devices: see `DEVICES`.

    Raises:
        ValueError: a machine that is not a generator, and no heat.

    Cost: `num_samples` samples.
    """
    if has_cycle(model):
        run = machine_run(model, num_samples, seed, heat)
        return tuple(device.ledger(label, run) for device in devices)
    if heat is None:
        raise ValueError(f"heat: a {type(model).__name__} is no thermodynamic generator, so its heat must be given")
    mean, stderr = heat.double().mean().item(), heat.double().std().item() / len(heat) ** 0.5
    known = in_kT(TRAJECTORY, mean, Interval.exact(ONE_KT), SIMULATED, f"{mean:.5g} kT", 1.96 * stderr)
    rest = (unknown(name, "not modelled for this kind of machine") for name in CONTRIBUTIONS[1:])
    return (Ledger(label, IdealDevice.name, (known, *rest)),)
