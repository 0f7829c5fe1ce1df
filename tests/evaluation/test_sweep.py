import json

import pytest
from matplotlib.figure import Figure
from PIL import Image

from thermotorch.evaluation.report.sweep_report import save_sweep_figure, sweep_caption, sweep_table, write_sweep
from thermotorch.evaluation.sweep import Point, Sweep, failures, read_sweep
from thermotorch.zoo.rows import Row

FRECHET = "Frechet distance (thermotorch-test-v1)"


def write(folder, number: int, frechet: float, model: str = "generator.trial", parameters: int = 7, **changes) -> None:
    """Write the files that `thermotorch-evaluate` leaves in the folder of a run."""
    settings = {"bits": None, "mismatch": 0.0, "seed": 0, "device_id": 0}
    config = {key: value for key, value in changes.items() if key not in settings}
    imperfections = settings | {key: value for key, value in changes.items() if key in settings}
    row = {"num_samples": 40, "seed": 3, "kind": "measured"}
    found = {
        "model": model, "task": "generate", "config": config, "imperfections": imperfections,
        "protocol": {"num_samples": 40, "seed": 3},
        "metrics": [
            Row(FRECHET, frechet, "", stderr=0.5, **row).to_dict(),
            Row("nearest training image, mean", 3.0, "", **row).to_dict(),
            Row("recognised fraction", 0.5, "", stderr=0.08, **row).to_dict(),
            Row("parameters", parameters, "", 0, 3, "measured").to_dict(),
            Row("distance to training images, relative to held-out images", None, "", 0, 3, "unavailable").to_dict(),
        ],
        "energy": [Row("generation heat", 50.0, "kT per sample", 40, 3, "modelled").to_dict()],
    }  # fmt: skip
    path = folder / str(number) / "evaluation.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(found))


def test_axes_are_what_differs_and_points_keep_the_order_of_the_runs(tmp_path):
    for number, bits in enumerate([2, 4, 8, 5, 6, 7, 9, 10, 11, 32, None]):
        write(tmp_path, number, 10.0 + number, bits=bits)
    sweep = read_sweep(tmp_path)
    assert sweep.axes == ["imperfections.bits"]
    assert [point.setting["imperfections.bits"] for point in sweep.points] == [2, 4, 8, 5, 6, 7, 9, 10, 11, 32, None]
    assert [point.rows[FRECHET].value for point in sweep.points] == [10.0 + k for k in range(11)]
    assert sweep.metrics() == [FRECHET, "recognised fraction", "generation heat"]
    assert sweep_caption(sweep) == "generator.trial, 40 samples, seed 3"


def test_only_what_every_run_measured_is_shown(tmp_path):
    for number in range(2):
        write(tmp_path, number, 10.0 + number, mismatch=number)
    path = tmp_path / "1" / "evaluation.json"
    found = json.loads(path.read_text())
    found["metrics"] = [row for row in found["metrics"] if row["metric"] != "recognised fraction"]
    path.write_text(json.dumps(found))
    assert read_sweep(tmp_path).metrics() == [FRECHET, "generation heat"]


def test_devices_are_repetitions_of_one_point(tmp_path):
    values = {(0.01, 0): 10.0, (0.01, 1): 12.0, (0.01, 2): 14.0, (0.2, 0): 30.0, (0.2, 1): 30.0, (0.2, 2): 36.0}
    for number, ((mismatch, device), value) in enumerate(values.items()):
        write(tmp_path, number, value, mismatch=mismatch, device_id=device)
    sweep = read_sweep(tmp_path)
    assert sweep.axes == ["imperfections.mismatch"]
    small, large = (point.rows[FRECHET] for point in sweep.points)
    assert (small.value, small.stderr) == (12.0, pytest.approx(2.0 / 3**0.5))  # scatter of the devices
    assert (large.value, large.stderr) == (32.0, pytest.approx(12.0**0.5 / 3**0.5))
    header, _, first, _ = sweep_table(sweep).splitlines()
    assert [cell.strip() for cell in header.split("|")[1:-1]] == [
        "mismatch", FRECHET, "recognised fraction", "generation heat, kT per sample", "repetitions",
    ]  # fmt: skip
    assert [cell.strip() for cell in first.split("|")[1:3]] == ["0.01", "12.0 ± 1.2 (2)"]
    assert first.split("|")[-2].strip() == "3"


