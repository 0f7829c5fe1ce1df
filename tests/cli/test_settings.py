"""Every setting of a command reaches what it is for: composed configurations against stand-ins of the library."""

import json
from contextlib import nullcontext
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

from tests.cli.experiments import configure
from thermotorch import cli
from thermotorch.evaluation.speed.hardware import describe_hardware
from thermotorch.zoo.rows import Row


class Placed(nn.Module):
    """A model that remembers its name and the device it was put on."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.place = name, None

    def to(self, place):
        self.place = place
        return self


@pytest.fixture
def composed(monkeypatch, tmp_path):
    """Return a function that composes the configuration of a command, with `tmp_path` as the folder of the run."""
    monkeypatch.setattr(cli, "_command", lambda program: f"{program} as typed")

    def composed(command: str, *words: str):
        with initialize_config_dir(str(cli.CONFIG_DIR / "zoo"), version_base="1.3"):
            return compose(command, [*words, f"output_dir={tmp_path}"])

    return composed


def replaced(monkeypatch, module: str, **names) -> None:
    for name, value in names.items():
        monkeypatch.setattr(import_module(module), name, value)


@pytest.fixture
def hardware(monkeypatch):
    replaced(monkeypatch, "thermotorch.evaluation.speed.hardware", named_device=lambda name: f"device {name}")


@pytest.fixture
def sampled(monkeypatch, hardware):
    """Return what `thermotorch-sample` handed to the library, by name."""
    seen = {}

    def parts(model, count, **options):
        options["progress"] = callable(options.get("progress"))
        seen["drawn"] = (model.name, model.place, count, options)
        yield {"images": torch.zeros(count, 1, 2, 2), "heat": torch.arange(float(count))}

    def shared(model, count, folder, **options):
        seen["shared"] = (model.name, model.place, count, folder, options)
        return {"images": torch.zeros(count, 1, 2, 2)}

    def figures(name, model, folder, **options):
        seen["figures"] = (name, model.name, folder, options)
        return [folder / "a figure"]

    def written(model, name, path, **options):
        seen["page"] = (model.name, model.place, name, path, options)
        return path

    replaced(
        monkeypatch, "thermotorch.evaluation.generators", load_generators=lambda names: {n: Placed(n) for n in names}
    )
    replaced(monkeypatch, "thermotorch.evaluation.samples", samples_in_parts=parts)
    replaced(monkeypatch, "thermotorch.training.sampling", sample_over_processes=shared)
    replaced(monkeypatch, "thermotorch.training.tasks", save_figures_of=figures)
    replaced(monkeypatch, "thermotorch.page.write", write_page=written)
    monkeypatch.setattr(import_module("thermotorch.zoo"), "load_card", lambda name: {"name": f"card of {name}"})
    return seen


TYPED = ["model=a.b", "num_samples=5", "seed=7", "batch_size=3", "device=cpu", "+options.sampler=ddim"]


def test_every_setting_of_sampling_reaches_it_and_its_record(composed, sampled, tmp_path, capsys):
    assert cli.sample(composed("sample", *TYPED)) == tmp_path
    options = {"seed": 7, "batch_size": 3, "options": {"sampler": "ddim"}}
    assert sampled == {"drawn": ("a.b", "device cpu", 5, {**options, "progress": True})}
    record = json.loads((tmp_path / "samples.json").read_text())
    assert {key: record[key] for key in ("model", "task", "seed", "options")} == {
        "model": "a.b", "task": "sample", "seed": 7, "options": {"sampler": "ddim"},
    }  # fmt: skip
    (heat,), (time,) = record["energy"], record["metrics"]
    assert (heat["value"], heat["seed"], heat["num_samples"]) == (2.0, 7, 5)
    assert heat["command"] == time["command"] == "thermotorch-sample as typed"
    assert (time["metric"], time["unit"], time["num_samples"]) == ("time, warm-up included", "s per sample", 5)
    assert 0 < 5 * time["value"] < 5, "seconds of a sample, not of all"
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "5 samples of a.b, seed 7:"
    assert said[1:] == [str(tmp_path / name) for name in ("samples.png", "samples.safetensors", "heat.csv")]


@pytest.mark.parametrize(("device", "accelerator"), [("cpu", "cpu"), ("cuda", "gpu")])
def test_several_devices_are_asked_for_what_one_would_make(
    device, accelerator, composed, sampled, tmp_path, monkeypatch
):
    replaced(monkeypatch, "thermotorch.evaluation.speed.hardware", named_device=lambda name: name)
    cli.sample(composed("sample", *TYPED, f"device={device}", "devices=2"))
    expected = {"devices": 2, "accelerator": accelerator, "seed": 7, "batch_size": 3, "options": {"sampler": "ddim"}}
    assert sampled == {"shared": ("a.b", device, 5, tmp_path, expected)}


def test_figures_and_pages_are_of_the_model_and_the_seed(composed, sampled, tmp_path, capsys):
    cli.sample(composed("sample", *TYPED, "figures=true", "data_dir=there"))
    assert sampled.pop("figures") == ("a.b", "a.b", tmp_path / "figures", {"seed": 7, "data_dir": "there"})
    assert str(tmp_path / "figures" / "a figure") in capsys.readouterr().out
    sampled.clear()
    assert cli.sample(composed("sample", *TYPED, "format=page")) == tmp_path
    assert sampled == {"page": ("a.b", "device cpu", "card of a.b", tmp_path / "page.html", {"seed": 7})}
    assert capsys.readouterr().out == f"{tmp_path / 'page.html'}\n"
    with pytest.raises(ValueError, match="unknown format 'pgae'; did you mean 'page'"):
        cli.sample(composed("sample", *TYPED, "format=pgae"))


def test_a_model_is_evaluated_as_changed_and_realised_and_its_rows_are_kept(
    composed, hardware, monkeypatch, tmp_path, capsys
):
    seen = {}
    rows = [
        Row("error", 0.5, "m", 9, 4, "measured", stderr=0.25),
        Row("heat", 3.0, "kT per sample", 8, 5, "modelled"),
        Row("lost", None, "J", 0, 6, "unavailable"),
    ]

    def loaded(name, config):
        seen["loaded"] = (name, config)
        return Placed(name)

    def realised(model, **imperfections):
        seen["realised"] = imperfections
        return model

    def run(settings, model, command, report):
        seen.update(settings=settings, model=(model.name, model.place), command=command, report=callable(report))
        report("half", 1, 2)
        return "the task", {"num_samples": 9}, rows

    replaced(monkeypatch, "thermotorch.zoo", load_checkpoint=loaded)
    replaced(monkeypatch, "thermotorch.models.imperfections", realise=realised)
    replaced(monkeypatch, "thermotorch.training.tasks", run=run)
    cfg = composed("evaluate", "model=a.b", "device=cpu", "+config.temperature=0.3", "imperfections.bits=4",
                   "imperfections.mismatch=0.1", "imperfections.seed=2", "imperfections.device_id=3", "task=invert",
                   "judge=mine", "data_dir=there", "invert.boards=6", "protocol.num_samples=9")  # fmt: skip
    assert cli.evaluate(cfg) == tmp_path
    imperfections = {"bits": 4, "mismatch": 0.1, "seed": 2, "device_id": 3}
    assert seen["loaded"] == ("a.b", {"temperature": 0.3}) and seen["realised"] == imperfections
    assert (seen["model"], seen["command"]) == (("a.b", "device cpu"), "thermotorch-evaluate as typed")
    assert seen["settings"] == OmegaConf.to_container(cfg, resolve=True)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == {
        "model": "a.b", "task": "the task", "config": {"temperature": 0.3}, "imperfections": imperfections,
        "protocol": {"num_samples": 9}, "metrics": [rows[0].to_dict()], "energy": [row.to_dict() for row in rows[1:]],
    }  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        "error: 0.50 ± 0.25 m (measured, 9 samples, seed 4)", "heat: 3 kT per sample (modelled, 8 samples, seed 5)",
        "lost: unavailable J (unavailable, 0 samples, seed 6)", str(tmp_path / "evaluation.json"),
    ]  # fmt: skip


@pytest.fixture
def compared(monkeypatch, hardware):
    """Return what `thermotorch-compare` handed to the library, by name."""
    seen = {}
    cached = SimpleNamespace(cached=True, label="it", date="a day", hardware="an abacus")
    fresh = SimpleNamespace(cached=False, label="other", date="", hardware="")

    def run_protocol(models, protocol, space, **options):
        seen.update(
            models={name: model.place for name, model in models.items()}, protocol=protocol, space=space, **options
        )
        options["progress"]("half", 1, 2)
        options["save"](SimpleNamespace(results={}))
        return SimpleNamespace(results={"it": cached, "other": fresh})

    def generators(names, judge):
        seen["judged"] = judge
        return {name: Placed(name) for name in names}

    replaced(monkeypatch, "thermotorch.evaluation.compare", compare=run_protocol)
    replaced(monkeypatch, "thermotorch.evaluation.generators", load_generators=generators)
    replaced(monkeypatch, "thermotorch.evaluation.cache", ResultCache=lambda folder: ("cache in", folder),
             results_folder=lambda: "results")  # fmt: skip
    space = import_module("thermotorch.evaluation.quality.feature_space").FeatureSpace
    judge = SimpleNamespace(net="the net", to=lambda device: f"judge on {device}")
    monkeypatch.setattr(space, "from_zoo", lambda name: seen.update(judge=name) or judge)
    replaced(monkeypatch, "thermotorch.evaluation.report",
             write_report=lambda comparison, folder, cards: seen.update(report=(folder, cards)))  # fmt: skip
    replaced(monkeypatch, "thermotorch.training.data", known_images=lambda name, folder: f"{name} in {folder}")
    monkeypatch.setattr(import_module("thermotorch.zoo"), "load_card", lambda name: {"sha256": f"digest of {name}"})
    return seen


def test_every_setting_of_a_comparison_reaches_it(composed, compared, tmp_path, capsys):
    cfg = composed("compare", "a=x.one", "b=y.two", "samplers=[ddim:3]", "num_samples=20", "seed=6", "judge=mine",
                   "device=cpu", "data_dir=there", "protocol.steps=3")  # fmt: skip
    assert cli.compare(cfg) == tmp_path
    assert compared["models"] == {"x.one": "device cpu", "y.two": "device cpu"}
    assert (compared["judge"], compared["judged"], compared["space"]) == ("mine", "the net", "judge on device cpu")
    protocol = compared["protocol"]
    assert (protocol.num_samples, protocol.seed, protocol.steps, protocol.name) == (20, 6, 3, "quick")
    assert compared["samplers"] == ["ddim:3"] and compared["cache"] == ("cache in", "results")
    assert compared["known"]("x.one") == "x.one in there"
    assert compared["weights"] == {"x.one": "digest of x.one", "y.two": "digest of y.two"}
    assert compared["command"] == "thermotorch-compare as typed"
    assert compared["report"] == (tmp_path, {name: {"sha256": f"digest of {name}"} for name in ("x.one", "y.two")})
    said = capsys.readouterr().out.splitlines()
    assert said == ["it: from the cache of a day, an abacus; cache=false measures again",
                    f"report: {tmp_path / 'report.html'}"]  # fmt: skip
    cli.compare(composed("compare", "models=[a.b,c.d,e.f]", "cache=false"))
    assert list(compared["models"]) == ["a.b", "c.d", "e.f"] and compared["cache"] is None
    assert compared["samplers"] is None and compared["protocol"].num_samples != 20


def test_a_logger_is_told_the_comparison_and_the_folder(composed, compared, tmp_path, monkeypatch, capsys):
    told = []
    monkeypatch.setattr(cli, "instantiate", lambda node: told.append(node) or SimpleNamespace(log=lambda *given: given))
    cli.compare(composed("compare", "logger=wandb"))
    assert [node._target_ for node in told] == ["thermotorch.evaluation.report.wandb_log.WandbLog"]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("wandb: ")]
    assert str(tmp_path) in line and "results=" in line


def test_every_setting_of_an_export_reaches_it(composed, monkeypatch, tmp_path, capsys):
    seen = {}

    def write_netlist(model, folder, **options):
        seen.update(options, model=model.name, folder=folder)
        return [folder / "machine.cir", folder / "read.txt"]

    replaced(monkeypatch, "thermotorch.circuit.export", write_netlist=write_netlist)
    replaced(monkeypatch, "thermotorch.zoo", load_checkpoint=Placed)
    options = {"label": 3, "inputs": [1, 2], "step": 0.01, "bits": 6, "metered": True, "run": True}
    scale = {"farad": 1e-13, "second": 2e-6, "supply": 0.9}
    typed = [f"{key}={value}".replace(" ", "") for key, value in {**options, **scale}.items()]
    assert cli.export(composed("export", "model=a.b", *typed)) == tmp_path
    assert seen == {**options, "scale": scale, "model": "a.b", "name": "a.b", "folder": tmp_path}
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "machine.cir"), str(tmp_path / "read.txt")]
    with pytest.raises(ValueError, match="unknown format 'spcie'; did you mean 'spice'"):
        cli.export(composed("export", "model=a.b", "format=spcie"))


@pytest.mark.parametrize(
    ("main", "task", "config"),
    [
        ("train_main", cli._train_and_score, "train"), ("sample_main", cli.sample, "zoo/sample"),
        ("evaluate_main", cli.evaluate, "zoo/evaluate"), ("compare_main", cli.compare, "zoo/compare"),
        ("export_main", cli.export, "zoo/export"), ("benchmark_main", cli.benchmark, "zoo/benchmark"),
    ],
)  # fmt: skip
def test_every_program_composes_the_configuration_of_its_name(main, task, config, monkeypatch):
    seen = {}

    def hydra_main(version_base, config_path, config_name):
        seen.update(version=version_base, file=f"{config_path}/{config_name}.yaml")
        return lambda run: seen.update(run=run) or (lambda: None)

    monkeypatch.setattr(cli.hydra, "main", hydra_main)
    monkeypatch.setattr(cli.sys, "argv", ["program"])
    getattr(cli, main)()
    assert seen["file"] == str(cli.CONFIG_DIR / f"{config}.yaml") and (cli.CONFIG_DIR / f"{config}.yaml").is_file()
    assert seen["run"].__wrapped__ is task and seen["version"] == "1.3"


@pytest.mark.parametrize(
    ("error", "mode", "variable", "in_full"),
    [
        (ValueError("no"), "RUN", False, False), (TypeError("no"), "RUN", False, False),
        (FileNotFoundError("no"), "RUN", False, False), (FloatingPointError("no"), "RUN", False, False),
        (RuntimeError("no"), "RUN", False, True), (ValueError("no"), "MULTIRUN", False, True),
        (ValueError("no"), "RUN", True, True),
    ],
)  # fmt: skip
def test_an_error_of_the_user_is_a_line_unless_asked_for_in_full(error, mode, variable, in_full, monkeypatch, tmp_path):
    runtime = OmegaConf.create(
        {"mode": cli.RunMode[mode], "runtime": {"output_dir": str(tmp_path)}, "overrides": {"task": []}}
    )
    monkeypatch.setattr(cli.HydraConfig, "get", lambda: runtime)
    monkeypatch.setattr(cli.hydra, "main", lambda **_: lambda run: lambda: run(OmegaConf.create({})))
    monkeypatch.setattr(cli.sys, "argv", ["program"])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    if variable:
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def task(_):
        raise error

    with pytest.raises(type(error) if in_full else SystemExit) as raised:
        cli._main(task, "train")
    if not in_full:
        assert str(raised.value) == f"error: no\n(where: {tmp_path / 'FAILED'})"
    assert "in task\n    raise error" in (tmp_path / "FAILED").read_text()


def test_the_command_of_a_record_has_the_packages_of_configurations_and_no_folders(monkeypatch):
    words = {"hydra": ["hydra.run.dir=/x", "hydra.searchpath=[pkg://mine]", "hydra.searchpath=[file:///x]"],
             "task": ["experiment=a", "model=it's"]}  # fmt: skip
    monkeypatch.setattr(cli.HydraConfig, "get", lambda: OmegaConf.create({"overrides": words}))
    command = "thermotorch-train 'hydra.searchpath=[pkg://mine]' experiment=a"
    assert cli._command("thermotorch-train") == f"""{command} 'model=it'"'"'s'"""


class Fitted:
    """A trainer that was told what to train, and what it knows then."""

    def __init__(self, **given) -> None:
        self.given, self.is_global_zero, self.checkpoint_callback, self.global_step = given, True, object(), 12
        self.callback_metrics = {"train/loss": torch.tensor(0.5), "val/loss": torch.tensor(float("nan"))}

    def fit(self, module, **given) -> None:
        self.trained, self.fit_with = module, given


@pytest.mark.parametrize("resumed", [False, True])
def test_a_training_gets_every_part_of_its_configuration_and_leaves_a_record(resumed, monkeypatch, tmp_path):
    made, kept, module = [], [], SimpleNamespace(device=torch.device("cpu"), hparams={"objective": {"chosen": 3}})
    cfg = configure("experiment=feature_net", "seed=9", f"paths.output_dir={tmp_path}", "ckpt_path=last")
    paths = {"module": cfg.module, "trainer": cfg.trainer, "data": cfg.data}
    paths |= {f"callback {key}": node for key, node in cfg.callbacks.items()}
    paths |= {f"logger {key}": node for key, node in cfg.logger.items()}

    def instantiate(node, **given):
        (name,) = [name for name, each in paths.items() if each is node or each == node][:1]
        made.append((name, torch.initial_seed()))
        if name == "trainer":
            return trainers.append(Fitted(**given)) or trainers[0]
        return module if name == "module" else name

    trainers: list[Fitted] = []
    resume = tmp_path / "step.ckpt" if resumed else None
    asked = []
    monkeypatch.setattr(cli, "instantiate", instantiate)
    replaced(
        monkeypatch,
        "thermotorch.training.checkpoint_files",
        checkpoint_to_resume=lambda *given: asked.append(given[:2]) or resume,
        keep_finished=lambda *given: kept.append(given),
    )
    replaced(monkeypatch, "thermotorch.training.interrupt", interrupt_ends_the_step=lambda trainer: nullcontext())
    monkeypatch.setattr(cli, "_command", lambda program: f"{program} as typed")
    logged = cli.train(cfg)
    (trainer,) = trainers
    assert asked == [("last", tmp_path)] and made[0] == ("module", 9), "seeded before anything is built"
    assert trainer.trained is module
    assert trainer.fit_with == {"datamodule": "data", "ckpt_path": resume, "weights_only": True}
    kinds = [type(each).__name__ for each in trainer.given["callbacks"][:2]]
    assert kinds == ["StopTogether", "FiniteGradients"]
    assert trainer.given["callbacks"][2:] == [f"callback {key}" for key, node in cfg.callbacks.items() if node]
    assert trainer.given["logger"] == [f"logger {key}" for key, node in cfg.logger.items() if node]
    assert [type(each).__name__ for each in trainer.given["plugins"]] == ["WholeCheckpoints"]
    assert kept == ([(resume, tmp_path, 12)] if resumed else [])
    record = json.loads((tmp_path / "training.json").read_text())
    assert 0 <= record.pop("seconds") < 60
    settings = OmegaConf.to_container(cfg.module, resolve=True)
    assert record == {
        "command": "thermotorch-train as typed", "experiment": cfg.run_name, "seed": 9, "resumed": resumed,
        "hardware": describe_hardware("cpu"), "hyper_parameters": settings | {"objective": {"chosen": 3}},
        "logged": {"train/loss": 0.5, "val/loss": None},
    }  # fmt: skip
    assert logged["train/loss"] == 0.5 and logged["val/loss"] != logged["val/loss"]


def test_a_sweep_writes_its_table_once_and_only_where_there_are_runs(monkeypatch, tmp_path, capsys):
    told = []
    replaced(monkeypatch, "thermotorch.evaluation.report.sweep_report",
             write_sweep=lambda folder: told.append(folder) or ("the table", [folder / "sweep.md"]))  # fmt: skip
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    cli.SweepReport.write_table()
    cli.SweepReport().on_multirun_start(config)
    cli.SweepReport.write_table()
    assert told == [], "no sweep, and a sweep without runs"
    (tmp_path / "0" / ".hydra").mkdir(parents=True)
    cli.SweepReport().on_multirun_start(config)
    cli.SweepReport.write_table()
    cli.SweepReport.write_table()
    assert told == [tmp_path] and capsys.readouterr().out == f"the table\n{tmp_path / 'sweep.md'}\n"


def test_a_configuration_may_have_a_value_or_another():
    made = OmegaConf.create({"a": None, "b": 3, "c": "${or:${a},7}", "d": "${or:${b},7}"})
    assert (made.c, made.d) == (7, 3)
