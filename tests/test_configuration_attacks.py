"""A configuration from anywhere runs no code: each of these files is refused before Hydra acts on it."""
# ruff: noqa: E501  (a payload and its refusal read best on one line)

import pickle
import re
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from thermotorch import cli
from thermotorch.training.checkpoint_files import local_checkpoint

PICKLE = "MARK.pkl"


class Payload:
    """Unpickled, it makes the file `EXECUTED`."""

    def __reduce__(self):
        return (Path.touch, (Path("EXECUTED").absolute(),))


@pytest.fixture
def program(run_dir, monkeypatch, capsys):
    """Runs a program with a folder `attack` of configurations; returns what it said. Nothing may have been executed."""

    def run(main, files: dict[str, str], *arguments: str) -> str:
        for name, text in files.items():
            path = run_dir / "attack" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        (run_dir / PICKLE).write_bytes(pickle.dumps(Payload()))
        monkeypatch.setattr(sys, "argv", ["thermotorch", *arguments, f"hydra.searchpath=[file://{run_dir}/attack]"])
        monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
        with pytest.raises(SystemExit) as stop:
            main()
        assert not (run_dir / "EXECUTED").exists()
        assert not list(run_dir.rglob(".hydra")), "refused before there is a run"
        return f"{capsys.readouterr().err}{stop.value if isinstance(stop.value.code, str) else ''}"

    return run


