"""The contents of the wheel, and its work far from the clone."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SHIPPED = {"thermotorch.configs": "configs", "thermotorch.checkpoints": "checkpoints"}
EXPERIMENTS = sorted(path.stem for path in (ROOT / "configs" / "experiment").glob("*.yaml"))


def test_the_package_list_is_the_tree():
    """The list is explicit, because two folders live beside the package;
    a forgotten entry would be silently missing.
    """
    tree = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "thermotorch").rglob("*.py")
    }  # fmt: skip
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == tree | SHIPPED.keys()
    assert PROJECT["tool"]["setuptools"]["package-dir"] == SHIPPED
    assert all((folder / "__init__.py").is_file() for folder in map(ROOT.joinpath, (n.replace(".", "/") for n in tree)))


def test_every_command_exists():
    from thermotorch import cli

    for command, target in PROJECT["project"]["scripts"].items():
        module, _, function = target.partition(":")
        assert module == "thermotorch.cli"
        assert callable(getattr(cli, function))
        assert function == command.removeprefix("thermotorch-") + "_main"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel in a copy of the tracked sources, without downloads, and return its path."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("thermotorch", "configs", "checkpoints"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, source], check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_code_configurations_and_checkpoints(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for package, folder in {"thermotorch": "thermotorch", **SHIPPED}.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in (
                ".py",
                ".yaml",
                ".safetensors",
                ".json",
                ".h",
                ".cpp",
                ".html",
                ".css",
                ".js",
            ):
                inside = f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}"
                assert inside in names
    assert "thermotorch/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)


def test_a_wheel_installed_elsewhere_composes_every_experiment_from_the_root_directory(wheel, tmp_path):
    """Also as `pkg://thermotorch.configs`, the way another project's configuration reaches ours."""
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path / "site", wheel],
        check=True,
    )
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "train.yaml").write_text(
        "defaults:\n  - data: mnist\n  - model: generator\n  - paths: default\n  - _self_\n"
        "seed: 3\nhydra:\n  searchpath: [pkg://thermotorch.configs]\n"
    )
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path / "site")!r})
from hydra import compose, initialize_config_dir
from thermotorch import cli, zoo
assert cli.__file__.startswith({str(tmp_path)!r}), cli.__file__
assert str(cli.CONFIG_DIR) == {str(tmp_path / "site" / "thermotorch" / "configs")!r}
assert str(zoo.lookup.packaged_folder()) == {str(tmp_path / "site" / "thermotorch" / "checkpoints")!r}
assert zoo.list_checkpoints() == {sorted(path.stem for path in (ROOT / "checkpoints").glob("*.json"))!r}
with initialize_config_dir(str(cli.CONFIG_DIR), version_base="1.3"):
    for experiment in {EXPERIMENTS!r}:
        assert compose("train", [f"experiment={{experiment}}"]).module._target_.startswith("thermotorch.training.")
with initialize_config_dir({str(tmp_path / "theirs")!r}, version_base="1.3"):
    theirs = compose("train", ["data=digits8x8"])
assert theirs.data.seed == 3 and theirs.model.name == "generator" and list(theirs.image_shape) == [1, 8, 8]
print("composed")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd="/", capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("composed", "")
