"""The same equation in eager and compiled torch, torchsde, jax and diffrax, as functions of the initial state.

    dx = -(2 j2 x + 4 j4 x^3 + b + J x) dt + sqrt(2 kT dt) xi

They have no heat, no work, no clamps and no noise per sample: they are what a user would write first or find installed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

Run = Callable[[Tensor], object]


@dataclass(frozen=True)
class Equation:
    """The machine and the run: couplings [unit, unit], bias [unit], on-site coefficients, steps of dt at temperature.

    An optional `field` computes x J without the zero blocks of the couplings.
    """

    couplings: Tensor
    bias: Tensor
    j2: float
    j4: float
    steps: int
    dt: float
    temperature: float
    field: Callable[[Tensor], Tensor] | None = None

    def gradient(self, x: Tensor) -> Tensor:
        field = x @ self.couplings if self.field is None else self.field(x)
        return 2.0 * self.j2 * x + 4.0 * self.j4 * x**3 + self.bias + field

    @property
    def amplitude(self) -> float:
        return (2.0 * self.temperature * self.dt) ** 0.5


def torch_rivals(equation: Equation) -> dict[str, Run]:
    """Return the installed rivals that run on torch, the eager loop first."""
    runs: dict[str, Run] = {"eager torch loop": lambda state: plain_loop(equation, state)}
    runs["torch.compile, step by step"] = lambda state: compiled_loop(equation, state)
    if equation.bias.device.type == "cuda":
        runs["torch.compile, one CUDA graph"] = in_one_graph(runs["torch.compile, step by step"])
    if equation.field is None:
        rounded = with_bfloat16_products(equation)
        runs["eager torch loop, bfloat16 products"] = lambda state: plain_loop(rounded, state)
    if find_spec("torchsde") and equation.bias.device.type == "cpu":
        runs["torchsde euler"] = lambda state: torchsde_euler(equation, state)
    return runs


def installed(equation: Equation) -> dict[str, Run]:
    """Return all installed rivals, the eager loop first."""
    runs = torch_rivals(equation)
    if find_spec("jax") and equation.bias.device.type == "cpu":
        runs["jax scan"] = jax_scan(equation)
        if find_spec("diffrax"):
            runs["diffrax Euler"] = diffrax_euler(equation)
    return runs


def plain_loop(equation: Equation, state: Tensor) -> Tensor:
    """Run Euler-Maruyama with noise from torch's global generator, differentiable by autograd."""
    for _ in range(equation.steps):
        state = _plain_step(equation, state)
    return state


def _plain_step(equation: Equation, state: Tensor) -> Tensor:
    return state - equation.dt * equation.gradient(state) + equation.amplitude * torch.randn_like(state)


def compiled_loop(equation: Equation, state: Tensor) -> Tensor:
    """Run `plain_loop` with its step, noise included, compiled by `torch.compile`; differentiable by autograd.

    The loop stays in Python: thousands of unrolled steps would compile for minutes.
    """
    step = _compiled_step()
    for _ in range(equation.steps):
        state = step(equation, state)
    return state


@cache
def _compiled_step() -> Callable[[Equation, Tensor], Tensor]:
    return torch.compile(_plain_step)


def in_one_graph(run: Run) -> Run:
    """Return `run` captured in one CUDA graph for each shape of state, without a gradient."""
    graphs: dict[torch.Size, tuple[torch.cuda.CUDAGraph, Tensor, object]] = {}

    @torch.no_grad()
    def replay(state: Tensor) -> object:
        if state.shape not in graphs:
            here = state.clone()
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):  # compiles before the capture
                run(here)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                end = run(here)
            graphs[state.shape] = graph, here, end
        graph, here, end = graphs[state.shape]
        here.copy_(state)
        graph.replay()
        return end

    return replay


def with_bfloat16_products(equation: Equation) -> Equation:
    """Return the equation whose field rounds state and couplings to bfloat16; everything else stays in float32."""
    couplings = equation.couplings.bfloat16()
    return replace(equation, field=lambda x: (x.bfloat16() @ couplings).float())


@torch.no_grad()
def torchsde_euler(equation: Equation, state: Tensor) -> Tensor:
    """Run `torchsde.sdeint(method="euler")` with its default Brownian motion."""
    import torchsde

    diffusion = torch.full_like(state, (2.0 * equation.temperature) ** 0.5)

    class Machine:
        noise_type, sde_type = "diagonal", "ito"

        def f(self, t: Tensor, x: Tensor) -> Tensor:
            return -equation.gradient(x)

        def g(self, t: Tensor, x: Tensor) -> Tensor:
            return diffusion

    times = torch.tensor([0.0, equation.steps * equation.dt])
    return torchsde.sdeint(Machine(), state, times, method="euler", dt=equation.dt)[-1]


def jax_scan(equation: Equation) -> Run:
    """Return a jitted `lax.scan` with a key for each step."""
    import jax
    import jax.numpy as jnp

    couplings, bias = jnp.asarray(equation.couplings.numpy()), jnp.asarray(equation.bias.detach().numpy())

    @jax.jit
    def run(state, key):
        def step(x, key):
            gradient = 2.0 * equation.j2 * x + 4.0 * equation.j4 * x**3 + bias + x @ couplings
            return x - equation.dt * gradient + equation.amplitude * jax.random.normal(key, x.shape), None

        return jax.lax.scan(step, state, jax.random.split(key, equation.steps))[0]

    return lambda state: run(jnp.asarray(state.numpy()), jax.random.key(0)).block_until_ready()


def diffrax_euler(equation: Equation) -> Run:
    """Return a jitted `diffrax.Euler` with `UnsafeBrownianPath`, the cheapest Brownian motion."""
    import diffrax
    import jax
    import jax.numpy as jnp

    couplings, bias = jnp.asarray(equation.couplings.numpy()), jnp.asarray(equation.bias.detach().numpy())
    scale, end = (2.0 * equation.temperature) ** 0.5, equation.steps * equation.dt

    @jax.jit
    def run(state, key):
        import lineax

        drift = diffrax.ODETerm(
            lambda t, x, _: -(2.0 * equation.j2 * x + 4.0 * equation.j4 * x**3 + bias + x @ couplings)
        )
        path = diffrax.UnsafeBrownianPath(shape=state.shape, key=key)
        noise = diffrax.ControlTerm(lambda t, x, _: lineax.DiagonalLinearOperator(jnp.full_like(x, scale)), path)
        solved = diffrax.diffeqsolve(
            diffrax.MultiTerm(drift, noise), diffrax.Euler(), 0.0, end, equation.dt, state,
            max_steps=equation.steps + 1, adjoint=diffrax.DirectAdjoint(),
        )  # fmt: skip
        return solved.ys[-1]

    return lambda state: run(jnp.asarray(state.numpy()), jax.random.key(0)).block_until_ready()
