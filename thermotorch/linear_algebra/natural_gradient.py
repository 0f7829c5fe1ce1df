"""The natural gradient from a thermodynamic device.

    dg = (grad l - F g) dt + N(0, 2 kT dt),    F = J^T H J / batch + damping

has the mean F^-1 grad l + exp(-F t) (g(0) - F^-1 grad l): started at the gradient it goes from gradient descent (t = 0)
to natural gradient descent (t = infinity).

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
    """F = mean over the batch of J^T H J, plus `damping`: [parameter, parameter].

    Args:
        jacobian: of the outputs by the parameters, [batch, output, parameter].
        hessian: of the loss by the outputs, [batch, output, output], not negative.
        damping: > 0, added to the diagonal.
    """
    damping = number_of("damping", damping, positive=True)  # the curvature alone is singular
    curvature = torch.einsum("bop,boq,bqr->pr", jacobian, hessian, jacobian) / len(jacobian)
    return curvature + damping * torch.eye(jacobian.shape[-1]).to(jacobian)


def output_jacobian(model: nn.Module, inputs: Tensor) -> Tensor:
    """Derivatives of a model's outputs by its trainable parameters, one sample at a time: [batch, output, parameter].

    Args:
        model: [batch, ...] -> [batch, output], without exchange between the samples of a batch.
        inputs: [batch, ...].

    The parameters follow each other as in `torch.nn.utils.parameters_to_vector`. Cost: one backward pass for each
    output.
    """
    parameters = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}

    def outputs(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(model, parameters, (x.unsqueeze(0),)).squeeze(0)

    found = vmap(jacrev(outputs), in_dims=(None, 0))(parameters, inputs)
    return torch.cat([part.flatten(2) for part in found.values()], -1)


def softmax_curvature(logits: Tensor) -> Tensor:
    """Hessian of the cross entropy by the logits, diag(p) - p p^T: [batch, output] -> [batch, output, output]."""
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
    """A direction between the gradient and the natural gradient: the device, started at `start`, read at `time`.

    Args:
        curvature: F, symmetric positive definite, [parameter, parameter].
        gradient: grad l, [parameter].
        time: of the read, in the unit of 1 / F; 0 gives `start` back.
        start: [parameter], default the gradient; the direction of the step before it makes for momentum.
        device: an overdamped device; its kT sets the noise of the direction.
        replicas: devices that are averaged.
        seed: of the noise; give each optimisation step its own, or None, which draws one from torch's generator.

    Returns:
        An `Estimate`. Its standard error comes from the spread of the replicas, NaN if there is only one.
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
        x = device.process(curvature, gradient)(x, 1, interval, seed_or_fresh(seed), 0)[-1]
    stderr = x.std(0) / replicas**0.5 if replicas > 1 else torch.full_like(gradient, torch.nan)
    return Estimate(x.mean(0), stderr, replicas * time, replicas, 1)
