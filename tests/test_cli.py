import json
import os
import re
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from threading import Thread

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from thermotorch import cli

EXPERIMENTS = sorted(path.stem for path in (cli.CONFIG_DIR / "experiment").glob("*.yaml"))
SMALL = {
    "classifier": ["model.config.hidden=4", "model.config.t_final=0.02"],
    "generator": ["model.config.hidden=8", "model.config.t_final=0.05"],
    "ddpm": [
        "+model.config.block_out_channels=[8,8]",
        "++callbacks.sample_grid.num_samples=2",
        "++callbacks.sample_grid.generate={steps: 2}",
    ],
    "flow": ["+model.config.block_out_channels=[8,8]"],
    "feature_net": [],
    "layered": [],
    "thermo_conv": [],
    "gaussians": [],
    "chain": [
        "model.config.hidden=8",
        "model.config.first.t_final=0.05",
        "+model.config.first.hidden=8",
        "objective.first=null",
        "objective.features=null",
    ],
    "rbm": ["model.config.hidden=8", "model.config.sampling_steps=3"],
}


def configure(*overrides: str, config: str = "train"):
    """The composed configuration, with what `${hydra:...}` refers to."""
    with initialize_config_dir(str(cli.CONFIG_DIR), version_base="1.3"):
        cfg = compose(config, overrides=list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return cfg


@pytest.fixture
def run(run_dir, monkeypatch):
    """Runs a program in this process as if typed in an empty directory; gives the newest run folder."""

    def run(main, *arguments: str) -> Path:
        monkeypatch.setattr(sys, "argv", ["thermotorch", *arguments])
        monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # as in a new process
        main()
        return max((path.parent for path in run_dir.rglob(".hydra")), key=lambda path: path.stat().st_mtime_ns)

    return run


def small(experiment: str) -> list[str]:
    """One step of an experiment on the 8x8 digits, with a network of a few units."""
    model = configure(f"experiment={experiment}").model
    kind = model.name.partition(".")[0]
    fresh = [f"model.name={kind}", "model.pretrained=false"] if "pretrained" in model else []
    # The networks that teach and judge 28 x 28 images have nothing to say about these.
    untaught = [
        "model.config.t_final=1.0",
        "callbacks=ema",
        *(["data.val_size=0"] if experiment.startswith("mnist") else []),
    ]
    untaught += [f"objective.{key}=null" for key in ("features", "contrastive_steps", "start_from")]
    untaught = untaught if experiment.startswith(("mnist_generator", "digits8x8")) else []
    return [f"experiment={experiment}", "data=digits8x8", "debug=fast", *fresh, *SMALL[kind], *untaught]


@pytest.mark.parametrize("data", ["mnist", "digits8x8"])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_is_plain(experiment, data):
    cfg = configure(f"experiment={experiment}", f"data={data}")
    module = OmegaConf.to_container(cfg.module, resolve=True)
    assert module["_target_"].startswith("thermotorch.training.")
    assert module["model"]["name"].partition(".")[0] == experiment_model(experiment)
    assert cfg.run_name == experiment
    assert cfg.image_shape == ([1, 28, 28] if data == "mnist" else [1, 8, 8])


def experiment_model(experiment: str) -> str:
    if experiment.startswith(("three_digits", "mnist_generator", "digits8x8")):
        return "generator"
    if experiment.startswith("ddpm"):
        return "ddpm"
    if experiment.startswith("flow"):
        return "flow"
    if experiment == "mnist_chain":
        return "chain"
    if experiment == "training_features":
        return "feature_net"
    if experiment.startswith("gaussian"):
        return "gaussians"
    if experiment.startswith("cosine"):
        return "layered"
    return "classifier" if experiment.startswith("classifier") else experiment.removesuffix("_mnist")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs_a_step_and_its_checkpoint_opens_alone(experiment, run):
    folder = run(cli.train_main, *small(experiment))
    assert folder.parent.name == experiment
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 1
    module = type_of(configure(f"experiment={experiment}").module["_target_"])
    loaded = module.load_from_checkpoint(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert loaded.model.config.keys() & {"image_shape", "channels", "layers"}
    assert not (folder / "FAILED").exists()
    assert (folder / "csv" / "version_0" / "hparams.yaml").is_file()


def type_of(target: str) -> type:
    module, _, name = target.rpartition(".")
    return getattr(__import__(module, fromlist=[name]), name)


def test_a_board_is_evaluated_by_its_task(run, capsys):
    folder = run(cli.evaluate_main, "model=spu.8cell", "invert.sizes=[2]", "invert.boards=3", "invert.reads=200")
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["task"] == "invert"
    assert any(row["metric"].startswith("error of the 2 x 2 inverse after") for row in found["metrics"])
    assert found["energy"][0]["unit"] == "J per inverse"
    assert json.loads((folder / "invert.json").read_text())["sizes"]["2"]["mean"]
    assert "error of the 2 x 2 inverse" in capsys.readouterr().out


def test_wandb_runs_offline_beside_the_csv(run, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = run(cli.train_main, *small("feature_net"), "logger=wandb")
    import wandb

    wandb.finish()
    records = list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(records) == 1
    assert records[0].stat().st_size > 0
    assert "train/loss" in (folder / "csv" / "version_0" / "metrics.csv").read_text()


def test_an_interrupted_run_continues_as_if_nothing_had_happened(run, monkeypatch):
    from thermotorch.training.diffusion_module import DiffusionModule

    command = [*small("ddpm_mnist"), "trainer.max_steps=6", "~callbacks.sample_grid"]
    whole = weights(run(cli.train_main, *command, "hydra.run.dir=whole"))

    def interrupted_step(module, batch, batch_idx, step=DiffusionModule.training_step):
        if module.global_step == 2:
            signal.raise_signal(signal.SIGINT)
        return step(module, batch, batch_idx)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(DiffusionModule, "training_step", interrupted_step)
        run(cli.train_main, *command)
    assert stop.value.code == 130
    resumed = run(cli.train_main, *command, "ckpt_path=last")
    assert resumed.parent.name == "ddpm_mnist"
    found = weights(resumed)
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], value) for name, value in whole.items())
    assert "continuing from" in (resumed / "thermotorch-train.log").read_text()


