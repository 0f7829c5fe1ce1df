"""Machines as they are built: couplings set to a few bits, and components that miss their nominal value.

    J -> (1 + mismatch xi) step round(J / step),   step = max |J| / (2^(bits - 1) - 1),   xi standard normal

One range for each parameter tensor, and one fixed draw of xi for each device. Gradients pass the rounding unchanged, so
a network can be trained with it in the loop.
"""

import torch
from torch import Tensor, nn

from thermotorch.arguments import SAMPLES, count_of, integer_in, number_of
from thermotorch.dynamics import Stream, normals
from thermotorch.dynamics.noise import seed_or_fresh


def quantised(values: Tensor, bits: int) -> Tensor:
    """`values` on the 2^bits - 1 levels of a symmetric grid that reaches their largest magnitude.

    The gradient is that of the identity.

    Raises:
        ValueError: fewer than 2 bits.
    """
    bits = count_of("bits", bits, 2)
    step = values.detach().abs().amax() / (2 ** (bits - 1) - 1)
    if not step > 0:
        return values
    return values + ((values / step).round() * step - values).detach()


def imperfect_parameters(
    module: nn.Module, *, bits: int | None = None, mismatch: float = 0.0, seed: int | None = None, device_id: int = 0
) -> dict[str, Tensor]:
    """Every parameter of `module` (couplings and biases) as device number `device_id` realises it.

    `torch.func.functional_call(module, imperfect_parameters(module, bits=5, mismatch=0.05), inputs)` runs that device,
    differentiably in the nominal parameters.

    Args:
        module: the machine.
        bits: of each programmed number; None programs exactly.
        mismatch: relative standard deviation of a component.
        seed, device_id: the mismatch is a pure function of them; a seed of None is drawn from torch's generator, so
            that every call makes another device.

    Raises:
        TypeError, ValueError: bits below 2, a negative mismatch, or numbers that are none.
    """
    mismatch, seed = number_of("mismatch", mismatch), seed_or_fresh(seed)
    device_id = integer_in("device_id", device_id, 0, SAMPLES)
    if bits is not None:
        count_of("bits", bits, 2)
    realised = {}
    for number, (name, values) in enumerate(module.named_parameters()):
        if bits is not None:
            values = quantised(values, bits)
        if mismatch:
            device = torch.tensor([device_id], device=values.device)
            xi = normals(seed, device, number, 1, values.numel(), Stream.HARDWARE).view_as(values)
            values = values * (1 + mismatch * xi.to(values))
        realised[name] = values
    return realised


@torch.no_grad()
def realise(module: nn.Module, **imperfections: float | int | None) -> nn.Module:
    """Program `module` in place as an imperfect device; arguments of `imperfect_parameters`. Returns the module."""
    realised = imperfect_parameters(module, **imperfections)
    for name, values in module.named_parameters():
        values.copy_(realised[name])
    return module
