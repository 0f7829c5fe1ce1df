"""`thermotorch-train`: every experiment, interruptions, sweeps."""

import json
import os
import re
import signal
import time
from pathlib import Path
from threading import Thread

import pytest
import torch
from omegaconf import OmegaConf

from tests.cli.experiments import EXPERIMENTS, configure, small
from thermotorch import cli
from thermotorch.cli.targets import check_name
from thermotorch.models.baselines.execution import EXECUTIONS


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
    if experiment.startswith("mnist_chain"):
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


def test_the_record_of_a_run_says_what_was_chosen_for_it(run):
    folder = run(cli.train_main, *small("ddpm_mnist"), "objective.execution=auto")
    record = json.loads((folder / "training.json").read_text())["hyper_parameters"]
    assert record["objective"]["execution"] in EXECUTIONS and record["objective"]["label_dropout"] == 0.1
    assert record["model"]["name"] == "ddpm"


def test_wandb_runs_offline_beside_the_csv(run, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = run(cli.train_main, *small("feature_net"), "logger=wandb")
    import wandb

    wandb.finish()
    records = list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(records) == 1
    deadline = time.monotonic() + 60  # wandb writes in a process of its own, after `finish` has returned
    while not records[0].stat().st_size and time.monotonic() < deadline:
        time.sleep(0.1)
    assert records[0].stat().st_size > 0
    assert "train/loss" in (folder / "csv" / "version_0" / "metrics.csv").read_text()


def test_an_interrupted_run_continues_as_if_nothing_had_happened(run, monkeypatch):
    from thermotorch.training.diffusion_module import DiffusionModule

    # Not "auto", which two runs on a busy machine may measure differently.
    fixed = ["trainer.max_steps=6", "~callbacks.sample_grid", "objective.execution=float32"]
    command = [*small("ddpm_mnist"), *fixed]
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


def test_a_finished_run_that_is_continued_elsewhere_says_so_and_leaves_its_checkpoint(run):
    """It ended with exit status 0 and an empty folder."""
    command = small("feature_net")
    first = run(cli.train_main, *command)
    again = run(cli.train_main, *command, "ckpt_path=last")
    assert again != first
    assert (again / "checkpoints" / "last.ckpt").read_bytes() == (first / "checkpoints" / "last.ckpt").read_bytes()
    assert "nothing was left to train after the 1 updates of" in (again / "thermotorch-train.log").read_text()


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
    with pytest.raises(ValueError, match="_target_: expected a class of .* found 3"):
        cli.instantiate(OmegaConf.create({"_target_": 3}))
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


@pytest.mark.parametrize("target", [5, None, ["torch.nn.Linear"], True])
def test_a_target_that_is_no_name_is_refused_as_one(target):
    with pytest.raises(ValueError, match="x._target_"):
        check_name("x._target_", target)


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


def test_a_node_is_built_from_the_inside_out_with_its_positions_and_later_arguments():
    linear = {"_target_": "torch.nn.Linear", "_args_": [2, 3], "bias": False}
    built = cli.instantiate(OmegaConf.create(linear))
    assert (built.in_features, built.out_features, built.bias) == (2, 3, None)
    assert cli.instantiate(OmegaConf.create(linear), bias=True).bias is not None
    later = cli.instantiate(OmegaConf.create({**linear, "_partial_": True, "_convert_": "all"}))
    assert (later.args, later.keywords) == ((2, 3), {"bias": False})
    nested = {"_target_": "torch.nn.Identity", "x": [{"y": linear}], "z": 1, "_partial_": True}
    inside = cli.instantiate(OmegaConf.create(nested)).keywords
    assert isinstance(inside["x"][0]["y"], torch.nn.Linear) and inside["z"] == 1
    kept = cli.instantiate(OmegaConf.create({**nested, "_recursive_": False})).keywords
    assert kept == {"x": [{"y": linear}], "z": 1}
    with pytest.raises(ValueError, match="Missing mandatory value: x"):
        cli.instantiate(OmegaConf.create({**nested, "x": "???"}))


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["data=mnist"], None), (["+data=mnst"], "data"), (["++data=mnst"], "data"), (["data@x=mnst"], "data"),
        (["data=null"], None), (["data=mnist,digits8x8"], None), (["seed=3", "data=digits8x8,mnst"], "data"),
        (["data=mnst", "hydra.searchpath=[pkg://x]"], None), (["data=mnst", "-cd", "x"], None),
        (["data=mnst", "--config-dir=x"], None), (["hydra/launcher=joblib"], None), (["nothing=mnst"], None),
    ],
)  # fmt: skip
def test_choices_of_our_own_groups_are_checked_and_all_others_left_to_hydra(words, refused):
    if refused is None:
        cli._check_choices(words, cli.CONFIG_DIR)
    else:
        with pytest.raises(ValueError, match="unknown data 'mnst'; did you mean 'mnist'"):
            cli._check_choices(words, cli.CONFIG_DIR)


@pytest.mark.parametrize(
    ("strategy", "mode", "refused"),
    [("ddp", "MULTIRUN", True), ("fsdp", "MULTIRUN", True), ("deepspeed_stage_2", "MULTIRUN", True),
     ("ddp_spawn", "MULTIRUN", False), ("auto", "MULTIRUN", False), ("ddp", "RUN", False), (None, "MULTIRUN", False)],
)  # fmt: skip
def test_only_strategies_that_start_commands_are_refused_and_only_in_a_sweep(strategy, mode, refused, monkeypatch):
    monkeypatch.setattr(cli.HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(cli.HydraConfig, "get", lambda: OmegaConf.create({"mode": cli.RunMode[mode]}))
    trainer = OmegaConf.create({} if strategy is None else {"strategy": strategy})
    if refused:
        with pytest.raises(ValueError, match=f"trainer.strategy: '{strategy}' starts its processes as new commands"):
            cli._refuse_scripts_in_a_sweep(trainer)
    else:
        cli._refuse_scripts_in_a_sweep(trainer)
