"""The tasks of a stochastic processing unit: their numbers against what is known of them, and their figures."""

import importlib
import json
import statistics

import pytest
import torch
from matplotlib.figure import Figure

from thermotorch.evaluation.linear_algebra import inversion, mitigation, scaling
from thermotorch.evaluation.linear_algebra.tasks import TASKS, run_task, write_task
from thermotorch.linear_algebra.board.spu import StochasticProcessingUnit
from thermotorch.linear_algebra.device import Device
from thermotorch.zoo import create_model

SMALL = {
    "invert": {"sizes": [2, 4], "coupling": 0.8, "boards": 12, "reads": 4000, "seed": 0},
    "mitigation": {"units": 4, "coupling": 0.8, "matrices": 3, "boards": 2, "reads": [400, 4000], "seed": 0},
    "scaling": {"sizes": [4, 16], "condition": 5.0, "reads": 512, "signal_to_noise": 10.0, "second": 1e-6,
                "load_rate": 1e9, "goals": {"solve": 0.05, "inverse": 0.2}, "repeats": 1, "seed": 0},
}  # fmt: skip
BOARD = {"cells": 4, "tolerance": 0.01, "capacitor_step": 4e-11}


@pytest.fixture(scope="module")
def results() -> dict:
    model = StochasticProcessingUnit(**BOARD)
    return {name: run_task(name, model, settings, "typed") for name, settings in SMALL.items()}


def row(result, start: str) -> float:
    return next(row.value for row in result.rows if row.metric.startswith(start))


def test_rows_say_what_they_rest_on(results):
    for result in results.values():
        for entry in result.rows:
            assert entry.command == "typed"
            assert entry.note
            assert entry.kind == ("measured" if entry.metric.endswith(("Cholesky", "gradients")) else "modelled")


def test_inversion_starts_from_sampling_error_and_ends_at_the_components(results):
    for curve in results["invert"].curves["sizes"].values():
        assert curve["mean"][0] > 4 * curve["mean"][-1]
        assert curve["ideal"][-1] < curve["ideal"][0] / 4
        assert curve["low"][-1] <= curve["mean"][-1] <= curve["high"][-1]
        assert 0.001 < curve["floor"] < 0.05


def test_the_heat_of_a_board_is_what_its_noise_puts_in():
    """White current noise does the work kappa0 tr C^-1 per second on the capacitors, whatever the resistors are."""
    board = StochasticProcessingUnit(4, resistance=[200.0, 330.0, 330.0, 500.0])
    matrix = inversion.buildable_matrix(4, 0.8, seed=0)
    (circuit,), _ = board.circuits(matrix)
    expected = board.noise * torch.linalg.inv(circuit.capacitance[0]).trace().item()
    assert inversion.dissipation(board, matrix) == pytest.approx(expected, rel=1e-9)


def test_mitigation_has_slopes_one_and_two(results):
    assert row(results["mitigation"], "slope of the error, one setting") == pytest.approx(1.0, abs=0.25)
    assert row(results["mitigation"], "slope of the error, averaged") == pytest.approx(2.0, abs=0.25)


def test_errors_of_boards_are_means_over_matrices_with_the_errors_of_means(results):
    """Two boards of a matrix are two devices, but matrices are what the mean is over."""
    board, rows = StochasticProcessingUnit(**BOARD), {row.metric: row for row in results["mitigation"].rows}
    tested = [inversion.buildable_matrix(4, 0.8, seed) for seed in range(3)]
    for label, mitigate in (("one setting", False), ("averaged over settings", True)):
        means = [mitigation._settled_error(board, matrix, mitigate, 2, 0).mean() for matrix in tested]
        found = rows[f"error of the model's boards, {label}"]
        assert found.value == pytest.approx(statistics.mean(map(float, means)))
        assert found.stderr == pytest.approx(statistics.stdev(map(float, means)) / 3**0.5)
        assert found.num_samples == 3 * 2


def test_conjugate_gradients_end_after_as_many_steps_as_eigenvalues():
    matrix, b = scaling.problem(6, 5.0, seed=0)
    steps = scaling.conjugate_gradients(matrix, b, torch.linalg.solve(matrix, b))
    assert len(steps["error"]) <= 7
    assert steps["error"][-1] < 1e-8
    assert torch.linalg.cond(matrix).item() == pytest.approx(5.0)


