"""The natural gradient from a thermodynamic device.

    dg = (grad l - F g) dt + N(0, 2 kT dt),    F = J^T H J / batch + damping

has the mean F^-1 grad l + exp(-F t) (g(0) - F^-1 grad l): from the gradient at t = 0 to the natural gradient at
t = infinity.

Source: Donatella et al., npj Unconv. Comput. 2025, s44335-025-00049-x (TNGD).
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from thermotorch.arguments import count_of, number_of, real
from thermotorch.dynamics.noise import seed_or_fresh
from thermotorch.linear_algebra.device import Device, Estimate
from thermotorch.linear_algebra.solve import check_symmetric


def gauss_newton(jacobian: Tensor, hessian: Tensor, damping: float) -> Tensor:
    """Return F [parameter, parameter], the mean of J^T H J over the batch plus `damping` on the diagonal.

    Args:
        jacobian: J, derivatives of the outputs by the parameters, [batch, output, parameter].
        hessian: H, second derivatives of the loss by the outputs, [batch, output, output], positive semi-definite.
        damping: positive number.
    """
    damping = number_of("damping", damping, positive=True)  # the curvature alone is singular
    curvature = torch.einsum("bop,boq,bqr->pr", jacobian, hessian, jacobian) / len(jacobian)
    return curvature + damping * torch.eye(jacobian.shape[-1]).to(jacobian)


def output_jacobian(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the derivatives of each sample's outputs by the trainable parameters, [batch, output, parameter].

    Args:
        model: [batch, ...] -> [batch, output], sample by sample.
        inputs: [batch, ...].

    Parameters are in the order of `torch.nn.utils.parameters_to_vector`. Cost: one backward pass for each output.
    """
    parameters = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}

    def outputs(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(model, parameters, (x.unsqueeze(0),)).squeeze(0)

    derivatives = vmap(jacrev(outputs), in_dims=(None, 0))(parameters, inputs)
    return torch.cat([part.flatten(2) for part in derivatives.values()], -1)


def softmax_curvature(logits: Tensor) -> Tensor:
    """Return the Hessian of the cross entropy by logits [batch, output], diag(p) - p p^T, [batch, output, output]."""
    p = logits.detach().softmax(-1)
    return torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)


def natural_gradient(
    curvature: Tensor,
    gradient: Tensor,
    time: float,
    *,
    start: Tensor | None = None,
    device: Device | None = None,
    replicas: int = 1,
    seed: int | None = None,
) -> Estimate:
    """Return a direction between the gradient and the natural gradient: the device started at `start`, read at `time`.

    Args:
        curvature: F, symmetric positive definite, [parameter, parameter].
        gradient: grad l, [parameter].
        time: time of the read, in the unit of 1 / F; 0 returns `start`.
        start: initial state [parameter], by default the gradient; the direction of the last step gives momentum.
        device: overdamped device, whose kT sets the noise of the direction.
        replicas: number of devices to average over.
        seed: seed of the noise, another for each optimisation step; None draws one from torch's global generator.

    The standard error comes from the spread of the replicas; it is NaN for a single one.
    """
    device = device or Device()
    check_symmetric("curvature", curvature, "a device of springs or capacitors")
    time, replicas = number_of("time", time), count_of("replicas", replicas)
    if real("gradient", gradient).shape != (len(curvature),):
        raise ValueError(f"gradient: expected shape ({len(curvature)},), got {tuple(gradient.shape)}")
    if device.inertia:
        raise ValueError("device: expected an overdamped one, whose state is the direction; use inertia=False")
    x = (gradient if start is None else start).to(curvature).expand(replicas, -1)
    if time:
        interval = time * curvature.diagonal().mean().item()
        x = device.process(curvature, gradient)(x, 1, interval, int(seed_or_fresh(seed)), 0)[-1]
    stderr = x.std(0) / replicas**0.5 if replicas > 1 else torch.full_like(gradient, torch.nan)
    return Estimate(x.mean(0), stderr, replicas * time, replicas, 1)
