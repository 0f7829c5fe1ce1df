import json

import pytest
import torch

from scripts.pages import heat_frontier
from scripts.pages.classifier_figures import changed
from scripts.pages.heat_frontier import HEATED, RECORD, SEEDS, TRAINED, frontier_figure, frontier_table, measured
from thermotorch.models.classifier.machine import ThermodynamicClassifier


def point(heat: float, accuracy: float, **fields: float) -> dict:
    errors = {"stderr": 0.001, "half_step_heat": heat, "half_step_accuracy": accuracy - 0.01, "half_step_stderr": 0.002}
    return {"temperature": 2.0, "t_final": 0.2, "heat": heat, "accuracy": accuracy} | errors | fields


@pytest.fixture
def record() -> dict:
    series = {HEATED: [point(200.0, 0.9), point(50.0, 0.7)], TRAINED: [point(100.0, 0.8, price=1e-4, sharpness=0.5)]}
    return {"images": 1234, "seeds": [0, 1, 2], "series": series}


def test_a_point_is_the_mean_over_noise_seeds_at_the_step_and_at_half_of_it():
    torch.manual_seed(0)
    model = ThermodynamicClassifier([1, 4, 4], num_classes=3, hidden=4, t_final=0.1, dt=0.02, temperature=2.0)
    images, labels = torch.rand(60, 1, 4, 4), torch.randint(3, (60,))
    found = measured(model, images, labels)
    assert (found["temperature"], found["t_final"]) == (2.0, 0.1)
    for prefix, machine in (("", model), ("half_step_", changed(model, dt=0.01))):
        runs = [machine.infer(images, seed=seed) for seed in SEEDS]
        right = torch.stack([(run.outputs[:, 0].argmax(1) == labels).double().mean() for run in runs])
        heat = torch.stack([run.heat.double().mean() for run in runs]).mean()
        assert found[f"{prefix}heat"] == pytest.approx(heat.item())
        assert found[f"{prefix}accuracy"] == pytest.approx(right.mean().item())
        assert found[f"{prefix}stderr"] == pytest.approx(right.std().item() / len(SEEDS) ** 0.5)
    assert found["half_step_heat"] != found["heat"]


def test_the_figure_has_a_line_for_each_way_and_the_published_point(record):
    axes = frontier_figure(record).axes[0]
    lines = {container.get_label(): container.lines[0] for container in axes.containers}
    heat, error = lines[HEATED].get_data()
    assert list(heat) == [50.0, 200.0] and list(error) == pytest.approx([0.3, 0.1])
    assert list(lines[TRAINED].get_data()[0]) == [100.0]
    (bar,) = axes.containers[1].lines[2][0].get_segments()
    assert bar[:, 1].tolist() == pytest.approx([0.199, 0.201])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    (paper,) = (line for line in axes.get_lines() if line.get_label() == "the paper")
    assert paper.get_xydata().tolist() == [[1e5, pytest.approx(1 - 0.917)]]


def test_the_table_is_ordered_by_heat_and_says_what_it_was_measured_with(record):
    text = frontier_table(record)
    rows = text.split("\n\n")[0].splitlines()[2:]
    lines = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [line[0] for line in lines] == [HEATED, TRAINED, HEATED]
    assert lines[1][1:] == ["2", "0.5", "0.0001", "100", "80.00 ± 0.10 %", "79.00 ± 0.20 %"]
    assert lines[0][2:4] == ["", ""]
    assert "1,234 test images, noise seeds 0 to 2" in text


def test_the_recorded_machines_are_the_better_for_being_trained_and_agree_with_themselves_at_half_their_step():
    series = json.loads(RECORD.read_text(encoding="utf-8"))["series"]
    heated = sorted((each["heat"], each["accuracy"]) for each in series[HEATED])
    assert len(series[TRAINED]) >= 6
    for each in series[TRAINED]:
        colder = max(pair for pair in heated if pair[0] <= each["heat"])
        assert each["accuracy"] > colder[1] or each["heat"] > 5000  # there the shipped machine is trained well enough
        errors = (each["stderr"] ** 2 + each["half_step_stderr"] ** 2) ** 0.5
        assert abs(each["accuracy"] - each["half_step_accuracy"]) < 4 * errors


def test_without_runs_it_draws_what_is_recorded(record, tmp_path, monkeypatch):
    monkeypatch.setattr(heat_frontier, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr(heat_frontier, "FIGURE", tmp_path / "figure.png")
    monkeypatch.setattr("sys.argv", ["heat_frontier"])
    (tmp_path / "record.json").write_text(json.dumps(record))
    heat_frontier.main()
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "record.json").read_text()) == record
