"""Print how often digits of imperfect devices show the class asked for, against the mismatch of their components.

python -m scripts.pages.circuit_mismatch        # two minutes
"""

import torch

from scripts.pages.circuit_digits import NAME, SAMPLES, judge, obeyed
from thermotorch import simulate
from thermotorch.circuit import analog_machine
from thermotorch.circuit.machine import mismatched_capacitors
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.generator.noising import wells_of
from thermotorch.models.imperfections import realise
from thermotorch.zoo import load_checkpoint

DEVICES, CAPACITOR_DEVICES, DT = 5, 3, 0.0125


def digits() -> ThermodynamicGenerator:
    machine = load_checkpoint(NAME)
    assert isinstance(machine, ThermodynamicGenerator)
    return machine


@torch.no_grad()
def with_capacitors(machine: ThermodynamicGenerator, mismatch: float, device: int) -> torch.Tensor:
    """Return images of a machine with other capacitances, by Euler-Maruyama, read as the mean of the last time.

    The noise current is that of the conductances, whatever the capacitance: a drive of white noise on units of mobility
    1 / c at zero temperature.
    """
    sizes = mismatched_capacitors(analog_machine(machine, label=0), mismatch, seed=0, device_id=device).sizes.float()
    generator, steps = torch.Generator().manual_seed(device), round(machine.t_final / DT)
    state = torch.zeros(SAMPLES, machine.potential.num_units)
    state[torch.arange(SAMPLES), machine.hidden.stop + torch.arange(SAMPLES) % 10] = 1.0
    rms, shape = (2 * machine.temperature / DT) ** 0.5, state.shape
    for potential in (wells_of(machine.potential), machine.potential):
        run = simulate(
            potential, state, steps=steps, dt=DT, temperature=0.0, mobility=1 / sizes, clamp=machine.held(), seed=0,
            drive=lambda step: rms * torch.randn(shape, generator=generator), record=1, backend="reference",
        )  # fmt: skip
        state = run.state
    assert run.states is not None  # recorded
    return machine.to_images(run.states[-round(machine.config["readout_time"] / DT) :].mean(0))


def main() -> None:
    classifier = judge()
    for mismatch in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3):
        devices = (
            realise(digits(), mismatch=mismatch, seed=0, device_id=device).generate(SAMPLES, seed=0)
            for device in range(DEVICES)
        )
        show("transconductors", mismatch, [obeyed(classifier, images) for images in devices])
    for mismatch in (0.0, 0.1, 0.2):
        devices = (with_capacitors(digits(), mismatch, device) for device in range(CAPACITOR_DEVICES))
        show("capacitors", mismatch, [obeyed(classifier, images) for images in devices])


def show(what: str, mismatch: float, found: list[float]) -> None:
    values = torch.tensor(found)
    print(
        f"{what} {mismatch:g}: mean {values.mean():.3f}, worst {values.min():.3f} of {len(found)} devices", flush=True
    )


if __name__ == "__main__":
    main()
