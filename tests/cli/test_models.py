"""The commands that use trained models: sample, evaluate, compare, benchmark."""

import json
import os
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from tests.cli.experiments import configure
from thermotorch import cli

TINY = ["protocol.num_samples=8", "protocol.steps=2", "protocol.kernel_subset_size=4", "protocol.kernel_subsets=2"]


def test_a_board_is_evaluated_by_its_task(run, capsys):
    folder = run(cli.evaluate_main, "model=spu.8cell", "invert.sizes=[2]", "invert.boards=3", "invert.reads=200")
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["task"] == "invert"
    assert any(row["metric"].startswith("error of the 2 x 2 inverse after") for row in found["metrics"])
    assert found["energy"][0]["unit"] == "J per inverse"
    assert json.loads((folder / "invert.json").read_text())["sizes"]["2"]["mean"]
    assert "error of the 2 x 2 inverse" in capsys.readouterr().out


def test_sample_writes_the_images_of_a_model_and_says_where(run, stand_ins, capsys):
    folder = run(cli.sample_main, "model=generator.three_digits", "num_samples=4", "seed=5", "figures=true")
    printed = capsys.readouterr().out
    assert "4 samples of generator.three_digits, seed 5" in printed
    for name in ("samples.png", "samples.safetensors", "heat.csv"):
        assert (folder / name).is_file()
        assert name in printed
    assert list((folder / "figures").iterdir())


def test_several_devices_share_the_samples(run, stand_ins, monkeypatch):
    """The command hands everything to `sample_over_processes`, which has its own tests,
    and writes what it gives back.
    """
    from safetensors.torch import load_file

    from thermotorch.evaluation.samples import draw_samples
    from thermotorch.training import sampling

    def shared(model, num_samples, folder, *, devices, accelerator, **common):
        assert (devices, accelerator, folder.is_dir()) == (2, "cpu", True)
        return {name: values.flip(0) for name, values in draw_samples(model, num_samples, **common).items()}

    monkeypatch.setattr(sampling, "sample_over_processes", shared)
    common = ["model=ddpm.mnist", "num_samples=3", "seed=4", "device=cpu", "+options.steps=2"]
    flipped, alone = run(cli.sample_main, *common, "devices=2"), run(cli.sample_main, *common)
    images = [load_file(folder / "samples.safetensors")["images"] for folder in (flipped, alone)]
    assert torch.equal(images[0].flip(0), images[1])
    assert not torch.equal(*images)


def test_a_digital_model_is_sampled_with_its_own_options(run, stand_ins):
    folder = run(cli.sample_main, "model=ddpm.mnist", "num_samples=2", "+options.sampler=ddim", "+options.steps=1")
    assert (folder / "samples.png").is_file()
    assert not (folder / "heat.csv").exists()


def test_evaluate_prints_and_writes_the_rows(run, stand_ins, zoo_of_stand_ins, capsys):
    from thermotorch.zoo import load_card, record_rows

    checkpoint = zoo_of_stand_ins / "generator.three_digits.safetensors"
    folder = run(cli.evaluate_main, f"model={checkpoint}", *TINY)
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["protocol"]["num_samples"] == 8
    assert {"parameters", "recognised fraction"} <= {row["metric"] for row in found["metrics"]}
    assert "generation heat" in {row["metric"] for row in found["energy"]}
    printed = capsys.readouterr().out
    for row in found["metrics"] + found["energy"]:
        assert f"{row['metric']}: " in printed
    record_rows(checkpoint, metrics=found["metrics"], energy=found["energy"])
    assert load_card(checkpoint)["energy"] == found["energy"]


def test_a_sweep_of_evaluations_changes_the_machine_and_ends_in_a_table(run, run_dir, stand_ins):
    from thermotorch.zoo import create_model, save_checkpoint

    model = create_model("generator.three_digits")
    for couplings in model.potential.couplings.parameters():
        torch.nn.init.ones_(couplings)
    fields = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "", "notes": ""}
    save_checkpoint(model, "generator.trial", run_dir, fields)
    devices = ["imperfections.mismatch=0.0,0.5", "imperfections.device_id=0,1"]
    run(cli.evaluate_main, "-m", "model=generator.trial.safetensors", "+config.temperature=0.3", *devices, *TINY)
    (folder,) = {path.parent for path in run_dir.rglob("sweep.md")}
    runs = [json.loads((folder / str(number) / "evaluation.json").read_text()) for number in range(4)]
    assert [one["imperfections"]["mismatch"] for one in runs] == [0.0, 0.0, 0.5, 0.5]
    assert {one["config"]["temperature"] for one in runs} == {0.3}
    heats = [next(row["value"] for row in one["energy"] if row["metric"] == "generation heat") for one in runs]
    assert heats[0] == heats[1]  # without mismatch all devices are alike
    assert len(set(heats)) == 3
    text = (folder / "sweep.md").read_text()
    assert text.startswith("generator.trial.safetensors, 8 samples, seed 0, temperature 0.3; mean ± its standard error")
    assert text.splitlines()[2].startswith("| mismatch | Frechet distance (")
    assert len(text.splitlines()) == 2 + 2 + 2  # caption, head, two points


