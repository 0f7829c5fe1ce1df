"""How fast the simulator is, beside the loop one would write by hand."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from thermotorch.dynamics import simulate
from thermotorch.evaluation.hardware import describe_hardware
from thermotorch.evaluation.markdown import table
from thermotorch.models.generator import ThermodynamicGenerator

Run = Callable[[Tensor], Tensor]


def benchmark_simulate(
    batch_sizes: Sequence[int] = (1, 16, 64, 256), steps: int = 50, repeats: int = 5, seed: int = 0, model: dict | None = None
) -> dict:
    """Times `simulate` on the network of an untrained generator, and a plain loop over the same dynamics.

    The plain loop is what a user would write first: Euler-Maruyama with one dense coupling matrix and `torch.randn`; no
    heat, no work, no sample-wise noise. Both run alternately in this process, so that they share its ups and downs; the
    first run of each is a warm-up and is timed apart.

    Args:
        batch_sizes: samples simulated together.
        steps: time steps of a run.
        repeats: timed runs of each.
        seed: of the noise.
        model: constructor arguments of the generator.

    Returns:
        Plain dict: hardware, settings, and a row for each (program, batch size) with the warm-up's and all runs' seconds,
        steps per second and normals per second of the median run.
    """
    generator = ThermodynamicGenerator(**(model or {}))
    potential = generator.potential
    physics = {"steps": steps, "dt": generator.dt, "temperature": generator.temperature}
    programs: dict[str, Run] = {
        "simulate, reference backend": lambda state: simulate(
            potential, state, **physics, seed=seed, backend="reference"
        ).state,
        "plain torch.randn loop": lambda state: plain_loop(
            potential.couplings.matrix(), potential.bias, generator.config["j2"], generator.config["j4"], state, **physics
        ),
    }
    rows = []
    for batch in batch_sizes:
        state = torch.zeros(batch, potential.num_units)
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(1 + repeats):
            for name, program in programs.items():
                seconds[name].append(_timed(program, state))
        for name, (warm_up, *runs) in seconds.items():
            median = statistics.median(runs)
            rows.append({
                "program": name,
                "batch": batch,
                "warm_up_seconds": warm_up,
                "seconds": runs,
                "steps_per_second": steps / median,
                "normals_per_second": steps * batch * potential.num_units / median,
                "spread": (max(runs) - min(runs)) / median,
            })
    return {
        "hardware": describe_hardware(),
        "units": potential.num_units,
        "steps": steps,
        "repeats": repeats,
        "seed": seed,
        "rows": rows,
    }


@torch.no_grad()
def plain_loop(
    couplings: Tensor, bias: Tensor, j2: float, j4: float, state: Tensor, *, steps: int, dt: float, temperature: float
) -> Tensor:
    """Euler-Maruyama written by hand: `x <- x - dt dV/dx + sqrt(2 kT dt) xi`, noise from torch's global generator."""
    amplitude = (2.0 * temperature * dt) ** 0.5
    for _ in range(steps):
        gradient = 2.0 * j2 * state + 4.0 * j4 * state**3 + bias + state @ couplings
        state = state - dt * gradient + amplitude * torch.randn_like(state)
    return state


def as_markdown(result: dict) -> str:
    """The result as a table; the medians, with (slowest - fastest) / median of the timed runs as the spread."""
    settings = f"{result['units']} units, {result['steps']} steps, seed {result['seed']}, float32"
    header = ["batch", "program", "steps/s", "normals/s", "spread", "first run, s"]
    rows = [
        [
            str(row["batch"]),
            row["program"],
            f"{row['steps_per_second']:.4g}",
            f"{row['normals_per_second']:.3g}",
            f"{row['spread']:.0%}",
            f"{row['warm_up_seconds']:.3g}",
        ]
        for row in result["rows"]
    ]
    measured = f"{settings}; median of {result['repeats']} alternating runs; {result['hardware']}"
    return f"{measured}\n\n{table(header, rows, right=(0, 2, 3, 4, 5))}\n"


@torch.no_grad()
def _timed(program: Run, state: Tensor) -> float:
    start = time.perf_counter()
    program(state)
    return time.perf_counter() - start