def test_a_second_axis_gets_a_line_of_its_own(tmp_path):
    grid = [(time, temperature) for temperature in (0.01, 0.1) for time in (1.0, 3.0, 30.0)]
    for number, (time, temperature) in enumerate(grid):
        write(tmp_path, number, time * temperature, t_final=time, temperature=temperature, dt=0.05)
    sweep = read_sweep(tmp_path)
    assert sweep.axes == ["config.t_final", "config.temperature"]
    assert sweep_caption(sweep).endswith("seed 3, dt 0.05")
    picture = Image.open(save_sweep_figure(sweep, tmp_path / "sweep.png"))
    assert picture.width > 3 * picture.height / 2 > 100  # three panels beside each other


def test_models_of_several_sizes_are_points_that_say_their_size(tmp_path):
    for number, (model, parameters) in enumerate({"generator.small": 100, "generator.large": 1000}.items()):
        write(tmp_path, number, 5.0, model=model, parameters=parameters)
    sweep = read_sweep(tmp_path)
    assert sweep.axes == ["model"]
    assert sweep.metrics()[-1] == "parameters"
    assert "1,000" in sweep_table(sweep).splitlines()[-1]
    assert sweep_caption(sweep) == "40 samples, seed 3"
    assert save_sweep_figure(sweep, tmp_path / "sweep.png").is_file()


def test_a_sweep_of_another_task_shows_what_it_has(tmp_path):
    for number, bits in enumerate((2, 4)):
        write(tmp_path, number, 5.0, bits=bits)
        path = tmp_path / str(number) / "evaluation.json"
        found = json.loads(path.read_text())
        rows = [
            Row("relative error", 0.1, "", 9, 0, "measured").to_dict(),
            Row("spread", 0.2, "", 9, 0, "measured").to_dict(),
        ]
        path.write_text(json.dumps(found | {"metrics": rows, "energy": []}))
    assert read_sweep(tmp_path).metrics() == ["relative error", "spread"]
    assert sweep_caption(read_sweep(tmp_path)) == "generator.trial, 9 samples, seed 0"


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run folder here holds a record"):
        read_sweep(tmp_path)


def write_training(folder, number: int, loss: float | None, seed: int, lr: str, failed: str = "") -> None:
    """Write the files that `thermotorch-train -m` leaves in a run's folder; one without a loss has not finished."""
    run = folder / str(number)
    (run / ".hydra").mkdir(parents=True)
    told = ["experiment=trial", "+data=digits8x8", f"optimizer.lr={lr}", f"seed={seed}"]
    (run / ".hydra" / "overrides.yaml").write_text("".join(f"- {word}\n" for word in told))
    if failed:
        (run / "FAILED").write_text(f"Traceback (most recent call last):\n  ...\n{failed}\n")
    if loss is not None:
        logged = {"train/loss": loss, "val/nothing": None}
        (run / "training.json").write_text(json.dumps({"experiment": "trial", "seed": seed, "logged": logged}))


def test_training_runs_are_averaged_over_seeds_and_the_failed_ones_named(tmp_path):
    for number, (loss, seed, lr) in enumerate([(1.0, 0, "1e-3"), (3.0, 1, "1e-3"), (5.0, 0, "0.1"), (6.0, 1, "0.1")]):
        write_training(tmp_path, number, loss, seed, lr)
    write_training(tmp_path, 4, None, 2, "0.1")
    write_training(tmp_path, 5, 7.0, 3, "0.1", failed="ValueError: optimized_metric: no such | quantity")
    sweep = read_sweep(tmp_path)
    assert sweep.axes == ["optimizer.lr"]
    assert [point.setting for point in sweep.points] == [{"optimizer.lr": 1e-3}, {"optimizer.lr": 0.1}]
    small, large = (point.rows["train/loss"] for point in sweep.points)
    assert (small.value, small.stderr) == (2.0, pytest.approx(1.0))  # 1 and 3: standard deviation 2^(1/2)
    assert sweep.points[0].spread["train/loss"] == pytest.approx(2**0.5)
    assert (large.value, sweep.metrics()) == (5.5, ["train/loss"])
    assert [(one.run, one.settings) for one in failures(tmp_path)] == [
        ("4", "optimizer.lr=0.1 seed=2"),
        ("5", "optimizer.lr=0.1 seed=3"),
    ]
    text, paths = write_sweep(tmp_path)
    assert text.startswith("trial, data digits8x8; mean ± its standard error over 2 repetitions (seed)")
    assert " 2.0 ± 1.0 (1.4) |" in text
    assert "stopped before it had a result" in text
    assert r"ValueError: optimized_metric: no such \| quantity" in text
    assert (tmp_path / "sweep.md").read_text() == text
    assert all(path.is_file() for path in paths)


