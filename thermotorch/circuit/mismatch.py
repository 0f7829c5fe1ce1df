"""Capacitors that miss their nominal values."""

from dataclasses import replace

import torch

from thermotorch.arguments import SAMPLES, integer_in, number_of
from thermotorch.circuit.machine import AnalogMachine
from thermotorch.dynamics import Stream, normals
from thermotorch.dynamics.noise import seed_or_fresh

_NUMBER = 1 << 16  # beyond those of the parameters in `imperfect_parameters`, whose draws these must not repeat


def mismatched_capacitors(
    machine: AnalogMachine, mismatch: float, *, seed: int | None = None, device_id: int = 0
) -> AnalogMachine:
    """Return a machine whose capacitances are (1 + mismatch xi) times theirs, xi standard normal for each unit.

    In `simulate` this is a spread of mobilities, mobility / (1 + mismatch xi), and with noise also one of temperatures,
    kT / (1 + mismatch xi). Conductances are those of `realise` of `thermotorch.models.imperfections`.

    Args:
        machine: nominal machine.
        mismatch: relative standard deviation.
        seed: seed of the mismatch; None draws one from torch's global generator.
        device_id: number of the device.

    Raises:
        ValueError: a negative mismatch, or a draw without a capacitance left, with its number.
    """
    number_of("mismatch", mismatch)
    device = torch.tensor([integer_in("device_id", device_id, 0, SAMPLES)])
    xi = normals(seed_or_fresh(seed), device, _NUMBER, 1, machine.units, Stream.HARDWARE).view(-1).double()
    drawn = machine.sizes * (1 + mismatch * xi)
    if not drawn.min() > 0:
        raise ValueError(f"mismatch: at {mismatch:g} unit {int(drawn.argmin())} has no capacitance left")
    return replace(machine, capacitance=drawn)
