"""A checkpoint goes into a folder for the Hub and comes back the same."""

import json
import re

import pytest
import torch
from safetensors import safe_open

from thermotorch.evaluation.report.hub_folder import export_folder
from thermotorch.zoo import create_model, load_card, load_checkpoint, load_reference, save_checkpoint
from thermotorch.zoo.cards import check_card

FIELDS = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}


def test_a_folder_is_the_checkpoint(tmp_path):
    name = "feature_net.mnist"
    written = export_folder(name, tmp_path / "folder")
    assert {path.name for path in written} == {"README.md", "config.json", "model.safetensors", "reference.safetensors"}
    assert {path.name for path in (tmp_path / "folder").iterdir()} == {path.name for path in written}
    model, original = create_model(tmp_path / "folder"), load_checkpoint(name)
    assert model.config == original.config
    for key, value in original.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    card, before = load_card(tmp_path / "folder"), load_card(name)
    check_card(card)
    changed = {"sha256", "reference"}
    assert {key: card[key] for key in card.keys() - changed} == {key: before[key] for key in before.keys() - changed}
    reference, expected = load_reference(tmp_path / "folder"), load_reference(name)
    assert all(torch.equal(reference[key], expected[key]) for key in expected.keys() | reference.keys())
    with safe_open(tmp_path / "folder" / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert (config["architecture"], config["config"]) == ("feature_net", before["config"])


def test_exporting_twice_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        export_folder("generator.three_digits", tmp_path / folder)
    export_folder(tmp_path / "a", tmp_path / "c")
    for name in ("README.md", "config.json", "model.safetensors"):
        first, *others = [(tmp_path / folder / name).read_bytes() for folder in "abc"]
        assert others == [first, first]


@pytest.mark.parametrize("name", ["generator.three_digits", "classifier.robust", "feature_net.mnist"])
def test_the_code_of_the_card_runs(name, tmp_path):
    export_folder(name, tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
    made = {"images": torch.rand(2, 1, 28, 28)}
    exec(code.replace("hf://OWNER/REPOSITORY", str(tmp_path)), made)
    result = made.get("logits", made.get("features", made["images"]))
    assert len(result) in (2, 4)
    assert result.isfinite().all()


def test_a_picture_is_copied_and_shown(tmp_path):
    (tmp_path / "grid.png").write_bytes(b"picture")
    written = export_folder("spu.8cell", tmp_path / "folder", picture=tmp_path / "grid.png")
    assert written[-1].read_bytes() == b"picture"
    assert "(samples.png)" in (tmp_path / "folder" / "README.md").read_text()
    with pytest.raises(FileNotFoundError, match=r"picture: .*none.png is no file"):
        export_folder("spu.8cell", tmp_path / "other", picture=tmp_path / "none.png")
    assert not (tmp_path / "other").exists()


def test_nothing_is_written_of_a_damaged_checkpoint(tmp_path):
    weights, _ = save_checkpoint(create_model("feature_net", image_size=8), "feature_net.x", tmp_path, FIELDS)
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is truncated"):
        export_folder(weights, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_checkpoint_with_an_incomplete_card_is_not_exported(tmp_path):
    """It loads, but a row does not say by what command it was made."""
    row = {"metric": "size", "value": 1.0, "unit": "", "num_samples": 0, "seed": 0, "kind": "measured", "command": ""}
    fields = {**FIELDS, "metrics": [row]}
    weights, card = save_checkpoint(create_model("feature_net", image_size=8), "feature_net.x", tmp_path, fields)
    card.write_text(card.read_text().replace('"command": ""', '"note": ""'))
    assert load_checkpoint(weights) is not None
    with pytest.raises(ValueError, match="row 'size': missing command"):
        export_folder(weights, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