def test_a_sweep_over_nothing_but_seeds_has_a_line_for_each_quantity_and_no_figure(tmp_path):
    for seed, loss in enumerate((1.0, 2.0, 6.0)):
        write_training(tmp_path, seed, loss, seed, "0.1")
    text, paths = write_sweep(tmp_path)
    assert [path.name for path in paths] == ["sweep.md"]
    assert text.splitlines()[-1].split("|")[1:-1] == [" train/loss ", " 3.0 ± 1.5 (2.6) "]
    with pytest.raises(ValueError, match="something that was varied"):
        save_sweep_figure(read_sweep(tmp_path), tmp_path / "sweep.png")


def test_a_sweep_whose_runs_share_no_number_has_no_figure(tmp_path):
    for number in range(2):
        write(tmp_path, number, 10.0, mismatch=number)
        path = tmp_path / str(number) / "evaluation.json"
        found = json.loads(path.read_text())
        path.write_text(json.dumps({**found, "metrics": [], "energy": []}))
    text, paths = write_sweep(tmp_path)
    assert [path.name for path in paths] == ["sweep.md"] and "mismatch" in text


def test_a_sweep_of_which_every_run_failed_says_so(tmp_path):
    write_training(tmp_path, 0, None, 0, "0.1", failed="ValueError: no")
    text, _ = write_sweep(tmp_path)
    assert "1 without a result" in text
    assert "ValueError: no" in text


def test_a_number_that_one_repetition_lacks_is_no_mean_of_the_others(tmp_path):
    for device in range(3):
        write(tmp_path, device, 10.0 + device, device_id=device)
    path = tmp_path / "1" / "evaluation.json"
    record = json.loads(path.read_text())
    record["metrics"][2] = Row("recognised fraction", None, "", 0, 3, "unavailable").to_dict()
    path.write_text(json.dumps(record))
    (point,) = read_sweep(tmp_path).points
    assert "recognised fraction" not in point.rows and "recognised fraction" not in point.spread
    assert (point.rows[FRECHET].value, point.repetitions) == (11.0, 3)


def test_a_loss_that_is_no_number_is_left_out(tmp_path):
    """Python writes and reads NaN and Infinity in JSON."""
    write_training(tmp_path, 0, float("inf"), 0, "0.1")
    write_training(tmp_path, 1, 2.0, 0, "0.2")
    first, second = read_sweep(tmp_path).points
    assert first.rows == {} and second.rows["train/loss"].value == 2.0


def test_a_run_with_several_records_counts_by_its_evaluation_and_then_by_its_samples(tmp_path):
    for number in range(2):
        write(tmp_path, number, 5.0 + number, bits=number + 2)
        folder, other = tmp_path / str(number), Row("other", 1.0, "", 9, 0, "measured").to_dict()
        for name in ("samples.json", "training.json"):
            (folder / name).write_text(json.dumps({"seed": 0, "metrics": [other], "energy": []}))
    assert [point.rows[FRECHET].value for point in read_sweep(tmp_path).points] == [5.0, 6.0]
    for number in range(2):
        (tmp_path / str(number) / "evaluation.json").unlink()
    assert read_sweep(tmp_path).metrics() == ["other"]


