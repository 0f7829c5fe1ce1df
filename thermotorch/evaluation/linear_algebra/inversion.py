"""Task `invert`: speed and error of boards of RLC cells that invert matrices."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thermotorch.evaluation.linear_algebra.tasks import TaskResult
from thermotorch.linear_algebra.board.spu import StochasticProcessingUnit
from thermotorch.linear_algebra.solve import scaled
from thermotorch.zoo.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIRST, _POINTS = 50, 25  # reads at the first point of a curve, points of a curve
_GOAL = 0.05


def buildable_matrix(units: int, coupling: float, seed: int) -> Tensor:
    """Draw a symmetric positive matrix that capacitors can make, float64 [unit, unit].

    Couplings are normal, `coupling` < 1 being the largest eigenvalue of their moduli; diagonal entries spread from 0.5
    to 2.
    """
    generator = torch.Generator().manual_seed(seed)
    off = torch.randn(units, units, dtype=torch.float64, generator=generator).triu(1)
    off = off + off.T
    if units > 1:
        off = coupling * off / torch.linalg.eigvalsh(off.abs())[-1]
    diagonal = 0.5 * 4.0 ** torch.rand(units, dtype=torch.float64, generator=generator)
    return scaled(torch.eye(units) + off, diagonal.sqrt())


def relative_error(value: Tensor, truth: Tensor) -> Tensor:
    """Return |value - truth|_F / |truth|_F over the last two dimensions."""
    return torch.linalg.matrix_norm(value - truth) / torch.linalg.matrix_norm(truth)


def as_board(model: nn.Module) -> StochasticProcessingUnit:
    """Return a model that is a board, on the CPU; TypeError for another model."""
    if not isinstance(model, StochasticProcessingUnit):
        raise TypeError(f"model: this task is for a stochastic processing unit, got a {type(model).__name__}")
    return model.cpu()


def run(
    model: nn.Module,
    *,
    sizes: Sequence[int],
    coupling: float,
    boards: int,
    reads: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> TaskResult:
    """Measure error against time of `boards` boards, real and ideal, on one matrix of each size."""
    board = as_board(model)
    ideal = StochasticProcessingUnit(board.cells, **_ideal(board.config))
    counts = sorted({round(_FIRST * (reads / _FIRST) ** (k / (_POINTS - 1))) for k in range(_POINTS)})
    seconds = [board.warmup + n * board.sampling_interval for n in counts]
    rows: list[Row] = []
    by_size: dict[str, dict[str, Any]] = {}
    for k, units in enumerate(sizes):
        matrix = buildable_matrix(units, coupling, seed)
        truth = torch.linalg.inv(matrix)
        errors = {}
        for name, device in (("real", board), ("ideal", ideal)):
            (circuit,), _ = device.circuits(matrix, boards=boards, hardware_seed=seed)
            sums = device.moments(circuit, counts, seed=seed)
            averages = sums / torch.tensor(counts, dtype=torch.float64).view(-1, 1, 1, 1)
            errors[name] = relative_error(device.calibration(matrix) * averages, truth)  # [time, board]
            progress(2 * k + 1 + (name == "ideal"), 2 * len(sizes))
            if name == "real":
                settled = relative_error(device.calibration(matrix) * circuit.stationary()[1], truth)
        by_size[str(units)] = {
            "mean": errors["real"].mean(1).tolist(),
            "low": errors["real"].quantile(0.1, dim=1).tolist(),
            "high": errors["real"].quantile(0.9, dim=1).tolist(),
            "ideal": errors["ideal"].mean(1).tolist(),
            "floor": settled.mean().item(),
        }
        rows += _rows(units, errors["real"], errors["ideal"], settled, seconds, seed)
        rows.append(
            Row(f"heat of the {units} x {units} inverse", dissipation(board, matrix) * seconds[-1],
                "J per inverse", 1, seed, "modelled", note=
                f"dissipated by the resistors in {seconds[-1]:.2g} s: <v^2> / R of all cells, nominal; "
                "noise sources, switches and converters come on top")
        )  # fmt: skip
    return TaskResult(rows, {"seconds": seconds, "sizes": by_size})


def dissipation(board: StochasticProcessingUnit, matrix: Tensor) -> float:
    """Return the watts that the resistors turn to heat, sum of <v^2> / R, which the noise sources put in."""
    (circuit,), _ = board.circuits(matrix)
    voltages = circuit.stationary()[1].diagonal(dim1=-2, dim2=-1)
    return (voltages / circuit.resistance).sum().item()


def draw(figure: "Figure", curves: dict[str, Any]) -> None:
    """Draw error against time, a panel for each size."""
    figure.set_size_inches(4.2 * len(curves["sizes"]), 3.4)
    panels = figure.subplots(1, len(curves["sizes"]), sharey=True, squeeze=False)[0]
    for panel, (units, curve) in zip(panels, curves["sizes"].items(), strict=True):
        time = [1e3 * second for second in curves["seconds"]]
        panel.fill_between(
            time, curve["low"], curve["high"], color="tab:blue", alpha=0.25, lw=0, label="80 % of boards"
        )
        panel.plot(time, curve["mean"], color="tab:blue", label="mean over boards")
        panel.plot(time, curve["ideal"], color="black", ls="--", label="ideal components")
        panel.axhline(curve["floor"], color="tab:red", ls=":", label="after infinite time")
        panel.set(xscale="log", yscale="log", title=f"{units} x {units}", xlabel="time on the board, ms")
    panels[0].set_ylabel("relative Frobenius error of the inverse")
    panels[0].legend(frameon=False, fontsize="small")


def _ideal(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of the board without errors of components, noise and converters."""
    flaws = {"tolerance": 0.0, "capacitor_step": None, "adc_bits": None, "bandwidth": None}
    return {key: value for key, value in {**config, **flaws}.items() if key != "cells"}


def _rows(units: int, real: Tensor, ideal: Tensor, settled: Tensor, seconds: list[float], seed: int) -> list[Row]:
    boards, last = real.shape[1], real[-1]
    inverse, after = f"error of the {units} x {units} inverse", f"after {seconds[-1]:.2g} s"

    row = partial(Row, num_samples=boards, seed=seed, kind="modelled")

    def mean(metric: str, values: Tensor, note: str) -> Row:
        return row(metric, values.mean().item(), "", stderr=values.std().item() / boards**0.5, note=note)

    frobenius = "relative, Frobenius norm; mean over boards with component errors of their own"
    reached = [seconds[k] for k in (real.mean(1) <= _GOAL).nonzero().flatten()[:1].tolist()]
    rows = [
        mean(f"{inverse} {after}", last, frobenius),
        row(f"{inverse} {after}, spread", last.std().item(), "", note="standard deviation over boards"),
        mean(f"{inverse} {after}, ideal components", ideal[-1], "the error of sampling alone"),
        mean(f"{inverse} after infinite time", settled, "the error of components, rounding and filtered noise"),
    ]
    if reached:
        note = f"time on the board until the mean error is {_GOAL:g}, load and warm-up included"
        rows.append(row(f"board time to {inverse[9:]} within {_GOAL:g}", reached[0], "s", note=note))
    return rows
