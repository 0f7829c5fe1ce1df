"""torch.hub with a clone: every trained model is an entry point, from any working directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from thermotorch.zoo import create_model, save_checkpoint
from thermotorch.zoo.lookup import packaged_folder

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = sorted(path.stem for path in packaged_folder().glob("*.json"))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a zoo folder with one small untrained generator."""
    monkeypatch.setenv("THERMOTORCH_HOME", str(tmp_path))
    model = create_model("generator", image_shape=[1, 4, 4], hidden=3, t_final=0.02)
    fields = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": "small"}
    save_checkpoint(model, "generator.small", tmp_path, fields)


def test_torch_hub_loads_models_from_a_clone(home):
    model = torch.hub.load(str(ROOT), "generator_small", source="local")
    assert torch.equal(model.generate(2), create_model("generator.small", pretrained=True).generate(2))
    assert torch.hub.load(str(ROOT), "generator_small", source="local", temperature=0.3).config["temperature"] == 0.3
    fresh = torch.hub.load(str(ROOT), "create_model", "generator", source="local", hidden=5)
    assert fresh.config["hidden"] == 5


def test_every_shipped_checkpoint_loads_far_from_the_clone(tmp_path):
    """In a new process that knows the path of the clone and nothing else: no thermotorch is installed there."""
    program = f"""
import sys
sys.path = [entry for entry in sys.path if entry != {str(ROOT)!r}]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
import torch
for name in {SHIPPED!r}:
    model = torch.hub.load({str(ROOT)!r}, name.replace(".", "_"), source="local")
    print(name, type(model).__name__, model.training)
import thermotorch
assert thermotorch.__file__.startswith({str(ROOT)!r})
"""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "THERMOTORCH_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == SHIPPED
    assert {line[2] for line in lines} == {"False"}


def test_list_and_help_speak_of_models(home, monkeypatch):
    """`list` and `help` take no local clone, so the download is replaced by ours."""
    monkeypatch.setattr(torch.hub, "_get_cache_or_reload", lambda *arguments, **settings: str(ROOT))
    entry_points = torch.hub.list("owner/thermotorch")
    names = [*SHIPPED, "generator.small"]
    assert entry_points == sorted(["create_model", *(name.replace(".", "_") for name in names)])
    for name in names:
        text = torch.hub.help("owner/thermotorch", name.replace(".", "_"))
        assert text.startswith(f"The trained model {name!r}: ")
        assert "parameters" in text
    assert "trained on MNIST, licence Apache-2.0." in torch.hub.help("owner/thermotorch", "ddpm_mnist")
    assert "pretrained" in torch.hub.help("owner/thermotorch", "create_model")


def test_a_damaged_card_takes_no_other_model_away(home, tmp_path, monkeypatch):
    (tmp_path / "generator.broken.json").write_text("{")
    assert torch.hub.load(str(ROOT), "generator_small", source="local").config["hidden"] == 3
    monkeypatch.setattr(torch.hub, "_get_cache_or_reload", lambda *arguments, **settings: str(ROOT))
    assert "its card cannot be read: card" in torch.hub.help("owner/thermotorch", "generator_broken")
