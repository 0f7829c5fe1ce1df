"""Task `scaling`: an ideal thermodynamic device beside digital solvers.

For each size, on one matrix with evenly spread eigenvalues and a right-hand side:

- the device: error of the running average against its physical time (load of unit^2 entries included), against the
  wall time of its simulation here, and beside the predicted error;
- Cholesky and LU on this machine, with negligible errors, and conjugate gradients.

The running average at time t is over the reads of t/2 ... t, which needs no relaxation time. Device seconds are
modelled, wall seconds measured, and the figure labels them so.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thermotorch.evaluation.linear_algebra.inversion import as_board, relative_error
from thermotorch.evaluation.linear_algebra.tasks import TaskResult
from thermotorch.evaluation.speed.hardware import describe_hardware
from thermotorch.linear_algebra import sampling_error
from thermotorch.linear_algebra.device import Device
from thermotorch.zoo.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PRODUCTS = 4e10  # reads x unit^2 of a simulated curve at most, about half a minute of one core
_AT_ONCE = 1024  # reads in memory
_INTERVAL = 0.5  # between reads, in relaxation times of an uncoupled unit


def problem(units: int, condition: float, seed: int) -> tuple[Tensor, Tensor]:
    """Draw a symmetric matrix with evenly spread eigenvalues of mean one, and b with a normal A^-1 b."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(units, units, dtype=torch.float64, generator=generator))
    values = torch.linspace(1.0, condition, units, dtype=torch.float64)
    matrix = (basis * (values / values.mean())) @ basis.T
    matrix = 0.5 * (matrix + matrix.T)
    return matrix, matrix @ torch.randn(units, dtype=torch.float64, generator=generator)


