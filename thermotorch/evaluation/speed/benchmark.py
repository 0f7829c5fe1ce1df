"""Speed of the simulator, the layer and the training beside other programs for the same equations."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from thermotorch.couplings import DenseCouplings
from thermotorch.dynamics import simulate
from thermotorch.dynamics.cpu import operators as cpu
from thermotorch.evaluation.report.markdown import table
from thermotorch.evaluation.speed.hardware import describe_hardware
from thermotorch.evaluation.speed.rivals import Equation, compiled_loop, installed, plain_loop, torch_rivals
from thermotorch.files import replacing
from thermotorch.layer import ThermodynamicLayer
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.generator.noising import Noising
from thermotorch.objectives import reverse_action
from thermotorch.potential import Potential

COARSE = 20  # Euler-Maruyama steps that one splitting step replaces at equal weak error
BOUND = "bound: these products alone"


@dataclass(frozen=True)
class Program:
    """A program for a case, with the operations of its products with the couplings; 0 if not counted."""

    name: str
    run: Callable[[], object]
    flops: float = 0.0
    normals: float = 0.0


def benchmark(
    cases: Sequence[str] = ("simulate", "layer", "training"),
    batch_sizes: Sequence[int] = (1, 64, 256),
    steps: int = 100,
    repeats: int = 5,
    seed: int = 0,
    device: str = "cpu",
    processor_time: bool = False,
    model: dict | None = None,
) -> dict:
    """Time every program of every case, alternating between them so that they share the fluctuations of the machine.

    simulate: an untrained generator for `steps` x dt at each batch size; the splitting scheme takes `COARSE` times
        fewer steps. Rivals multiply with the whole symmetric matrix or, if named so, with its blocks. On the CPU the
        last row times our products alone.
    layer: forward and backward of a `ThermodynamicLayer` of 64 hidden and 10 output units, 200 steps, batch 256.
    training: preparation, decay and gradient of the published rule.

    Args:
        cases: names of cases.
        batch_sizes, steps: settings of the case simulate; a multiple of `COARSE` steps.
        repeats: timed runs of each program after the first, which is timed apart.
        seed: seed of the noise.
        device: "cpu" or "cuda".
        processor_time: True for the processor time of the process instead of wall time, to compare single threads on a
            busy machine.
        model: constructor arguments of the generator.

    Returns:
        Plain dict: hardware, settings, the peak of float32 multiply-adds measured here, and a row for each program.
    """
    torch.manual_seed(seed)
    generator = ThermodynamicGenerator(**(model or {})).to(device)
    for bonds in generator.potential.couplings.parameters():
        nn.init.normal_(bonds, std=0.02)
    known = {
        "simulate": lambda: _simulations(generator, batch_sizes, steps, seed),
        "layer": lambda: _layers(device, seed),
        "training": lambda: _training(generator, seed),
    }
    clock, rows = time.process_time if processor_time else time.perf_counter, []
    for case in cases:
        for what, programs in known[case]():
            rows += _timed_rows(case, what, programs, repeats, device, clock)
    return {
        "hardware": describe_hardware(),
        "threads": torch.get_num_threads(),
        "processor_time": processor_time,
        "peak_flops": cpu.peak_flops() if device == "cpu" else None,
        "units": generator.potential.num_units,
        "steps": steps,
        "repeats": repeats,
        "seed": seed,
        "rows": rows,
    }


def _simulations(
    generator: ThermodynamicGenerator, batch_sizes: Sequence[int], steps: int, seed: int
) -> Iterator[tuple[str, list[Program]]]:
    potential, dt, temperature = generator.potential, generator.dt, generator.temperature
    matrix = potential.couplings.matrix().detach()
    wells = potential.j2.item(), potential.j4.item()
    equation = Equation(matrix, potential.bias.detach(), *wells, steps, dt, temperature)
    rivals, units = installed(equation), potential.num_units
    knowing = torch_rivals(replace(equation, field=potential.couplings.bind()))
    whole = Potential(
        DenseCouplings.from_matrix(matrix), potential.j2, potential.j3, potential.j4, potential.bias.detach()
    )
    structured = 2.0 * sum(block.numel() for _, _, block in potential.couplings.pieces())
    for batch in batch_sizes:
        state = potential.bias.new_zeros(batch, units)
        normals = float(steps * batch * units)
        dense = 2.0 * units**2 * batch * steps
        programs = [Program(name, no_grad(run, state), dense, normals) for name, run in rivals.items()]

        programs += [
            Program(f"{name}, blocks", no_grad(run, state), structured * batch * steps, normals)
            for name, run in knowing.items()
        ]

        def ours(
            machine: Potential = potential, backend: str = "auto", precision: str = "ieee",
            integrator: str = "euler_maruyama", fewer: int = 1, state: Tensor = state,
        ) -> Callable[[], object]:  # fmt: skip
            settings = {"backend": backend, "precision": precision, "integrator": integrator}
            run = partial(simulate, machine, steps=steps // fewer, dt=fewer * dt, temperature=temperature, seed=seed)
            return no_grad(partial(run, **settings), state)

        splitting = ours(integrator="splitting", fewer=COARSE)
        programs += [
            Program("thermotorch, reference backend", ours(backend="reference"), structured * batch * steps, normals),
            Program("thermotorch", ours(), structured * batch * steps, normals),
            Program("thermotorch, whole matrix", ours(whole), dense, normals),
            Program("thermotorch, tf32", ours(precision="tf32"), structured * batch * steps, normals),
            Program("thermotorch, bf16", ours(precision="bf16"), structured * batch * steps, normals),
            Program(f"thermotorch, splitting, {COARSE} x dt", splitting, dense / COARSE + dense / steps,
                    normals / COARSE),
        ]  # fmt: skip
        programs += _bound(potential, batch, steps, structured * batch * steps)
        yield f"{units} units, {steps} steps, batch {batch}", programs


def _layers(device: str, seed: int, batch: int = 256) -> Iterator[tuple[str, list[Program]]]:
    layer = ThermodynamicLayer(64, 10, hidden=64).to(device)
    features = torch.randn(batch, 64, device=device)
    potential = layer.potential
    units = potential.num_units

    def rival(loop: Callable[[Equation, Tensor], Tensor]) -> None:
        layer.zero_grad()
        push = layer.input(features) - potential.bias
        equation = Equation(potential.couplings.matrix(), -push, 1.0, 1.0, layer.steps, layer.dt, layer.temperature)
        loop(equation, torch.zeros_like(push))[:, -10:].square().sum().backward()

    def fast() -> None:
        layer.zero_grad()
        layer(features, seed=seed).square().sum().backward()

    flops = 3 * 2.0 * units**2 * batch * layer.steps
    normals = float(units * batch * layer.steps)
    yield (
        f"layer of {units} units, {layer.steps} steps, batch {batch}, forward and backward",
        [
            Program("eager torch autograd", partial(rival, plain_loop), flops, normals),
            Program("torch.compile, step by step", partial(rival, compiled_loop), flops, normals),
            Program("thermotorch", fast, flops, normals),
        ]
        + _bound(potential, batch, 3 * layer.steps, flops),  # fields, their adjoints, and the gradient of the couplings
    )


def _bound(potential: Potential, batch: int, products: int, flops: float) -> list[Program]:
    """Return our products with the couplings alone, the bound on the speed of a step."""
    if potential.bias.device.type != "cpu" or cpu.unavailable() is not None:
        return []
    state = torch.randn(batch, potential.num_units)
    return [Program(BOUND, lambda: cpu.products(potential.couplings.pieces(), state, products), flops)]


def _training(generator: ThermodynamicGenerator, seed: int, paths: int = 3) -> Iterator[tuple[str, list[Program]]]:
    """Yield the published rule along one trajectory after the other, and in batches at the same and at a coarse dt."""
    potential, protocol = generator.potential, generator.noising()
    like = potential.bias
    pixels = torch.randn(paths, generator.visible.stop, device=like.device)
    force, dt, temperature = protocol.force(pixels), generator.dt, generator.temperature

    def eager() -> None:
        for push in force.split(1):
            potential.zero_grad()
            with torch.no_grad():
                x, amplitude, visited = torch.zeros_like(push), (2 * temperature * dt) ** 0.5, []
                for step in range(2 * protocol.steps):
                    strength = 1.0 if step < protocol.steps else protocol.schedule(step - protocol.steps)
                    if step >= protocol.steps:
                        visited.append(x)
                    x = x + dt * (strength * push - 2 * x - 4 * x**3) + amplitude * torch.randn_like(x)
                path = torch.stack([*visited, x])
            before, after = path[:-1], path[1:]
            residual = before - after + dt * potential.gradient(after)
            (residual.square().sum() / (4 * temperature * dt * protocol.steps)).backward()

    def ours(noising: Noising) -> Callable[[], None]:
        def run() -> None:
            potential.zero_grad()
            start, decay = noising.run(pixels, seed=seed, record=1)
            assert decay.states is not None  # recorded
            path = torch.cat([start[None], decay.states])
            action = reverse_action(potential, path, dt=noising.dt, temperature=temperature)
            (action.sum(0).mean() / protocol.steps).backward()

        return run

    yield (
        f"training of {len(like)} units, {paths} paths of {protocol.steps} steps, preparation and gradient",
        [
            Program("eager torch, path by path", eager),
            Program("thermotorch", ours(protocol)),
            Program(f"thermotorch, splitting, {COARSE + 5} x dt", ours(protocol.coarser(COARSE + 5))),
        ],
    )


def no_grad(run: Callable[[Tensor], object], state: Tensor) -> Callable[[], object]:
    def program() -> object:
        with torch.no_grad():
            return run(state)

    return program


def _timed_rows(
    case: str, what: str, programs: list[Program], repeats: int, device: str, clock: Callable[[], float]
) -> list[dict]:
    seconds: dict[str, list[float]] = {program.name: [] for program in programs}
    for _ in range(1 + repeats):
        for program in programs:
            seconds[program.name].append(_timed(program.run, device, clock))
    reference = statistics.median(seconds[programs[0].name][1:])
    rows = []
    for program in programs:
        first, *runs = seconds[program.name]
        median = statistics.median(runs)
        rows.append(
            {
                "case": case,
                "what": what,
                "program": program.name,
                "first_seconds": first,
                "seconds": runs,
                "median_seconds": median,
                "spread": (max(runs) - min(runs)) / median,
                "times_as_fast": reference / median,
                "flops_per_second": program.flops / median,
                "normals_per_second": program.normals / median,
            }
        )
    return rows


def _timed(run: Callable[[], object], device: str, clock: Callable[[], float]) -> float:
    start = clock()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def as_markdown(result: dict) -> str:
    """Return the result as a table; the spread is (slowest - fastest) / median of the timed runs."""
    peak = result["peak_flops"]
    lines = [
        f"{result['hardware']}, {result['threads']} threads; float32 unless said otherwise, seed {result['seed']}; "
        f"median of {result['repeats']} alternating runs"
        + (" in processor time" if result["processor_time"] else "")
        + (f"; peak of float32 multiply-adds measured here: {peak / 1e9:.0f} GFLOP/s" if peak else "")
    ]
    for what in dict.fromkeys(row["what"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["what"] == what]
        header = ["program", "ms", "spread", "times as fast", "GFLOP/s", "of peak", "normals/s", "first run, ms"]
        cells = [
            [
                row["program"],
                f"{1e3 * row['median_seconds']:.4g}",
                f"{row['spread']:.0%}",
                f"{row['times_as_fast']:.2f}",
                f"{row['flops_per_second'] / 1e9:.3g}" if row["flops_per_second"] else "-",
                f"{row['flops_per_second'] / peak:.0%}" if peak and row["flops_per_second"] else "-",
                f"{row['normals_per_second']:.2g}" if row["normals_per_second"] else "-",
                f"{1e3 * row['first_seconds']:.4g}",
            ]
            for row in rows
        ]
        lines += ["", f"**{what}**", "", table(header, cells, right=range(1, 8))]
    return "\n".join(lines) + "\n"


def save_figure(result: dict, path: Path) -> Path:
    """Draw the speed of each program over that of the first of its case, as bars on a logarithmic scale."""
    from PIL import Image, ImageDraw, ImageFont

    font, line, left, scale = ImageFont.load_default(14), 22, 300, 130  # pixels; `scale` is a factor of ten
    cases = list(dict.fromkeys(row["what"] for row in result["rows"]))
    image = Image.new("RGB", (960, line * (len(result["rows"]) + 2 * len(cases) + 2)), "white")
    draw, y = ImageDraw.Draw(image), line // 2
    draw.text((12, y), f"times as fast as the first; {result['hardware']}", "black", font)
    for what in cases:
        y += 2 * line
        draw.text((12, y), what, "black", font)
        for row in (row for row in result["rows"] if row["what"] == what):
            y += line
            end = left + scale * (1 + math.log10(row["times_as_fast"]))  # 0.1 is at the left
            draw.text((24, y), row["program"], "black", font)
            colour = "#1f6f8b" if row["program"].startswith("thermotorch") else "#b0b0b0"
            draw.rectangle((left, y + 3, max(left + 1, end), y + line - 4), colour)
            draw.text((max(left, end) + 6, y), f"{row['times_as_fast']:.2g}", "black", font)
    with replacing(path) as partial:
        image.save(partial, "PNG")
    return path
