"""Figures of thermodynamic neurons and of the computer that was taught a cosine."""

from collections.abc import Mapping, Sequence
from math import pi
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from thermotorch.arguments import count_of, real, steps_until
from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import simulate
from thermotorch.models.classifier.layered import LayeredComputer
from thermotorch.models.classifier.neuron import neuron_activation
from thermotorch.potential import Potential

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WELLS = {"(1, 0, 0)": (1.0, 0.0, 0.0), "(0, 0, 1)": (0.0, 0.0, 1.0), "(1, 0, 1)": (1.0, 0.0, 1.0)}
PLATEAU = 0.5  # error of the best constant


class Response(NamedTuple):
    """Response of neurons over independent runs."""

    mean: Tensor  # [force], <x>(I) at the observation time
    stderr: Tensor  # [force], standard error of the mean
    variance: Tensor  # [force]


@torch.no_grad()
def neuron_response(
    force: Tensor,
    t_final: float,
    *,
    num_samples: int = 1000,
    dt: float = 1e-3,
    j2: float = 1.0,
    j3: float = 0.0,
    j4: float = 1.0,
    temperature: float = 1.0,
    seed: int | None = None,
    integrator: str = "euler_maruyama",
) -> Response:
    """Simulate the response at a finite observation time: neurons start at x = 0 and are read at `t_final`.

    Args:
        force: I, [force]; each is one unit of a single simulation.
        t_final: observation time, in units of 1 / (mobility x energy).
        num_samples: number of independent runs, at least 2.
        dt, j2, j3, j4, temperature, seed, integrator: as in `simulate` and `Potential`.
    """
    if real("force", force).dim() != 1 or not len(force):
        raise ValueError(f"force: expected a tensor [force] with at least one, got shape {tuple(force.shape)}")
    num_samples, steps = count_of("num_samples", num_samples, 2), steps_until(t_final, dt)
    potential = Potential(BlockCouplings({"neuron": len(force)}, []), j2, j3, j4).to(force)
    state = simulate(
        potential, force.new_zeros(num_samples, len(force)), steps=steps, dt=float(t_final) / steps,
        temperature=temperature, seed=seed, drive=force, integrator=integrator,
    ).state  # fmt: skip
    variance = state.var(0)
    return Response(state.mean(0), (variance / num_samples).sqrt(), variance)


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of this size in inches, without the global state of pyplot."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def activation_figure(
    betas: Sequence[float] = (1.0, 10.0, 100.0),
    times: Sequence[float] = (0.05, 0.1, 0.2, 0.5),
    samples: int = 1000,
    seed: int = 0,
) -> "Figure":
    """Draw <x>(I) in equilibrium for three wells and several temperatures, and simulated at finite times."""
    figure = new_figure(12, 3.4)
    panels = figure.subplots(1, len(WELLS) + 1, sharey=True)
    force = torch.linspace(-10, 10, 401, dtype=torch.float64)
    for panel, (label, well) in zip(panels, WELLS.items(), strict=False):
        for beta in betas:
            panel.plot(force, neuron_activation(force, *well, 1 / beta), label=f"$\\beta$ = {beta:g}")
        panel.set(title=f"J = {label}, equilibrium", xlabel="input I", ylim=(-2, 2))
    panels[0].set_ylabel("mean position $\\langle x \\rangle$")
    panels[0].legend(frameon=False)
    last, some = panels[-1], torch.linspace(-10, 10, 21)
    for time in times:
        found = neuron_response(some, time, num_samples=samples, temperature=0.1, seed=seed)
        last.errorbar(some, found.mean, found.stderr, fmt=".", markersize=4, label=f"t = {time:g}")
    last.plot(force, neuron_activation(force, temperature=0.1), color="black", linewidth=1, label="equilibrium")
    last.set(title=f"J = (1, 0, 1), $\\beta$ = 10, {samples} runs", xlabel="input I")
    last.legend(frameon=False, fontsize=8)
    return figure


@torch.no_grad()
def cosine_error(
    model: LayeredComputer, t_final: float, *, samples: int = 25, inputs: int = 16, seed: int = 1
) -> float:
    """Return phi of a computer read at another time than the one of its training."""
    z = torch.linspace(0, 1, inputs)
    return (model(z, samples, seed, t_final=t_final) - torch.cos(2 * pi * z)).square().mean().item()


@torch.no_grad()
def cosine_figure(
    histories: Mapping[str, tuple[Tensor, Tensor]],
    models: Mapping[str, LayeredComputer],
    samples: int = 400,
    seed: int = 1,
) -> "Figure":
    """Draw training curves with their plateau, the fit, and the error against the observation time.

    Args:
        histories: (simulated runs so far, phi), each [update], by training method.
        models: the trained computers by training method.
        samples: runs averaged at each input.
        seed: seed of these runs.
    """
    figure = new_figure(12, 3.4)
    training, fit, notch = figure.subplots(1, 3)
    for name, (runs, phi) in histories.items():
        training.plot(runs, phi, label=name)
    training.axhline(PLATEAU, color="grey", linestyle=":", label="best constant")
    training.set(xscale="log", yscale="log", xlabel="simulated runs", ylabel="error $\\phi$")
    training.legend(frameon=False)
    z = torch.linspace(0, 1, 101)
    fit.plot(z, torch.cos(2 * pi * z), color="black", label="cos 2$\\pi$z")
    times = torch.linspace(0.2, 2.0, 19)  # the trained time, 1, among them
    for name, model in models.items():
        fit.plot(z, model(z, samples, seed), label=name)
        errors = [cosine_error(model, time, samples=samples, seed=seed) for time in times.tolist()]
        notch.plot(times, errors, label=name)
    fit.set(xlabel="input z", ylabel=f"output, {samples} runs averaged")
    fit.legend(frameon=False)
    notch.axvline(next(iter(models.values())).t_final, color="grey", linestyle=":")
    notch.set(yscale="log", xlabel="observation time", ylabel="error $\\phi$")
    return figure