def run(
    model: nn.Module,
    *,
    sizes: Sequence[int],
    condition: float,
    reads: int,
    signal_to_noise: float,
    second: float,
    load_rate: float,
    goals: Mapping[str, float],
    repeats: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> TaskResult:
    """Measure errors and times for every size. The model names the kind of machine; the device itself is ideal."""
    as_board(model)
    curves: dict[str, Any] = {"second": second, "load_rate": load_rate, "goals": dict(goals), "sizes": {}}
    rows = []
    for k, units in enumerate(sizes):
        matrix, b = problem(units, condition, seed)
        answer, inverted = torch.linalg.solve(matrix, b), torch.linalg.inv(matrix)
        # Thermal noise in x has the variance kT tr(A^-1) / units: so far below the rms of the solution.
        temperature = (answer.square().mean() / (signal_to_noise**2 * inverted.trace() / units)).item()
        device, load = Device(temperature), units**2 / load_rate
        count = min(reads, int(_PRODUCTS / units**2))
        solved = _device_curve(device, matrix, b, count, seed, partial(_vector_error, truth=answer))
        inverse_error = partial(_inverse_error, truth=inverted, temperature=temperature)
        inverse_curve = _device_curve(device, matrix, None, count, seed, inverse_error)
        predicted = partial(_predicted, torch.linalg.eigvalsh(matrix), answer.norm().item(), temperature)
        entry: dict[str, Any] = {"load": load}
        for name, curve in (("solve", solved), ("inverse", inverse_curve)):
            entry[name] = {
                "seconds": [load + 2 * n * _INTERVAL * second for n in curve["reads"]],
                "wall": curve["wall"],
                "error": curve["error"],
                "predicted": [predicted(name, int(n)) for n in curve["reads"]],
            }
        entry["digital"] = _digital(matrix, b, answer, repeats)
        entry["times"] = _times_to(goals, entry, predicted, second)
        curves["sizes"][str(units)] = entry
        rows += _rows(units, entry, goals, seed)
        progress(k + 1, len(sizes))
    return TaskResult(rows, curves)


def draw(figure: "Figure", curves: dict[str, Any]) -> None:
    """Draw error against device time and simulation time, and time against size, for linear systems and inverses."""
    from matplotlib import colormaps

    figure.set_size_inches(12.5, 7)
    panels, sizes = figure.subplots(2, 3), list(curves["sizes"])
    colours = {units: colormaps["viridis"](0.9 * k / max(1, len(sizes) - 1)) for k, units in enumerate(sizes)}
    for row, (name, problem_name) in enumerate((("solve", "linear system"), ("inverse", "inverse"))):
        left, middle, right = panels[row]
        limits = (5e-4, 1.0) if name == "solve" else (5e-3, 10.0)
        for units, entry in curves["sizes"].items():
            curve, colour = entry[name], colours[units]
            left.plot(curve["seconds"], curve["error"], "o", ms=3, color=colour, label=f"{units} units")
            left.plot(curve["seconds"], curve["predicted"], "-", lw=1, color=colour)
            middle.plot(curve["wall"], curve["error"], "o-", ms=3, lw=1, color=colour)
            if name == "solve":
                steps = entry["digital"]["cg"]
                for panel in (left, middle):
                    panel.plot(steps["wall"], steps["error"], "--", lw=1, color=colour)
            for panel in (left, middle):
                for method, style in (("cholesky", "^"), ("lu", "v")):
                    panel.plot(entry["digital"][f"{method} {name}"], 1.4 * limits[0], style, ms=6, color=colour)
        times = {
            "device, load included (modelled)": ("device", "o-", "tab:blue"),
            "of which load (modelled)": ("load", ":", "tab:blue"),
            "Cholesky (measured)": ("cholesky", "^-", "black"),
            "LU (measured)": ("lu", "v-", "grey"),
            "conjugate gradients (measured)": ("cg", "s--", "tab:red"),
            "simulating the device (measured)": ("simulated", "x-", "tab:green"),
        }
        for label, (key, style, shade) in times.items():
            points = [(int(units), entry["times"][name].get(key)) for units, entry in curves["sizes"].items()]
            points = [point for point in points if point[1] is not None]
            if points:
                right.plot(*zip(*points, strict=True), style, ms=4, color=shade, label=label)
        for panel, title in ((left, "device time (modelled)"), (middle, "simulation (measured)")):
            panel.set(
                xscale="log", yscale="log", title=f"{problem_name}: {title}", xlabel="seconds", ylabel="relative error"
            )
            panel.set_ylim(*limits)
        goal = curves["goals"][name]
        right.set(xscale="log", yscale="log", title=f"{problem_name}: time to an error of {goal:g}", xlabel="units")
        right.set_ylabel("seconds")
    key = "dots: device; lines: its theory; "
    key += "dashed: conjugate gradients here; triangles: Cholesky, LU here"
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, title=key, loc="outside lower center", ncols=len(sizes))
    panels[0][2].set_ylim(top=1e7)
    panels[0][2].legend(frameon=False, fontsize="small", loc="upper left")


def _device_curve(
    device: Device, matrix: Tensor, b: Tensor | None, reads: int, seed: int, error: Callable[[Tensor], float]
) -> dict[str, list[float]]:
    """Return errors of averages over the last n of 2n reads, n = 1, 2, 4, ..., and the wall time up to there.

    The average is that of x with a force, and that of x x^T without one.
    """
    started = time.perf_counter()
    process = device.process(matrix, b)
    x, n = process(matrix.new_zeros(1, len(matrix)), 1, _INTERVAL, seed, 0)[-1], 1
    curve: dict[str, list[float]] = {"reads": [], "error": [], "wall": []}
    while 2 * n <= reads:
        # The n reads so far are the transient, and the next n are the second half.
        total = torch.zeros(())
        for first in range(0, n, _AT_ONCE):
            path = process(x, min(_AT_ONCE, n - first), _INTERVAL, seed, n + first)
            x, path = path[-1], path[:, 0]
            total = total + (path.mT @ path if b is None else path.sum(0))
        curve["reads"].append(n)
        curve["wall"].append(time.perf_counter() - started)
        curve["error"].append(error(total / n))
        n *= 2
    return curve


def _vector_error(value: Tensor, truth: Tensor) -> float:
    return ((value - truth).norm() / truth.norm()).item()


def _inverse_error(value: Tensor, truth: Tensor, temperature: float) -> float:
    return relative_error(value / temperature, truth).item()