@pytest.mark.slow
def test_two_processes_are_interrupted_together_and_one_continues(run, run_dir):
    """Ctrl-C arrives at the process that only waits, early in an epoch of 375 updates: last.ckpt is its work."""
    command = small("feature_net")

    def interrupt_when_training() -> None:
        while not any(run_dir.rglob("metrics.csv")):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    Thread(target=interrupt_when_training, daemon=True).start()
    with pytest.raises(SystemExit) as stop:
        run(cli.train_main, *command, "trainer=ddp_cpu", "trainer.max_steps=1000")
    assert stop.value.code == 130
    (interrupted,) = run_dir.rglob("last.ckpt")
    assert not list(run_dir.rglob("training.json"))
    done = torch.load(interrupted, weights_only=True)["global_step"]
    assert 0 < done < 375
    resumed = run(cli.train_main, *command, "ckpt_path=last", f"trainer.max_steps={done + 2}")
    assert torch.load(resumed / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == done + 2
    assert json.loads((resumed / "training.json").read_text())["resumed"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 6
    live = checkpoint["current_model_state"]
    return checkpoint["state_dict"] | {f"live.{name}": value for name, value in live.items()}


def test_last_needs_an_earlier_run_of_the_same_thing(run):
    command = small("feature_net")
    with pytest.raises(SystemExit, match=r"ckpt_path: no checkpoints/last.ckpt .*no run there has one"):
        run(cli.train_main, *command, "ckpt_path=last")
    run(cli.train_main, *command)
    with pytest.raises(SystemExit, match=r"no checkpoints/last.ckpt .* has another optimizer, seed"):
        run(cli.train_main, *command, "ckpt_path=last", "seed=1", "optimizer.lr=0.1")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("experiment=ddpm_mnst", "unknown experiment 'ddpm_mnst'; did you mean 'ddpm_mnist'"),
        ("model=genrator", "unknown model 'genrator'; did you mean 'generator' or 'generator_mnist'?"),
        ("data=mnist,digits", "unknown data 'digits'; did you mean 'digits8x8'"),
    ],
)
def test_an_unknown_choice_lists_the_close_matches_and_nothing_else(run, argument, message):
    with pytest.raises(SystemExit) as stop:
        run(cli.train_main, argument)
    assert str(stop.value).startswith(f"error: {message}")
    assert list(Path().iterdir()) == []


def test_an_unknown_trained_model_is_one_line_and_a_file(run, run_dir):
    with pytest.raises(SystemExit) as stop:
        run(cli.sample_main, "model=generator.no_such_tag")
    assert str(stop.value).startswith("error: unknown checkpoint 'generator.no_such_tag'")
    (failed,) = run_dir.rglob("FAILED")
    assert "Traceback" in failed.read_text()