def test_the_device_approaches_its_predicted_error(results):
    for entry in results["scaling"].curves["sizes"].values():
        for name in ("solve", "inverse"):
            ratio = entry[name]["error"][-1] / entry[name]["predicted"][-1]
            assert 0.3 < ratio < 3, "one run, whose error is the root of a few squares"
            assert entry["times"][name]["device"] > entry["load"]


def test_errors_of_the_device_are_those_of_the_second_half_of_its_path(monkeypatch):
    """Computed from one path in one piece; at most 360 / 3^2 reads, which end after 2 x 16."""
    monkeypatch.setattr(scaling, "_AT_ONCE", 5)
    monkeypatch.setattr(scaling, "_PRODUCTS", 360)
    settings = {**SMALL["scaling"], "sizes": [3], "reads": 64, "seed": 2}
    entry = run_task("scaling", StochasticProcessingUnit(**BOARD), settings, "typed").curves["sizes"]["3"]
    matrix, b = scaling.problem(3, 5.0, 2)
    answer, inverse = torch.linalg.solve(matrix, b), torch.linalg.inv(matrix)
    kT = answer.square().mean().item() / (10.0**2 * inverse.trace().item() / 3)
    for name, force in (("solve", b), ("inverse", None)):
        path = Device(kT).process(matrix, force)(torch.zeros(1, 3, dtype=torch.float64), 32, 0.5, 2, 0)[:, 0]
        assert len(entry[name]["error"]) == 5
        for n, error, seconds in zip((1, 2, 4, 8, 16), entry[name]["error"], entry[name]["seconds"], strict=True):
            late = path[n : 2 * n]
            if force is None:
                expected = (late.T @ late / (n * kT) - inverse).norm() / inverse.norm()
            else:
                expected = (late.mean(0) - answer).norm() / answer.norm()
            assert error == pytest.approx(expected.item(), rel=1e-6)
            assert seconds == pytest.approx(9 / 1e9 + n * 1e-6)


@pytest.mark.parametrize("name", TASKS)
def test_results_are_written_and_drawn(name, results, tmp_path):
    paths = write_task(name, results[name], tmp_path)
    assert json.loads(paths[0].read_text()) == json.loads(json.dumps(results[name].curves))
    assert paths[1].stat().st_size > 5000


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="unknown task 'inverts'; did you mean 'invert'"):
        run_task("inverts", StochasticProcessingUnit(), {})
    with pytest.raises(TypeError, match="for a stochastic processing unit, got a Linear"):
        run_task("invert", torch.nn.Linear(1, 1), SMALL["invert"])
    with pytest.raises(TypeError, match="bords"):
        run_task("invert", StochasticProcessingUnit(), {**SMALL["invert"], "bords": 3})


def test_the_shipped_board():
    board = create_model("spu.8cell", pretrained=True)
    assert isinstance(board, StochasticProcessingUnit)
    assert board.cells == 8
    assert board.tolerance == 0.01
    assert board.inductance.tolist() == pytest.approx([1e-3] * 8)


def test_matrices_and_problems_are_functions_of_the_seed():
    for drawn in (lambda seed: inversion.buildable_matrix(5, 0.8, seed), lambda seed: scaling.problem(5, 3.0, seed)[1]):
        assert torch.equal(drawn(3), drawn(3))
        assert not torch.equal(drawn(3), drawn(4))


def drawn(name, results) -> Figure:
    figure = Figure()
    importlib.import_module(TASKS[name]).draw(figure, results[name].curves)
    assert all((panel.get_xscale(), panel.get_yscale()) == ("log", "log") for panel in figure.axes)
    assert all(panel.get_title() and panel.get_xlabel() for panel in figure.axes)
    return figure


def legend(panel) -> list[str]:
    return [text.get_text() for text in panel.get_legend().get_texts()]


def lines(panel) -> list[tuple[list, list]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in panel.lines]