def _predicted(values: Tensor, norm: float, temperature: float, name: str, reads: int) -> float:
    """Return the stationary prediction; early reads deviate by the rest of the transient."""
    if name == "inverse":
        return sampling_error.inverse_error(values, reads, _INTERVAL)
    return sampling_error.solution_error(values, norm, temperature, reads, _INTERVAL)


def _digital(matrix: Tensor, b: Tensor, answer: Tensor, repeats: int) -> dict[str, Any]:
    """Time the direct solvers, fastest of several runs, and the steps of conjugate gradients, in float64."""
    eye = torch.eye(len(matrix)).to(matrix)
    calls: dict[str, Callable[[], Tensor]] = {
        "cholesky solve": lambda: torch.cholesky_solve(b[:, None], torch.linalg.cholesky(matrix)),
        "lu solve": lambda: torch.linalg.solve(matrix, b),
        "cholesky inverse": lambda: torch.cholesky_inverse(torch.linalg.cholesky(matrix)),
        "lu inverse": lambda: torch.linalg.solve(matrix, eye),
    }
    timings: dict[str, Any] = {name: min(_timed(call) for _ in range(1 + repeats)) for name, call in calls.items()}
    runs = [conjugate_gradients(matrix, b, answer) for _ in range(1 + repeats)]
    timings["cg"] = min(runs, key=lambda run: run["wall"][-1])
    timings["hardware"] = describe_hardware()
    return timings


def conjugate_gradients(matrix: Tensor, b: Tensor, answer: Tensor) -> dict[str, list[float]]:
    """Run Hestenes and Stiefel's iteration from zero to an error of 1e-8; return errors and wall times."""
    x, residual = torch.zeros_like(b), b.clone()
    direction, square = residual.clone(), residual @ residual
    wall, error, elapsed = [], [], 0.0
    for _ in range(10 * len(b)):
        started = time.perf_counter()
        product = matrix @ direction
        length = square / (direction @ product)
        x = x + length * direction
        residual = residual - length * product
        square, last = residual @ residual, square
        direction = residual + square / last * direction
        elapsed += time.perf_counter() - started
        wall.append(elapsed)
        error.append(_vector_error(x, answer))
        if error[-1] < 1e-8:
            break
    return {"wall": wall, "error": error}


def _timed(call: Callable[[], Tensor]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _times_to(
    goals: Mapping[str, float], entry: dict[str, Any], predicted: Callable[[str, int], float], second: float
) -> dict[str, dict[str, float]]:
    """Return the seconds to each goal, predicted for the device and measured for the others."""
    seconds_to: dict[str, dict[str, float]] = {}
    for name, goal in goals.items():
        low, high = 1, 2
        while predicted(name, high) > goal:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if predicted(name, middle) > goal else (low, middle)
        times = {
            "device": entry["load"] + 2 * high * _INTERVAL * second,
            "load": entry["load"],
            "cholesky": entry["digital"][f"cholesky {name}"],
            "lu": entry["digital"][f"lu {name}"],
        }
        walls = zip(entry[name]["wall"], entry[name]["error"], strict=True)
        simulated = next((wall for wall, error in walls if error < goal), None)
        if simulated is not None:
            times["simulated"] = simulated
        if name == "solve":
            steps = entry["digital"]["cg"]
            times["cg"] = next(t for t, error in zip(steps["wall"], steps["error"], strict=True) if error < goal)
        seconds_to[name] = times
    return seconds_to


def _rows(units: int, entry: dict[str, Any], goals: Mapping[str, float], seed: int) -> list[Row]:
    """Return the rows of the times to the goals: modelled for the device, measured for the solvers."""
    what = {"solve": "linear system", "inverse": "inverse"}
    notes = {
        "device": "predicted error; load of all entries and the transient included; its clock is an assumption",
        "cholesky": f"direct, float64, {entry['digital']['hardware']}",
        "cg": f"float64, {entry['digital']['hardware']}",
    }
    labels = {"device": "ideal device", "cholesky": "Cholesky", "cg": "conjugate gradients"}
    return [
        Row(f"{what[name]} of {units} units to {goal:g}, {labels[key]}", entry["times"][name][key], "s", 1, seed,
            "modelled" if key == "device" else "measured", note=notes[key])
        for name, goal in goals.items() for key in labels if key in entry["times"][name]
    ]  # fmt: skip
