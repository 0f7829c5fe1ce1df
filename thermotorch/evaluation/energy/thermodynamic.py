"""The device models, and the ledgers of a thermodynamic machine on each of them."""

from torch import Tensor, nn

from thermotorch.evaluation.energy.chain_runs import chain_runs
from thermotorch.evaluation.energy.contribution import (
    CONTRIBUTIONS,
    ONE_KT,
    SIMULATED,
    DeviceModel,
    Line,
    in_kT,
    unknown,
)
from thermotorch.evaluation.energy.dtca import DTCA
from thermotorch.evaluation.energy.ideal_device import IdealDevice
from thermotorch.evaluation.energy.ledger import Ledger
from thermotorch.evaluation.energy.machine_run import MachineRun, has_cycle, machine_run
from thermotorch.evaluation.energy.quantity import Interval, named
from thermotorch.evaluation.energy.rc_analog import RCAnalog
from thermotorch.evaluation.energy.spu_board import SPUBoard
from thermotorch.evaluation.estimate import mean_of
from thermotorch.models.generator.chain import ThermodynamicChain

DEVICES: tuple[DeviceModel, ...] = (IdealDevice(), RCAnalog(), SPUBoard(), DTCA())


def device(name: str) -> DeviceModel:
    """Return the device model of that name, with its default quantities; a ValueError lists the known ones."""
    return named("device model", name, DEVICES)


def thermodynamic_ledgers(
    label: str,
    model: nn.Module,
    heat: Tensor | None = None,
    *,
    run: MachineRun | None = None,
    num_samples: int = 64,
    seed: int = 0,
) -> tuple[Ledger, ...]:
    """Return the ledger of a thermodynamic machine on each device model.

    Args:
        label: label of the model in the comparison.
        model: a `ThermodynamicGenerator`, or a `ThermodynamicChain`, whose lines are sums over its machines. Of any
            other machine only the heat is priced, on the ideal device.
        heat: [n], n >= 2, in multiples of kT, heat of other samples (`Samples.heat`), which replaces that of the
            simulation of a generator.
        run: simulation of a generator, if there is one already.
        num_samples, seed: number of simulated samples of a generator or a chain, and their seed.

    Raises:
        ValueError: another kind of machine without its heat.
    """
    if run is None and has_cycle(model):
        run = machine_run(model, num_samples, seed, heat)
    if run is not None:
        return tuple(device.ledger(label, run) for device in DEVICES)
    if isinstance(model, ThermodynamicChain):
        runs = chain_runs(model, num_samples, seed)
        return tuple(Ledger.sum({name: device.ledger(label, run) for name, run in runs.items()}) for device in DEVICES)
    if heat is None:
        raise ValueError(f"heat: a {type(model).__name__} is no thermodynamic generator, so its heat must be given")
    mean, stderr = mean_of(heat)
    known = in_kT(Line.TRAJECTORY, mean, Interval.exact(ONE_KT), SIMULATED, f"{mean:.5g} kT", 1.96 * stderr)
    rest = (unknown(name, "not modelled for this kind of machine") for name in CONTRIBUTIONS[1:])
    return (Ledger(label, IdealDevice.name, (known, *rest)),)