def test_only_known_libraries_are_built():
    with pytest.raises(ValueError, match=r"_target_: expected .* found 'os.system'"):
        cli.instantiate(OmegaConf.create({"_target_": "os.system", "command": "true"}))
    nested = OmegaConf.create({"_target_": "torch.nn.Identity", "x": [{"_target_": "builtins.eval"}]})
    with pytest.raises(ValueError, match="found 'builtins.eval'"):
        cli.instantiate(nested)


@pytest.mark.parametrize(
    "target",
    [
        "thermotorch.cli.os.system",  # what we import is not ours
        "thermotorch.cli.Path",
        "thermotorch.cli.train",  # no class
        "torch.nn.modules.module.torch.Generator",
    ],
)
def test_what_an_allowed_module_has_imported_is_not_built(target):
    with pytest.raises(ValueError, match=f"_target_: expected a class of .* found '{target}'"):
        cli.instantiate(OmegaConf.create({"_target_": target}))


def test_classes_of_a_package_that_announces_itself_are_built(monkeypatch):
    node = OmegaConf.create({"_target_": "collections.OrderedDict"})
    with pytest.raises(ValueError, match="a package of your own is allowed once it announces a model"):
        cli.instantiate(node)
    monkeypatch.setattr("thermotorch.cli.targets.plugin_packages", lambda: ("collections",))
    assert type(cli.instantiate(node)).__name__ == "OrderedDict"
    with pytest.raises(ValueError, match="found 'collections.namedtuple'"):
        cli.instantiate(OmegaConf.create({"_target_": "collections.namedtuple"}))


def test_errors_of_a_constructor_arrive_unwrapped():
    with pytest.raises(ValueError, match=r"^normalisation: expected"):
        cli.instantiate(
            OmegaConf.create({"_target_": "thermotorch.training.data.Digits8x8Data", "normalisation": "none"})
        )


def test_script_launched_ddp_is_refused_in_a_sweep(run_dir):
    cfg = configure("trainer.strategy=ddp", "hydra.mode=MULTIRUN", f"paths.output_dir={run_dir}")
    with pytest.raises(ValueError, match="'ddp' starts its processes as new commands .* trainer.strategy=ddp_spawn"):
        cli.train(cfg)


@pytest.mark.parametrize("launcher", ["basic", "joblib", pytest.param("submitit_local", marks=pytest.mark.slow)])
def test_a_sweep_over_seeds_ends_in_one_table(run, run_dir, capsys, launcher):
    if launcher != "basic":
        pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    in_this_process = ["hydra.launcher.n_jobs=1"] if launcher == "joblib" else []
    run(cli.train_main, "-m", *small("feature_net"), "seed=0,1", f"hydra/launcher={launcher}", *in_this_process)
    (table,) = run_dir.rglob("sweep.md")
    runs = [json.loads((table.parent / str(number) / "training.json").read_text()) for number in range(2)]
    assert [one["seed"] for one in runs] == [0, 1]
    first, second = (one["logged"]["train/loss"] for one in runs)
    assert first != second
    (row,) = [line for line in table.read_text().splitlines() if line.startswith("| train/loss ")]
    mean, error, spread = re.search(r"([\d.]+) ± ([\d.]+) \(([\d.]+)\)", row).groups()
    assert float(mean) == pytest.approx((first + second) / 2, abs=float(error) / 10)
    assert float(spread) == pytest.approx(abs(first - second) / 2**0.5, rel=0.05)
    assert float(error) == pytest.approx(float(spread) / 2**0.5, rel=0.05)
    assert table.read_text() in capsys.readouterr().out


def test_a_failed_run_is_named_in_the_table_of_its_sweep(run, run_dir, stand_ins, capsys):
    with pytest.raises(SystemExit):
        run(cli.sample_main, "-m", "model=generator.three_digits,generator.no_such", "seed=0,1", "num_samples=3")
    (table,) = run_dir.rglob("sweep.md")
    assert table.read_text() in capsys.readouterr().out
    assert sorted(path.parent.name for path in run_dir.rglob("FAILED")) == ["2", "3"]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.read_text().splitlines()]
    failed = [cells for cells in lines if cells and cells[0] in ("2", "3")]
    assert [cells[1] for cells in failed] == ["model=generator.no_such seed=0", "model=generator.no_such seed=1"]
    assert all("unknown checkpoint 'generator.no_such'" in cells[2] for cells in failed)
    assert any(cells and cells[0].startswith("generation heat") and "±" in cells[1] for cells in lines)


