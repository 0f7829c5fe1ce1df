"""Rows of the tasks of linear algebra are the numbers of their curves, with unit, count, seed and kind."""

from functools import partial

import numpy as np
import pytest
import torch

from thermotorch.evaluation.linear_algebra import inversion, mitigation, scaling
from thermotorch.evaluation.linear_algebra.tasks import run_task
from thermotorch.linear_algebra import sampling_error
from thermotorch.linear_algebra.board.spu import StochasticProcessingUnit

BOARD = {"cells": 4, "tolerance": 0.02, "capacitor_step": 4e-11, "adc_bits": 10, "bandwidth": 1e7}


def ran(name, board=None, **settings):
    """The result, and what progress was told."""
    told = []
    model = board or StochasticProcessingUnit(**BOARD)
    return run_task(name, model, settings, "typed", lambda done, total: told.append((done, total))), told


@pytest.fixture(scope="module")
def inverted():
    """Seed 3, since 0 may be a default, and two sizes."""
    return ran("invert", sizes=[2, 4], coupling=0.7, boards=4, reads=5_000, seed=3)


def test_times_of_a_curve_are_those_of_its_reads_from_fifty_to_all(inverted):
    (result, told), board = inverted, StochasticProcessingUnit(**BOARD)
    seconds = result.curves["seconds"]
    reads = [(second - board.warmup) / board.sampling_interval for second in seconds]
    assert (reads[0], reads[-1]) == (pytest.approx(50), pytest.approx(5_000)) and len(reads) == 25
    assert np.diff(np.log(reads)) == pytest.approx(np.log(100) / 24, rel=0.08)
    assert told == [(k, 4) for k in (1, 2, 3, 4)]


def test_errors_are_those_of_the_boards_of_the_seed(inverted):
    result, _ = inverted
    board = StochasticProcessingUnit(**BOARD)
    flaws = {"tolerance": 0.0, "capacitor_step": None, "adc_bits": None, "bandwidth": None}
    ideal = StochasticProcessingUnit(**{**BOARD, **flaws})
    for units, curve in result.curves["sizes"].items():
        matrix = inversion.buildable_matrix(int(units), 0.7, 3)
        truth = torch.linalg.inv(matrix)
        for name, device in (("mean", board), ("ideal", ideal)):
            (circuit,), _ = device.circuits(matrix, boards=4, hardware_seed=3)
            average = device.moments(circuit, [5_000], seed=3)[0] / 5_000
            error = inversion.relative_error(device.calibration(matrix) * average, truth)
            assert curve[name][-1] == pytest.approx(error.mean().item(), rel=1e-6)
            if name == "mean":
                assert curve["low"][-1] == pytest.approx(error.quantile(0.1).item(), rel=1e-6)
                assert curve["high"][-1] == pytest.approx(error.quantile(0.9).item(), rel=1e-6)
                settled = inversion.relative_error(device.calibration(matrix) * circuit.stationary()[1], truth)
                assert curve["floor"] == pytest.approx(settled.mean().item(), rel=1e-6)


def test_every_row_of_an_inverse_is_a_number_of_its_curve(inverted):
    result, _ = inverted
    seconds, board = result.curves["seconds"], StochasticProcessingUnit(**BOARD)
    rows = {row.metric: row for row in result.rows}
    expected = {}
    for units, curve in result.curves["sizes"].items():
        name, after = f"error of the {units} x {units} inverse", f"after {seconds[-1]:.2g} s"
        expected[f"{name} {after}"] = (curve["mean"][-1], "", 4)
        expected[f"{name} {after}, ideal components"] = (curve["ideal"][-1], "", 4)
        expected[f"{name} after infinite time"] = (curve["floor"], "", 4)
        within = [second for second, error in zip(seconds, curve["mean"], strict=True) if error <= 0.05]
        assert within and within[0] > seconds[0], "it is not there from the first read on"
        expected[f"board time to the {units} x {units} inverse within 0.05"] = (within[0], "s", 4)
        watt = inversion.dissipation(board, inversion.buildable_matrix(int(units), 0.7, 3))
        expected[f"heat of the {units} x {units} inverse"] = (watt * seconds[-1], "J per inverse", 1)
        spread = rows.pop(f"{name} {after}, spread")
        mean = rows[f"{name} {after}"]
        assert mean.stderr == pytest.approx(spread.value / 4**0.5) and spread.unit == ""
        for metric in (f"{name} {after}, ideal components", f"{name} after infinite time"):
            assert 0 < rows[metric].stderr < rows[metric].value
    found = {metric: (pytest.approx(row.value), row.unit, row.num_samples) for metric, row in rows.items()}
    assert found == expected
    assert {(row.kind, row.seed, row.command) for row in result.rows} == {("modelled", 3, "typed")}


@pytest.mark.parametrize("units", [1, 5])
def test_a_matrix_has_the_coupling_and_the_spread_that_were_asked_for(units):
    matrix = inversion.buildable_matrix(units, 0.6, seed=2)
    root = matrix.diagonal().sqrt()
    scaled = matrix / root / root[:, None]
    off = (scaled - torch.eye(units)).abs()
    assert (
        torch.allclose(matrix, matrix.T, rtol=1e-12) and 0.5 <= matrix.diagonal().min() <= matrix.diagonal().max() <= 2
    )
    assert torch.linalg.eigvalsh(off)[-1].item() == pytest.approx(0.6 if units > 1 else 0.0, abs=1e-12)


