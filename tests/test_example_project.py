"""A project outside of ours, tests/example_project, installed and used as its author would."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

EXAMPLE = Path(__file__).resolve().parent / "example_project"
NAME = "pixel_wells.digits"


class Desk:
    """A working directory, an environment that has the example installed, and an own $THERMOTORCH_HOME."""

    def __init__(self, folder: Path) -> None:
        self.site, self.home, self.work = folder / "site", folder / "home", folder / "work"
        self.work.mkdir()
        shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", self.site]
        self("-m", "pip", "install", *options, folder / "source")

    def __call__(self, *arguments: str | Path) -> str:
        """Runs python with these arguments and returns what it printed."""
        environment = {**os.environ, "PYTHONPATH": str(self.site), "THERMOTORCH_HOME": str(self.home)}
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=self.work, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Desk:
    return Desk(tmp_path_factory.mktemp("outside"))


@pytest.fixture(scope="module")
def run(desk) -> Path:
    """The folder of a training run of two steps, by the example's own command."""
    settings = ["experiment=pixel_wells_digits", "trainer.max_steps=2", "trainer.enable_progress_bar=false"]
    desk(desk.site / "bin" / "pixel-wells-train", *settings)
    (folder,) = (desk.work / "outputs" / "train" / "pixel_wells_digits").iterdir()
    return folder


@pytest.fixture(scope="module")
def released(desk, run) -> Path:
    """The folder for the Hub of the released model, which is in the desk's home as well."""
    desk("-m", "thermotorch.training.release", run, NAME, "--notes", "two steps", "--hub", "upload")
    return desk.work / "upload"


@pytest.mark.slow
def test_our_groups_and_theirs_compose_one_run(run):
    config = (run / ".hydra" / "config.yaml").read_text()
    assert "_target_: pixel_wells.module.LikelihoodModule" in config  # their class, through our `instantiate`
    assert "_target_: thermotorch.training.data.Digits8x8Data" in config
    assert "_target_: lightning.pytorch.Trainer" in config
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2


@pytest.mark.slow
def test_the_model_is_in_the_zoo_by_name_by_folder_and_from_its_package(desk, released):
    card = json.loads((desk.home / f"{NAME}.json").read_text())
    assert card["training"]["command"].startswith("pixel-wells-train experiment=pixel_wells_digits")
    assert card["config"]["image_shape"] == [1, 8, 8]
    assert {path.name for path in released.iterdir()} == {"README.md", "config.json", "model.safetensors"}
    assert "the package `pixel_wells`" in (released / "README.md").read_text()
    program = f"""
import os, shutil, sys, torch
import thermotorch as tt
assert "pixel_wells" in tt.list_models()
assert "pixel_wells" not in sys.modules, "listing imports nothing"
assert {NAME!r} in tt.list_models(pretrained=True)
model = tt.create_model({NAME!r}, pretrained=True)
images = model.generate(3, seed=1)
assert type(model).__module__ == "pixel_wells.model" and images.shape == (3, 1, 8, 8)
assert torch.equal(tt.create_model("upload/").generate(3, seed=1), images)
package = os.path.join({str(desk.site)!r}, "pixel_wells", "checkpoints")
for ending in (".json", ".safetensors"):
    shutil.copy(os.path.join(os.environ["THERMOTORCH_HOME"], {NAME!r} + ending), package)
card = tt.load_card({NAME!r})
assert str(card.path.parent) == os.environ["THERMOTORCH_HOME"]
assert [str(path.parent) for path in card.hides] == [package]
del os.environ["THERMOTORCH_HOME"]
assert str(tt.load_card({NAME!r}).path.parent) == package
assert torch.equal(tt.create_model({NAME!r}, pretrained=True).generate(3, seed=1), images)
print("found")
"""
    assert desk("-c", program).strip() == "found"


@pytest.mark.slow
def test_our_commands_work_with_the_model(desk, released, digits8x8):
    from thermotorch.zoo import create_model, save_checkpoint, save_reference

    fields = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}
    torch.manual_seed(0)
    judge = create_model("feature_net", image_size=8)
    weights, _ = save_checkpoint(judge, "feature_net.small", desk.home, fields)
    with torch.no_grad():
        save_reference(weights, {"features": judge.features(digits8x8[0]).half(), "labels": digits8x8[1].byte()})

    program = f"""
import sys
from pathlib import Path
from thermotorch import cli
from thermotorch.training import release

def run(main, *arguments):
    sys.argv = ["program", *arguments]
    main()

run(cli.sample_main, "model={NAME}", "num_samples=4", "seed=2")
tiny = ["protocol.num_samples=8", "protocol.kernel_subset_size=4", "protocol.kernel_subsets=2"]
run(cli.evaluate_main, "model={NAME}", "judge=feature_net.small", *tiny)
(evaluation,) = Path().rglob("evaluation.json")
run(release.main, "--record", str(evaluation), "{NAME}", "--hub", "upload")
"""
    assert f"4 samples of {NAME}, seed 2" in desk("-c", program)
    card = json.loads((released / "config.json").read_text())
    assert "recognised fraction" in {row["metric"] for row in card["metrics"]}
    assert "| recognised fraction" in (released / "README.md").read_text()


def test_our_command_finds_their_experiments(monkeypatch):
    """`thermotorch-train 'hydra.searchpath=[pkg://pixel_wells.configs]' experiment=...`:
    no command of their own needed.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.hydra_config import HydraConfig

    from thermotorch import cli

    monkeypatch.syspath_prepend(EXAMPLE)
    search = "hydra.searchpath=[pkg://pixel_wells.configs]"
    arguments = [search, "experiment=pixel_wells_digits", "seed=3", "hydra.run.dir=somewhere"]
    with initialize_config_dir(str(cli.CONFIG_DIR), version_base="1.3"):
        cfg = compose("train", arguments, return_hydra_config=True)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    HydraConfig.instance().set_config(cfg)
    assert cfg.module._target_ == "pixel_wells.module.LikelihoodModule"
    assert cfg.module.model.config.image_shape == [1, 8, 8]
    expected = f"thermotorch-train '{search}' experiment=pixel_wells_digits seed=3"
    assert cli._command(HydraConfig.get().job.name) == expected


def test_the_wells_are_the_gaussians_they_say(monkeypatch):
    """The likelihood is stationary at b = -2 j2 <x>. Runs then have that mean, and the variance of Euler-Maruyama in a
    harmonic well, kT / (2 j2) / (1 - j2 dt)."""
    monkeypatch.syspath_prepend(EXAMPLE)
    from pixel_wells.model import PixelWells

    model = PixelWells([1, 2, 3], j2=10.0, temperature=0.1)
    images = 0.2 + 0.6 * torch.rand(50, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    mean = images.mean(0).flatten()
    model(images).mean().backward()
    torch.testing.assert_close(model.potential.bias.grad, mean / 0.1)  # at b = 0
    with torch.no_grad():
        model.potential.bias.copy_(-20.0 * mean)
    model.zero_grad()
    model(images).mean().backward()
    assert model.potential.bias.grad.abs().max() < 1e-5 / 0.1
    number, variance = 20_000, 0.1 / 20.0 / (1 - 10.0 * 0.5 / 100)
    samples = model.generate(number, seed=0).flatten(1)
    assert ((samples.mean(0) - mean).abs() < 5 * (variance / number) ** 0.5).all()
    assert ((samples.var(0) / variance - 1).abs() < 5 * (2 / number) ** 0.5).all()