def test_evaluate_puts_a_classifier_to_the_test_images_of_its_data_set(run, stand_ins, tmp_path, capsys):
    from thermotorch.zoo import create_model, save_checkpoint

    torch.manual_seed(0)
    model = create_model("classifier", image_shape=[1, 8, 8], hidden=4, dt=0.02)
    fields = {"data": {"name": "Digits8x8"}, "metrics": [], "energy": [], "training": {}, "licence": "", "notes": ""}
    checkpoint, _ = save_checkpoint(model, "classifier.trial", tmp_path, fields)
    settings = ["classification.runs=4", "classification.averaged=2", "classification.devices=2"]
    folder = run(cli.evaluate_main, f"model={checkpoint}", *settings)
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["task"] == "classify"
    assert found["protocol"]["runs"] == 4
    accuracy = next(row for row in found["metrics"] if row["metric"] == "test accuracy, one run")
    assert (accuracy["num_samples"], accuracy["kind"]) == (297, "measured")
    assert "inference heat" in {row["metric"] for row in found["energy"]}
    assert "test accuracy, one run: " in capsys.readouterr().out


def test_an_unknown_task_lists_the_close_matches(run, stand_ins):
    with pytest.raises(SystemExit, match="error: unknown task 'clasify'; did you mean 'classify'"):
        run(cli.evaluate_main, "model=generator.three_digits", "task=clasify")


def test_compare_logs_to_wandb_when_asked(run, stand_ins, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = run(cli.compare_main, *TINY, "logger=wandb", "cache=false")
    __import__("wandb").teardown()  # it reads its settings once in a process
    (logged,) = folder.glob("wandb/offline-run-*")
    assert f"wandb: {logged}" in capsys.readouterr().out
    report = json.loads((folder / "report.json").read_text())
    (rows,) = logged.rglob("rows_*.table.json")
    values = {(line[0], line[1]): line[2] for line in json.loads(rows.read_text())["data"]}
    for row in report["models"]["generator.mnist"]["rows"]:
        if row["kind"] == "measured":
            assert values["generator.mnist", row["metric"]] == row["value"]


def test_compare_writes_its_report_and_prints_where(run, stand_ins, capsys):
    folder = run(cli.compare_main, *TINY)
    assert {"report.html", "report.md", "report.json", "samples.png"} <= {path.name for path in folder.iterdir()}
    assert f"report: {folder / 'report.html'}" in capsys.readouterr().out
    assert "thermotorch-compare protocol.num_samples=8" in (folder / "report.md").read_text()


def test_interrupting_a_comparison_keeps_what_is_done(run, run_dir, stand_ins, monkeypatch):
    from thermotorch.models.baselines.diffusion import DiffusionModel

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(DiffusionModel, "generate", interrupted)
    with pytest.raises(SystemExit, match="interrupted; the report of the finished models is in"):
        run(cli.compare_main, *TINY)
    (report,) = run_dir.rglob("report.json")
    models = json.loads(report.read_text())["models"]
    assert {name: model["finished"] for name, model in models.items()} == {"generator.mnist": True, "ddpm.mnist": False}


def test_the_command_of_the_issue_takes_its_shorthands(run, stand_ins):
    quick = [f"{setting}" for setting in TINY if not setting.startswith("protocol.num_samples")]
    folder = run(cli.compare_main, "a=generator.mnist", "b=ddpm.mnist", "num_samples=9", "seed=4", *quick)
    report = json.loads((folder / "report.json").read_text())
    assert (report["protocol"]["num_samples"], report["protocol"]["seed"], report["protocol"]["steps"]) == (9, 4, 2)
    assert list(report["models"]) == ["generator.mnist", "ddpm.mnist"]


def test_any_models_and_several_samplers_and_a_rerun_from_the_cache(run, stand_ins, capsys):
    command = ["models=[generator.three_digits,ddpm.mnist]", "samplers=[ddim:1,dpm++:2]", *TINY]
    labels = ["generator.three_digits", "ddpm.mnist, ddim 1", "ddpm.mnist, dpm++ 2"]
    first = json.loads((run(cli.compare_main, *command) / "report.json").read_text())["models"]
    assert list(first) == labels and "from the cache of" not in capsys.readouterr().out
    again = json.loads((run(cli.compare_main, *command) / "report.json").read_text())["models"]
    printed = capsys.readouterr().out
    for label in labels:
        assert f"{label}: from the cache of 20" in printed
        assert again[label]["rows"] == first[label]["rows"]
    run(cli.compare_main, "models=[generator.three_digits]", *TINY, "cache=false")
    assert "from the cache of" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["a=generator.mnst", "b=ddmp.mnist"],
         ["unknown checkpoint 'generator.mnst'; did you mean 'generator.mnist'",
          "unknown checkpoint 'ddmp.mnist'; did you mean 'ddpm.mnist'"]),
        (["b=feature_net.mnist"],
         ["feature_net.mnist makes no images; it is a judge: judge=feature_net.mnist. "
          "Models that make images: ddpm.mnist, "]),
        (["models=[classifier.end_to_end,ddpm.mnist]"],
         ["classifier.end_to_end makes no images; evaluate it by: "
          "thermotorch-evaluate model=classifier.end_to_end"]),
        (["a=gaussians.mnist"], ["gaussians.mnist makes images of 1x28x28 and the judge takes 1x8x8"]),
        (["a=ddpm.mnist"], ["models: ddpm.mnist more than once"]),
        (["samplers=[ddmi:10,ddim:5000]"],
         ["unknown sampler of ddpm.mnist 'ddmi'; did you mean 'ddpm' or 'ddim'",
          "steps: expected 1 ... 1000 (num_train_timesteps), found 5000"]),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_said_before_any_compute(run, stand_ins, monkeypatch, arguments, messages):
    monkeypatch.setattr(import_module("thermotorch.evaluation.compare"), "_measured", None)
    with pytest.raises(SystemExit) as stop:
        run(cli.compare_main, *arguments, *TINY)
    for message in messages:
        assert message in str(stop.value)