def test_a_job_that_is_queued_again_continues_where_it_was(run):
    command = [*small("feature_net"), "hydra.run.dir=job", "ckpt_path=requeue"]
    assert not json.loads((run(cli.train_main, *command) / "training.json").read_text())["resumed"]
    folder = run(cli.train_main, *command, "trainer.max_steps=2")
    assert json.loads((folder / "training.json").read_text())["resumed"]
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2


def test_the_last_checkpoint_is_that_of_the_last_update(run):
    """Training ends in the third epoch, validation came after the second alone."""
    settings = ["++trainer.check_val_every_n_epoch=2", "++data.batch_size=500", "trainer.max_steps=7"]
    folder = run(cli.train_main, *small("feature_net"), *settings)
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 7


def test_jobs_of_slurm_ask_for_what_the_launcher_knows():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    launcher = configure("hydra/launcher=slurm").hydra.launcher  # Hydra refuses a key that the launcher does not have
    assert launcher._target_.endswith("SlurmLauncher")
    assert launcher.max_num_timeout > 0


def test_a_sweep_returns_the_quantity_it_optimises(run, run_dir):
    run(cli.train_main, "-m", *small("feature_net"), "optimized_metric=train/loss", "seed=0,1")
    results = sorted(run_dir.glob("outputs/multirun/train/feature_net/*/*/checkpoints/last.ckpt"))
    assert [path.parents[1].name for path in results] == ["0", "1"]
    cfg = configure(*small("feature_net"), "optimized_metric=train/los", "paths.output_dir=once")
    with pytest.raises(ValueError, match="unknown optimized_metric 'train/los'; did you mean 'train/loss'"):
        cli._train_and_score(cfg)


@pytest.fixture(scope="module")
def zoo_of_stand_ins(tmp_path_factory, digits8x8):
    """A zoo folder with untrained models of a few units for 8x8 images, under the names that the defaults ask for."""
    from thermotorch.zoo import create_model, save_checkpoint, save_reference

    home = tmp_path_factory.mktemp("home")
    fields = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}
    torch.manual_seed(0)
    for name, config in {
        "generator.three_digits": {"image_shape": [1, 8, 8], "hidden": 4, "t_final": 0.02},
        "generator.mnist": {"image_shape": [1, 8, 8], "hidden": 5, "t_final": 0.02},
        "ddpm.mnist": {"image_size": 8, "block_out_channels": [8, 8]},
        "feature_net.mnist": {"image_size": 8},
    }.items():
        model = create_model(name.partition(".")[0], **config)
        path, _ = save_checkpoint(model, name, home, fields)
    with torch.no_grad():
        save_reference(path, {"features": model.features(digits8x8[0]).half(), "labels": digits8x8[1].byte()})
    return home


@pytest.fixture
def stand_ins(zoo_of_stand_ins, monkeypatch, tmp_path):
    monkeypatch.setenv("THERMOTORCH_HOME", str(zoo_of_stand_ins))
    monkeypatch.setattr("thermotorch.evaluation.cache.results_folder", lambda: tmp_path / "results")
    monkeypatch.setenv("THERMOTORCH_DATA", "no data")


TINY = ["protocol.num_samples=8", "protocol.steps=2", "protocol.kernel_subset_size=4", "protocol.kernel_subsets=2"]


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
    command = ["models=[generator.mnist,generator.three_digits,ddpm.mnist]", "samplers=[ddim:1,dpm++:2]", *TINY]
    labels = ["generator.mnist", "generator.three_digits", "ddpm.mnist, ddim 1", "ddpm.mnist, dpm++ 2"]
    first = json.loads((run(cli.compare_main, *command) / "report.json").read_text())["models"]
    assert list(first) == labels and "from the cache of" not in capsys.readouterr().out
    again = json.loads((run(cli.compare_main, *command) / "report.json").read_text())["models"]
    printed = capsys.readouterr().out
    for label in labels:
        assert f"{label}: from the cache of 20" in printed
        assert again[label]["rows"] == first[label]["rows"]
    run(cli.compare_main, *command, "cache=false")
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


def test_benchmark_writes_its_table(run, capsys):
    settings = ["cases=[simulate]", "batch_sizes=[2]", "steps=20", "repeats=1"]
    folder = run(cli.benchmark_main, *settings, "+model.image_shape=[1,4,4]", "+model.hidden=4")
    assert (folder / "benchmark.md").read_text() in capsys.readouterr().out
    assert (folder / "benchmark.json").is_file()


@pytest.mark.parametrize("program", ["train", "sample", "evaluate", "compare", "benchmark"])
def test_scripts_are_the_same_programs(program):
    path = Path(__file__).parent.parent / "scripts" / f"{program}.py"
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
