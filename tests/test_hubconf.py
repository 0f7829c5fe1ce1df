from pathlib import Path

import pytest
import torch

from thermotorch.zoo import create_model, save_checkpoint

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A zoo folder with one small untrained generator."""
    monkeypatch.setenv("THERMOTORCH_HOME", str(tmp_path))
    model = create_model("generator", image_shape=[1, 4, 4], hidden=3, t_final=0.02)
    fields = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}
    save_checkpoint(model, "generator.small", tmp_path, fields)


def test_torch_hub_loads_models_from_a_clone(home):
    model = torch.hub.load(str(ROOT), "generator_small", source="local")
    assert torch.equal(model.generate(2), create_model("generator.small", pretrained=True).generate(2))
    fresh = torch.hub.load(str(ROOT), "create_model", "generator", source="local", hidden=5)
    assert fresh.config["hidden"] == 5