HYDRA_KEYS = {
    "a loader of pickles": (
        "callbacks: {x: {_target_: joblib.numpy_pickle.load, filename: MARK.pkl}}",
        r"hydra\.callbacks\.x\._target_: expected a callback of Hydra's kind",
    ),
    "numpy": ("callbacks: {x: {_target_: numpy.load, file: MARK.pkl, allow_pickle: true}}", r"hydra\.callbacks\.x\._target_"),
    "libraries": ("callbacks: {x: {_target_: torch.ops.load_library, path: a.so}}", r"hydra\.callbacks\.x\._target_"),
    "files": ("callbacks: {x: {_target_: shutil.copy, src: a, dst: EXECUTED}}", r"hydra\.callbacks\.x\._target_"),
    "no callback of ours": ("callbacks: {x: {_target_: thermotorch.Potential}}", r"hydra\.callbacks\.x\._target_"),
    "nested": (
        "callbacks: {x: {_target_: thermotorch.cli.SweepReport, y: [{_target_: shutil.copy, src: a, dst: EXECUTED}]}}",
        r"hydra\.callbacks\.x\.y\[0\]\._target_",
    ),
    "a callback inside a callback": (
        "callbacks: {x: {_target_: thermotorch.cli.SweepReport, y: {_target_: thermotorch.cli.SweepReport}}}",
        r"hydra\.callbacks\.x\.y\._target_: expected a callback of Hydra's kind",
    ),
    "a target out of sight": (
        "callbacks: {x: {_target_: '${evil}'}}", r"hydra\.callbacks\.x\._target_: expected a name in full",
    ),
    "a node out of a resolver": (
        "callbacks: {x: '${or:null,{_target_:shutil.copy}}'}", r"hydra\.callbacks\.x\._target_",
    ),
    "a node out of text": (
        """callbacks: {x: '${oc.create:{_target_:shutil.copy}}'}""",
        r"hydra\.callbacks: expected values known before the program runs.*oc\.create",
    ),
    "a node out of decoded text": (
        """callbacks: {x: "${oc.decode:'{_target_:shutil.copy}'}"}""", r"hydra\.callbacks: ",
    ),
    "a second interpolation": (
        r"callbacks: {x: {_target_: thermotorch.cli.SweepReport, y: '\${or:null,{_target_:shutil.copy}}'}}",
        r"hydra\.callbacks\.x\.y: expected no second interpolation",
    ),
    "a launcher": ("launcher: {_target_: shutil.copy, src: a, dst: EXECUTED}", r"hydra\.launcher\._target_: expected a launcher"),
    "inside a launcher": ("launcher: {x: {_target_: shutil.copy, src: a, dst: EXECUTED}}", r"hydra\.launcher\.x\._target_"),
    "a sweeper": ("sweeper: {_target_: shutil.copy, src: a, dst: EXECUTED}", r"hydra\.sweeper\._target_"),
    "inside a sweeper": ("sweeper: {x: {_target_: shutil.copy, src: a, dst: EXECUTED}}", r"hydra\.sweeper\.x\._target_"),
    "a formatter": (
        "job_logging: {formatters: {simple: {(): shutil.copy, src: MARK.pkl, dst: EXECUTED}}}",
        r"hydra\.job_logging\.formatters\.simple: expected class and its settings, found '\(\)'",
    ),
    "a handler": (
        "hydra_logging: {handlers: {console: {class: logging.handlers.SocketHandler, host: localhost, port: 1}}}",
        r"hydra\.hydra_logging\.handlers\.console\.class: expected one of ",
    ),
    "a start-up file": (
        "job_logging: {handlers: {file: {filename: /root/.bashrc}}}", r"handlers\.file\.filename: expected a name that ends in \.log",
    ),
    "a log elsewhere": (
        "job_logging: {handlers: {file: {filename: '${hydra.runtime.output_dir}/../x.log'}}}", r"handlers\.file\.filename: ",
    ),
    "an object for a log": (
        "job_logging: {handlers: {console: {stream: 'ext://os.system'}}}", r"handlers\.console\.stream: expected a plain value",
    ),
    "handlers out of a resolver": (
        "job_logging: {handlers: '${or:null,{a:{class: shutil.copy}}}'}", r"hydra\.job_logging\.handlers: expected a plain value",
    ),
    "a log's name": ("job: {name: ../../x}", r"hydra\.job\.name: expected letters"),
    "the environment": (
        "job: {env_set: {TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD: '1'}}",
        r"hydra\.job\.env_set: expected on the command line only, found \{'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD': '1'\}",
    ),
    "the environment out of sight": ("job: {env_set: '${evil}'}", r"hydra\.job\.env_set: expected on the command line only"),
    "the user's environment": ("job: {env_copy: [PATH]}", r"hydra\.job\.env_copy: expected on the command line only"),
    "a command of a job": ("launcher: {setup: [touch EXECUTED]}", r"hydra\.launcher\.setup: expected on the command line only"),
    "a line of a script": (
        'launcher: {comment: "x\\ntouch EXECUTED"}', r"hydra\.launcher\.comment: expected one line",
    ),
    "an expression": (
        "launcher: {pre_dispatch: \"__import__('os').mkdir('EXECUTED')\"}", r"hydra\.launcher\.pre_dispatch: expected a number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HYDRA_KEYS)
def test_no_code_by_the_keys_of_hydra(program, name):
    text, message = HYDRA_KEYS[name]
    group, _, content = text.partition(": ")
    if group in ("launcher", "sweeper"):  # a choice of its own: the keys of a known one are fixed
        known = "" if re.match(r"\{_target_", content) else f"_target_: hydra_plugins.x.{group}, "
        files = {f"hydra/{group}/attack.yaml": content.replace("{", "{" + known, 1) + "\n"}
        said = program(cli.train_main, files, "-m", f"hydra/{group}=attack", "seed=0,1")
    else:
        files = {"experiment/attack.yaml": f"# @package _global_\nevil: {{A: b}}\nhydra:\n  {text}\n"}
        said = program(cli.train_main, files, "-m", "experiment=attack", "seed=0,1")
    assert re.search(message, said), said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "target",
    [
        "lightning.pytorch.cli.LightningCLI",
        "lightning.pytorch.demos.boring_classes.BoringModel",
        "lightning.pytorch.serve.ServableModuleValidator",
        "lightning.pytorch.utilities.CombinedLoader",
        "os.system",
    ],
)
def test_no_class_that_trains_nothing(program, target):
    evil = {"callbacks/attack.yaml": f"x:\n  - [{{_target_: {target}}}]\n"}
    said = program(cli.train_main, evil, "callbacks=attack", "data=digits8x8")
    assert "callbacks.x[0][0]._target_: expected a class of thermotorch., " in said
    assert f"found '{target}'" in said
    with pytest.raises(ValueError, match=f"_target_: expected a class of .*found '{target}'"):
        cli.instantiate(OmegaConf.create({"_target_": target}))


@pytest.mark.parametrize(
    "name", ["thermotorch.nothing", "torch.nn.Nothing", "torch.optim.sgd.os.system.x", "torch.nn..x"]
)
def test_a_target_that_is_not_there_is_one_sentence(name):
    with pytest.raises(ValueError, match=f"_target_: expected a class, found '{re.escape(name)}', with "):
        cli.instantiate(OmegaConf.create({"_target_": name}))


@pytest.mark.parametrize("node", [[{"_target_": "torch.nn.Identity"}], {"x": 1}, {}])
def test_a_node_that_describes_no_object_is_one_sentence(node):
    with pytest.raises(ValueError, match="expected a node with _target_, found "):
        cli.instantiate(OmegaConf.create(node))


def test_a_target_that_is_known_only_later_is_checked_then():
    root = OmegaConf.create(
        {"name": "builtins.dict", "node": {"_target_": "torch.nn.Identity", "x": {"_target_": "${name}"}}}
    )
    with pytest.raises(ValueError, match=r"^x\._target_: expected .* found 'builtins\.dict'"):
        cli.instantiate(root.node)


def test_what_was_checked_is_what_is_built():
    """An escaped interpolation is a text, and stays one."""
    node = OmegaConf.create(
        {"_target_": "torch.nn.Identity", "x": r"\${or:null,{_target_:os.system}}", "_partial_": True}
    )
    assert cli.instantiate(node).keywords == {"x": "${or:null,{_target_:os.system}}"}


def test_a_file_that_sweeps_reaches_no_key_of_hydra(program, run_dir):
    text = "# @package _global_\nhydra: {sweeper: {params: {+hydra.job.env_set.CXX: evil}}}\n"
    said = program(cli.train_main, {"experiment/attack.yaml": text}, "-m", "experiment=attack", "seed=0,1")
    assert "hydra.sweeper.params: expected settings of the program, found '+hydra.job.env_set.CXX=evil'" in said


@pytest.mark.parametrize("flag", ["--experimental-rerun", "--experimental"])
def test_no_pickled_configuration(program, flag):
    assert "--experimental-rerun: expected settings" in program(cli.train_main, {}, f"{flag}={PICKLE}")


@pytest.mark.parametrize("word", ["hydra.job.env_set.THERMOTORCH_DATA=d", "+hydra.job.env_set={THERMOTORCH_DATA: d}"])
def test_what_is_typed_counts(word, run_dir, monkeypatch):
    seen = {}
    monkeypatch.setattr(cli, "_train_and_score", None)
    monkeypatch.setattr(sys, "argv", ["thermotorch", word.replace("hydra.job.env_set.", "+hydra.job.env_set.")])
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    cli._main(lambda cfg: seen.update(data=cfg.paths.data_dir), "train")
    assert seen == {"data": "d"}


@pytest.mark.parametrize(
    "body", ["a: b: c", "x: [", "\x0e", "defaults: [null]", "defaults: 5", "a: &x [*x]", "[" * 3000]
)
def test_a_file_that_cannot_be_read_is_named(program, body):
    said = program(cli.train_main, {"experiment/attack.yaml": f"# @package _global_\n{body}\n"}, "experiment=attack")
    assert "configuration 'experiment/attack" in said and "cannot be read: " in said
    assert "Traceback" not in said


def test_other_programs_keep_the_loader_of_hydra():
    import hydra._internal.hydra

    assert hydra._internal.hydra.ConfigLoaderImpl is ConfigLoaderImpl


@pytest.mark.parametrize(
    "path", ["http://127.0.0.1:9/evil.ckpt", "file:///evil.ckpt", "registry", "best", "hpc", "memory::x"]
)
def test_a_checkpoint_is_a_file_of_this_machine(path, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=f"ckpt_path: expected `last` or a path on this machine, found '{path}'"
    ):
        local_checkpoint(path)
    assert local_checkpoint(tmp_path) == tmp_path


def test_a_checkpoint_is_not_unpickled(run_dir, monkeypatch):
    torch.save({"state_dict": Payload()}, run_dir / "evil.ckpt")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.setattr(
        sys, "argv", ["thermotorch", "experiment=feature_net", "data=digits8x8", "debug=fast", "ckpt_path=evil.ckpt"]
    )
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    with pytest.raises((SystemExit, pickle.UnpicklingError)):
        cli.train_main()
    assert not (run_dir / "EXECUTED").exists()
