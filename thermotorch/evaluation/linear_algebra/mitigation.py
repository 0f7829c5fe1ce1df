"""Task `mitigation`: errors of an inverse from capacitors of finite resolution, averaged over settings or not."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thermotorch.evaluation.linear_algebra.inversion import as_board, buildable_matrix, relative_error
from thermotorch.evaluation.linear_algebra.tasks import TaskResult
from thermotorch.linear_algebra.board.spu import StochasticProcessingUnit
from thermotorch.zoo.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STEPS = [2.0**-k for k in range(6, 13)]  # resolutions, in units of the capacitance of a cell
_SAMPLED = 3  # matrices that are also sampled
_LABELS = {"nearest": "one setting", "averaged": "averaged over settings"}


def run(
    model: nn.Module,
    *,
    units: int,
    coupling: float,
    matrices: int,
    boards: int,
    reads: Sequence[int],
    seed: int,
    progress: Callable[[int, int], None],
) -> TaskResult:
    """Measure the settled error against resolution, the error against time, and the error of the model's boards."""
    board = as_board(model)
    tested = [buildable_matrix(units, coupling, seed + k) for k in range(matrices)]
    few = tested[:_SAMPLED]
    curves: dict[str, Any] = {"step": _STEPS, "seconds": {}, "sampled": {}, "settled": {}}
    for name in _LABELS:
        curves[name] = []
        for fraction in _STEPS:
            rounded = StochasticProcessingUnit(board.cells, capacitor_step=fraction * board.capacitance)
            curves[name].append(_rms(_settled_error(rounded, matrix, name == "averaged") for matrix in tested))
    coarse = StochasticProcessingUnit(board.cells, capacitor_step=_STEPS[0] * board.capacitance)
    for k, name in enumerate(_LABELS):
        curves["seconds"][name], curves["sampled"][name] = [], []
        curves["settled"][name] = _rms(_settled_error(coarse, matrix, name == "averaged") for matrix in few)
        for j, count in enumerate(reads):
            estimates = [
                coarse.inverse(matrix, reads=count, boards=boards, seed=seed, mitigate=name == "averaged")
                for matrix in few
            ]
            errors = map(relative_error, (estimate.value for estimate in estimates), map(torch.linalg.inv, few))
            curves["seconds"][name].append(max(estimate.seconds for estimate in estimates))
            curves["sampled"][name].append(_rms(errors))
            progress(k * len(reads) + j + 1, 2 * len(reads) + 1)
    rows = [
        Row(f"slope of the error, {label}", _slope(_STEPS, curves[name]), "", matrices, seed, "modelled", note=
            f"logarithmic, resolutions of 1/64 to 1/4096 of a cell; {units} x {units} inverses after infinite time")
        for name, label in _LABELS.items()
    ]  # fmt: skip
    note = (
        f"relative, Frobenius norm; {matrices} matrices {units} x {units}, each on {boards} boards, after infinite time"
    )
    for name, label in _LABELS.items():
        means = [_settled_error(board, matrix, name == "averaged", boards, seed).mean() for matrix in tested]
        mean, stderr = torch.stack(means).mean().item(), torch.stack(means).std().item() / matrices**0.5
        metric = f"error of the model's boards, {label}"
        rows.append(Row(metric, mean, "", matrices * boards, seed, "modelled", stderr, note=note))
    progress(1, 1)
    return TaskResult(rows, curves)


def draw(figure: "Figure", curves: dict[str, Any]) -> None:
    """Draw error against resolution, with slopes one and two, and against time at the coarsest resolution."""
    figure.set_size_inches(8.6, 3.6)
    left, right = figure.subplots(1, 2)
    first, last = curves["step"][0], curves["step"][-1]
    for name, slope, colour in (("nearest", 1, "tab:red"), ("averaged", 2, "tab:blue")):
        left.plot(curves["step"], curves[name], "o-", ms=4, color=colour, label=_LABELS[name])
        end = curves[name][-1]
        left.plot([first, last], [end * (first / last) ** slope, end], ":", color="grey", label=f"slope {slope}")
        right.plot(curves["seconds"][name], curves["sampled"][name], "o-", ms=4, color=colour, label=_LABELS[name])
        right.axhline(curves["settled"][name], color=colour, ls=":", label="after infinite time")
    left.set(xscale="log", yscale="log", title="after infinite time", xlabel="resolution / capacitance of a cell")
    right.set(xscale="log", yscale="log", title=f"resolution 1/{1 / first:g}", xlabel="time on the board, s")
    left.set_ylabel("relative Frobenius error of the inverse")
    for panel in (left, right):
        panel.legend(frameon=False, fontsize="small")


def _rms(errors: Iterable[Tensor]) -> float:
    """Return the root of the mean square over matrices and boards."""
    return torch.cat(list(errors)).square().mean().sqrt().item()


def _settled_error(
    board: StochasticProcessingUnit, matrix: Tensor, mitigate: bool, boards: int = 1, seed: int = 0
) -> Tensor:
    """Return the error of each board's inverse after infinite time, [board]."""
    circuits, weights = board.circuits(matrix, boards=boards, hardware_seed=seed, mitigate=mitigate)
    together = replace(circuits[0], capacitance=torch.stack([circuit.capacitance for circuit in circuits]))
    covariance = torch.einsum("k,kbij->bij", weights, together.stationary()[1])
    return relative_error(board.calibration(matrix) * covariance, torch.linalg.inv(matrix))


def _slope(x: list[float], y: list[float]) -> float:
    """Fit a straight line to the logarithms, and return its slope."""
    log_x, log_y = torch.tensor(x).log(), torch.tensor(y).log()
    return (torch.cov(torch.stack([log_x, log_y]))[0, 1] / log_x.var()).item()