@pytest.mark.parametrize(
    ("times", "log"), [((1.0, 3.0, 8.0), True), ((1.0, 3.0, 7.9), False), ((-1.0, 3.0, 30.0), False)]
)
def test_the_figure_has_a_panel_for_a_metric_and_a_line_for_each_value_of_the_other_axes(
    tmp_path, monkeypatch, times, log
):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **_: figures.append(self) or file.write_bytes(b""))
    grid = [(time, hot) for hot in (0.01, 0.1) for time in times]
    for number, (time, hot) in enumerate(grid):
        write(tmp_path, number, 2.0 + number, t_final=time, temperature=hot)
    save_sweep_figure(read_sweep(tmp_path), tmp_path / "sweep.png")
    (figure,) = figures
    panels = figure.axes
    names = [FRECHET.replace(" (", "\n("), "recognised fraction", "generation heat\n[kT per sample]"]
    assert [panel.get_ylabel() for panel in panels] == names
    assert {(panel.get_xlabel(), panel.get_xscale()) for panel in panels} == {("t final", "log" if log else "linear")}
    assert [text.get_text() for text in panels[0].get_legend().get_texts()] == ["temperature 0.01", "temperature 0.1"]
    assert [panel.get_legend() is None for panel in panels] == [False, True, True]
    for k, bars in enumerate(panels[0].containers):
        line, _, (errors,) = bars
        assert [list(values) for values in line.get_data()] == [list(times), [2.0 + 3 * k + n for n in range(3)]]
        for (_, low), (_, high) in errors.get_segments():
            assert high - low == pytest.approx(2 * 0.5)
    heat = panels[2].containers[0]
    assert all(high == low for (_, low), (_, high) in heat[2][0].get_segments()), "no error is no bar"
    assert figure.get_suptitle() == "generator.trial, 40 samples, seed 3"


def test_without_a_metric_to_plot_the_first_three_are_drawn(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **_: figures.append(self) or file.write_bytes(b""))
    rows = {
        name: Row(name, value, "", 9, 0, "measured") for name, value in zip("abcd", (1.0, 1.0, 1.0, 1.0), strict=True)
    }
    large = {**rows, "a": Row("a", 8.0, "", 9, 0, "measured"), "b": Row("b", 7.9, "", 9, 0, "measured")}
    save_sweep_figure(Sweep(["x"], [Point({"x": 1}, rows), Point({"x": 2}, large)], {}), tmp_path / "sweep.png")
    assert [(panel.get_ylabel(), panel.get_yscale()) for panel in figures[0].axes] == [
        ("a", "log"), ("b", "linear"), ("c", "linear"),
    ]  # fmt: skip


def test_a_metric_of_the_table_that_is_not_plotted_has_no_panel(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **_: figures.append(self) or file.write_bytes(b""))
    for number, bits in enumerate((2, 4)):
        write(tmp_path, number, 2.0, bits=bits)
        path = tmp_path / str(number) / "evaluation.json"
        found = json.loads(path.read_text())
        found["metrics"].append(Row("class entropy", 1.5, "nat", 40, 3, "measured").to_dict())
        path.write_text(json.dumps(found))
    sweep = read_sweep(tmp_path)
    assert "class entropy" in sweep.metrics() and "class entropy, nat" in sweep_table(sweep).splitlines()[0]
    save_sweep_figure(sweep, tmp_path / "sweep.png")
    assert [panel.get_ylabel().split("\n")[0] for panel in figures[0].axes] == [
        "Frechet distance", "recognised fraction", "generation heat",
    ]  # fmt: skip


def test_settings_of_a_training_are_numbers_where_they_read_as_such(tmp_path):
    for number, (lr, loss) in enumerate((("3", 1.0), ("1e-2", 2.0), ("cosine", 4.0))):
        write_training(tmp_path, number, loss, 0, lr)
    settings = [point.setting["optimizer.lr"] for point in read_sweep(tmp_path).points]
    assert settings == [3, 0.01, "cosine"] and [type(value) for value in settings] == [int, float, str]


def test_a_failed_run_is_named_by_what_it_does_not_share_and_by_its_last_line(tmp_path):
    write_training(tmp_path, 0, 1.0, 0, "0.1")
    write_training(tmp_path, 1, None, 1, "0.2", failed="RuntimeError: no room")
    write_training(tmp_path, 2, None, 2, "0.3")
    assert [tuple(one) for one in failures(tmp_path)] == [
        ("1", "optimizer.lr=0.2 seed=1", "RuntimeError: no room"),
        ("2", "optimizer.lr=0.3 seed=2", "stopped before it had a result"),
    ]
    alone = tmp_path / "alone"
    write_training(alone, 0, None, 4, "0.5", failed="ValueError: no")
    (one,) = failures(alone)
    assert one.settings.split() == ["experiment=trial", "+data=digits8x8", "optimizer.lr=0.5", "seed=4"]