def test_rows_of_the_mitigation_are_slopes_and_errors_of_its_curves():
    board = StochasticProcessingUnit(**BOARD)
    result, told = ran("mitigation", board, units=2, coupling=0.7, matrices=4, boards=3, reads=[100, 200], seed=5)
    curves, rows = result.curves, {row.metric: row for row in result.rows}
    assert curves["step"] == [2.0**-k for k in range(6, 13)]
    tested = [inversion.buildable_matrix(2, 0.7, 5 + k) for k in range(4)]
    coarse = StochasticProcessingUnit(4, capacitor_step=board.capacitance / 64)
    for name, label, mitigate in (("nearest", "one setting", False), ("averaged", "averaged over settings", True)):
        slope = rows.pop(f"slope of the error, {label}")
        assert slope.value == pytest.approx(np.polyfit(np.log(curves["step"]), np.log(curves[name]), 1)[0], rel=1e-4)
        assert (slope.num_samples, slope.seed, slope.kind) == (4, 5, "modelled")
        exact = torch.cat([mitigation._settled_error(coarse, matrix, mitigate) for matrix in tested])
        assert curves[name][0] == pytest.approx(exact.square().mean().sqrt().item(), rel=1e-6)
        assert curves["settled"][name] == pytest.approx(exact[:3].square().mean().sqrt().item(), rel=1e-6)
        for k, reads in enumerate((100, 200)):
            found = [coarse.inverse(each, reads=reads, boards=3, seed=5, mitigate=mitigate) for each in tested[:3]]
            errors = [inversion.relative_error(each.value, torch.linalg.inv(matrix))
                      for each, matrix in zip(found, tested, strict=False)]  # fmt: skip
            assert curves["sampled"][name][k] == pytest.approx(
                torch.cat(errors).square().mean().sqrt().item(), rel=1e-6
            )
            assert curves["seconds"][name][k] == max(each.seconds for each in found)
        of_boards = rows.pop(f"error of the model's boards, {label}")
        assert (of_boards.num_samples, of_boards.seed, of_boards.unit) == (12, 5, "")
    assert not rows and told == [(k, 5) for k in (1, 2, 3, 4)] + [(1, 1)]


def test_a_device_is_as_fast_as_its_clock_and_as_its_load():
    settings = {"condition": 4.0, "reads": 256, "signal_to_noise": 5.0, "goals": {"solve": 0.1, "inverse": 0.3}}
    result, told = ran("scaling", sizes=[3, 8], second=2e-6, load_rate=1e8, repeats=1, seed=4, **settings)
    assert told == [(1, 2), (2, 2)] and result.curves["goals"] == settings["goals"]
    rows = {row.metric: row for row in result.rows}
    for units, entry in result.curves["sizes"].items():
        matrix, b = scaling.problem(int(units), 4.0, 4)
        answer, inverse = torch.linalg.solve(matrix, b), torch.linalg.inv(matrix)
        kT = (answer.square().mean() / (25 * inverse.trace() / int(units))).item()
        values = torch.linalg.eigvalsh(matrix)
        assert values.mean().item() == pytest.approx(1.0) and (values[-1] / values[0]).item() == pytest.approx(4.0)
        assert entry["load"] == pytest.approx(int(units) ** 2 / 1e8)
        reads = [2**k for k in range(8)]
        errors = {"solve": partial(sampling_error.solution_error, values, answer.norm().item(), kT),
                  "inverse": partial(sampling_error.inverse_error, values)}  # fmt: skip
        for name, what in (("solve", "linear system"), ("inverse", "inverse")):
            curve, goal = entry[name], settings["goals"][name]
            assert curve["seconds"] == pytest.approx([entry["load"] + 2 * n * 0.5 * 2e-6 for n in reads])
            assert curve["predicted"] == pytest.approx([errors[name](n, 0.5) for n in reads])
            needed = next(n for n in range(2, 10**6) if errors[name](n, 0.5) <= goal)
            times = entry["times"][name]
            assert times["device"] == pytest.approx(entry["load"] + 2 * needed * 0.5 * 2e-6)
            assert times["load"] == entry["load"] and times["lu"] == entry["digital"][f"lu {name}"]
            reached = [wall for wall, error in zip(curve["wall"], curve["error"], strict=True) if error < goal]
            assert times.get("simulated") == (reached[0] if reached else None)
            for key, label in {"device": "ideal device", "cholesky": "Cholesky"}.items():
                row = rows.pop(f"{what} of {units} units to {goal:g}, {label}")
                assert (row.value, row.unit, row.seed) == (times[key], "s", 4)
                assert row.kind == ("modelled" if key == "device" else "measured")
        steps = entry["digital"]["cg"]
        cg = next(wall for wall, error in zip(steps["wall"], steps["error"], strict=True) if error < 0.1)
        assert rows.pop(f"linear system of {units} units to 0.1, conjugate gradients").value == cg
        assert steps["wall"] == sorted(steps["wall"]) and "cg" not in entry["times"]["inverse"]
    assert not rows