@pytest.mark.parametrize("name", ["classifier.end_to_end", "spu.8cell"])
def test_a_model_that_makes_no_images_is_not_sampled(run, name):
    with pytest.raises(SystemExit, match=f"{name} makes no images; evaluate it by: thermotorch-evaluate model={name}"):
        run(cli.sample_main, f"model={name}")


@pytest.mark.parametrize("name", ["quick", "full"])
def test_protocol_files_are_the_protocols_of_the_library(name):
    from thermotorch.evaluation.protocol import Protocol

    cfg = OmegaConf.load(cli.CONFIG_DIR / "zoo" / "protocol" / f"{name}.yaml")
    assert OmegaConf.to_container(cfg) == getattr(Protocol, name)().to_dict()


def test_benchmark_writes_its_table_and_hands_every_setting_on(run, capsys, monkeypatch):
    speed = import_module("thermotorch.evaluation.speed.benchmark")
    seen, timed = {}, speed.benchmark
    monkeypatch.setattr(speed, "benchmark", lambda **given: seen.update(given) or timed(**given))
    settings = {"cases": ["simulate"], "batch_sizes": [2], "steps": 20, "repeats": 1, "seed": 7, "processor_time": True}
    typed = [f"{key}={value}".replace("'", "") for key, value in settings.items()]
    folder = run(cli.benchmark_main, *typed, "device=cpu", "+model.image_shape=[1,4,4]", "+model.hidden=4")
    assert seen == {**settings, "device": "cpu", "model": {"image_shape": [1, 4, 4], "hidden": 4}}
    assert seen.keys() == signature(timed).parameters.keys()
    assert (folder / "benchmark.md").read_text() in capsys.readouterr().out
    assert (folder / "benchmark.json").is_file()


@pytest.mark.parametrize("program", ["train", "sample", "evaluate", "compare", "benchmark"])
def test_scripts_are_the_same_programs(program):
    path = Path(__file__).parents[2] / "scripts" / f"{program}.py"
    assert f"from thermotorch.cli import {program}_main\n" in path.read_text()
    assert callable(getattr(cli, f"{program}_main"))


def test_data_folder_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("THERMOTORCH_DATA", os.fspath("/somewhere"))
    assert configure().paths.data_dir == "/somewhere"
    monkeypatch.delenv("THERMOTORCH_DATA")
    assert configure().paths.data_dir == "data"


@pytest.mark.parametrize("model", ["hf://owner/net", "hf://owner/net@v1.0", "./folder", "/a/b.safetensors"])
def test_a_model_may_be_an_address(model):
    with initialize_config_dir(str(cli.CONFIG_DIR / "zoo"), version_base="1.3"):
        for name in ("sample", "evaluate"):
            assert compose(name, [f"model={model}"]).model == model


def test_a_full_disk_does_not_hide_why_a_run_failed(tmp_path, monkeypatch):
    """The traceback cannot be written for the same reason that ended the run."""
    from thermotorch import cli

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "write_file", full)
    location = cli._write_traceback(tmp_path / "FAILED")
    assert "FAILED cannot be written" in location and "No space left" in location
