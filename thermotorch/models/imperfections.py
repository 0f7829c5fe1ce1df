"""Imperfect machines: couplings of a few bits, and components that deviate from their nominal values.

    J -> (1 + mismatch xi) step round(J / step),   step = max |J| / (2^(bits - 1) - 1),   xi standard normal

Each parameter tensor has its own range, and each device its own xi. Gradients pass the rounding unchanged
(straight-through), so that a network can be trained with it.
"""

import torch
from torch import Tensor, nn

from thermotorch.arguments import SAMPLES, count_of, integer_in, number_of
from thermotorch.dynamics import Stream, normals
from thermotorch.dynamics.noise import seed_or_fresh


def quantised(values: Tensor, bits: int) -> Tensor:
    """Return `values` on the 2^bits - 1 levels of a symmetric grid up to their largest magnitude, bits >= 2.

    The gradient is that of the identity.
    """
    bits = count_of("bits", bits, 2)
    if not values.numel():  # couplings to the label units of a machine without classes
        return values
    step = values.detach().abs().amax() / (2 ** (bits - 1) - 1)
    if not step > 0:
        return values
    return values + ((values / step).round() * step - values).detach()


def imperfect_parameters(
    module: nn.Module, *, bits: int | None = None, mismatch: float = 0.0, seed: int | None = None, device_id: int = 0
) -> dict[str, Tensor]:
    """Return the parameters of `module` by name, as device number `device_id` realises them.

    `torch.func.functional_call(module, imperfect_parameters(module, bits=5, mismatch=0.05), inputs)` runs that device,
    differentiably in the nominal parameters.

    Args:
        module: nominal machine.
        bits: number of bits of each parameter; None for exact parameters.
        mismatch: relative standard deviation of a component.
        seed: seed of the mismatch; None draws one from torch's global generator, so that each call gives another
            device.
        device_id: number of the device; the mismatch is a pure function of it and the seed.
    """
    mismatch, drawn = number_of("mismatch", mismatch), seed_or_fresh(seed)
    device_id = integer_in("device_id", device_id, 0, SAMPLES)
    if bits is not None:
        count_of("bits", bits, 2)
    realised = {}
    for number, (name, nominal) in enumerate(module.named_parameters()):
        values = nominal if bits is None else quantised(nominal, bits)
        if mismatch:
            device = torch.tensor([device_id], device=values.device)
            xi = normals(drawn, device, number, 1, values.numel(), Stream.HARDWARE).view_as(values)
            values = values * (1 + mismatch * xi.to(values))
        realised[name] = values
    return realised


@torch.no_grad()
def realise(
    module: nn.Module, *, bits: int | None = None, mismatch: float = 0.0, seed: int | None = None, device_id: int = 0
) -> nn.Module:
    """Replace the parameters of `module` by `imperfect_parameters` with the same arguments, and return it."""
    realised = imperfect_parameters(module, bits=bits, mismatch=mismatch, seed=seed, device_id=device_id)
    for name, values in module.named_parameters():
        values.copy_(realised[name])
    return module