def test_the_figure_of_the_scaling_shows_every_curve_at_its_place(results):
    figure, curves = drawn("scaling", results), results["scaling"].curves
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["4 units", "16 units"]
    assert "conjugate gradients" in legend.get_title().get_text()
    panels = [figure.axes[:3], figure.axes[3:]]
    for (left, middle, right), name in zip(panels, ("solve", "inverse"), strict=True):
        assert left.get_ylabel() == middle.get_ylabel() == "relative error" and right.get_ylabel() == "seconds"
        assert "modelled" in left.get_title() and "measured" in middle.get_title()
        assert [panel.get_xlabel() for panel in (left, middle, right)] == ["seconds", "seconds", "units"]
        assert left.get_ylim() == ((5e-4, 1.0) if name == "solve" else (5e-3, 10.0))
        assert f"{curves['goals'][name]:g}" in right.get_title()
        for entry in curves["sizes"].values():
            assert (entry[name]["seconds"], entry[name]["error"]) in lines(left)
            assert (entry[name]["seconds"], entry[name]["predicted"]) in lines(left)
            assert (entry[name]["wall"], entry[name]["error"]) in lines(middle)
            steps = entry["digital"]["cg"]
            for panel in (left, middle):
                assert ((steps["wall"], steps["error"]) in lines(panel)) == (name == "solve")
                for method in ("cholesky", "lu"):  # as triangles at the bottom
                    assert entry["digital"][f"{method} {name}"] in [x[0] for x, _ in lines(panel) if len(x) == 1]
        named = {line.get_label(): list(line.get_ydata()) for line in right.lines}
        for label, key in (("device", "device"), ("of which load", "load"), ("Cholesky", "cholesky"), ("LU", "lu")):
            times = [entry["times"][name][key] for entry in curves["sizes"].values()]
            assert [found for text, found in named.items() if text.startswith(label)] == [times]


def test_the_figure_of_the_inverse_shows_every_curve_in_milliseconds(results):
    figure, curves = drawn("invert", results), results["invert"].curves
    time = [1000 * second for second in curves["seconds"]]
    named = ["80 % of boards", "mean over boards", "ideal components", "after infinite time"]
    assert legend(figure.axes[0]) == named
    assert figure.axes[0].get_ylabel() == "relative Frobenius error of the inverse"
    assert {panel.get_xlabel() for panel in figure.axes} == {"time on the board, ms"}
    for panel, (units, curve) in zip(figure.axes, curves["sizes"].items(), strict=True):
        assert panel.get_title() == f"{units} x {units}"
        assert lines(panel)[:2] == [(pytest.approx(time), curve["mean"]), (pytest.approx(time), curve["ideal"])]
        assert lines(panel)[2][1] == [curve["floor"]] * 2
        (band,) = panel.collections
        heights = band.get_paths()[0].vertices[:, 1]
        assert {min(curve["low"]), max(curve["high"])} <= set(heights.tolist())


def test_the_figure_of_the_mitigation_has_guides_of_slopes_one_and_two(results):
    left, right = drawn("mitigation", results).axes
    kinds, guides = ("one setting", "averaged over settings"), ("slope 1", "slope 2")
    assert legend(left) == [kinds[0], guides[0], kinds[1], guides[1]]
    assert legend(right) == [kinds[0], "after infinite time", kinds[1], "after infinite time"]
    assert left.get_ylabel() == "relative Frobenius error of the inverse"
    assert left.get_xlabel() == "resolution / capacitance of a cell" and right.get_xlabel() == "time on the board, s"
    assert (left.get_title(), right.get_title()) == ("after infinite time", "resolution 1/64")
    curves = results["mitigation"].curves
    for k, (name, slope) in enumerate((("nearest", 1), ("averaged", 2))):
        assert lines(left)[2 * k] == (curves["step"], curves[name])
        (near, far), (top, end) = lines(left)[2 * k + 1]
        assert (near, far, end) == (curves["step"][0], curves["step"][-1], curves[name][-1])
        assert top / end == pytest.approx((near / far) ** slope)
        assert lines(right)[2 * k] == (curves["seconds"][name], curves["sampled"][name])
        assert lines(right)[2 * k + 1][1] == [curves["settled"][name]] * 2
