import json

import pytest
import torch
from torch import nn

from thermotorch.zoo import checkpoints, record_rows, registry
from thermotorch.zoo.cards import check_card
from thermotorch.zoo.checkpoints import load_card, load_checkpoint, load_reference, save_checkpoint, save_reference
from thermotorch.zoo.lookup import find_checkpoint, list_checkpoints

ROW = {
    "metric": "accuracy",
    "value": 0.5,
    "unit": "1",
    "num_samples": 10,
    "seed": 0,
    "kind": "measured",
    "command": "pytest",
}
FIELDS = {"data": {}, "metrics": [ROW], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}


class Affine(nn.Module):
    def __init__(self, width: int = 3, scale: float = 1.0) -> None:
        super().__init__()
        self.config = {"width": width, "scale": scale}
        self.linear = nn.Linear(width, width)
        self.register_buffer("count", torch.tensor(7))


class Other(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.config = {}
        self.weight = nn.Parameter(torch.zeros(2))


@pytest.fixture(autouse=True)
def architectures(monkeypatch):
    monkeypatch.setattr(registry, "_architectures", {**registry._architectures, "affine": Affine, "other": Other})


@pytest.fixture
def saved(tmp_path):
    model = Affine(4, scale=2.0)
    path, _ = save_checkpoint(model, "affine.test", tmp_path, FIELDS)
    return model, path


def test_round_trip_is_exact(saved):
    model, path = saved
    loaded = load_checkpoint(path)
    assert type(loaded) is Affine
    assert loaded.config == model.config
    assert not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
        assert loaded.state_dict()[key].dtype == value.dtype


def test_the_same_weights_give_the_same_file(saved, tmp_path):
    model, path = saved
    again, _ = save_checkpoint(model, "affine.test", tmp_path / "again", FIELDS)
    assert again.read_bytes() == path.read_bytes()


def test_the_card_says_what_the_weights_are(saved):
    card = load_card(saved[1])
    check_card(card)
    assert (card["name"], card["architecture"], card["parameters"]) == ("affine.test", "affine", 20)
    assert card["versions"]["torch"] == torch.__version__.split("+")[0]


def test_config_entries_can_be_replaced(saved):
    assert load_checkpoint(saved[1], config={"scale": 3.0}).config == {"width": 4, "scale": 3.0}


def test_replacing_entries_builds_one_model(saved, monkeypatch):
    built = []
    monkeypatch.setitem(registry._architectures, "affine", lambda width, scale: built.append(width) or Affine(width))
    load_checkpoint(saved[1], config={"scale": 3.0})
    assert built == [4]


def test_an_error_in_replaced_entries_is_the_callers_and_one_in_the_card_names_the_card(saved):
    with pytest.raises(TypeError, match="unknown argument of architecture 'affine': 'scael'"):
        load_checkpoint(saved[1], config={"scael": 3.0})
    card = saved[1].with_suffix(".json")
    card.write_text(card.read_text().replace('"width": 4', '"width": -4'))
    with pytest.raises(ValueError, match=rf"card {card}: config: RuntimeError"):
        load_checkpoint(saved[1], config={"scale": 3.0})


@pytest.mark.parametrize("keep", [4, 50, -1])
def test_truncated_weights_are_said_to_be_truncated(saved, keep):
    path = saved[1]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="is truncated"):
        load_checkpoint(path)


def test_altered_weights_are_said_to_be_altered(saved):
    path = saved[1]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="was altered: its card says sha256"):
        load_checkpoint(path)


def test_a_damaged_card_is_said_to_be_damaged(saved):
    card = saved[1].with_suffix(".json")
    card.write_text(card.read_text()[:-20])
    with pytest.raises(ValueError, match="truncated or damaged"):
        load_checkpoint(saved[1])
    card.write_text('{"format": 99}')
    with pytest.raises(ValueError, match="expected format 1"):
        load_checkpoint(saved[1])


def test_the_wrong_architecture_is_refused_before_anything_is_built(saved, monkeypatch):
    monkeypatch.setattr(checkpoints, "build_model", lambda *_: pytest.fail("built"))
    with pytest.raises(ValueError, match="expected architecture 'other', found 'affine'"):
        load_checkpoint(saved[1], expect="other")


def test_weights_of_another_architecture_under_a_forged_card_do_not_fit(saved):
    card_path = saved[1].with_suffix(".json")
    card = json.loads(card_path.read_text())
    card_path.write_text(json.dumps({**card, "architecture": "other", "config": {}}))
    with pytest.raises(ValueError, match=r"does not fit architecture 'other': weight is missing; count is not part"):
        load_checkpoint(saved[1])


def test_weights_of_another_shape_do_not_fit(saved):
    with pytest.raises(ValueError, match=r"linear.weight has shape \(4, 4\), expected \(5, 5\)"):
        load_checkpoint(saved[1], config={"width": 5})


@pytest.mark.parametrize("tag", ["../other", "/tmp/other", "a/b", "a\\b", "x\n", "a b", "\0", "-x", ".."])
def test_a_name_is_no_path(tmp_path, tag):
    with pytest.raises(ValueError, match=r"name: expected 'architecture\.tag', found .*; a tag holds letters"):
        save_checkpoint(Affine(4), f"affine.{tag}", tmp_path / "zoo", FIELDS)
    assert list(tmp_path.iterdir()) == []


def test_missing_files_are_named(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_checkpoint(tmp_path / "nowhere.safetensors")
    saved[1].with_suffix(".json").unlink()
    with pytest.raises(FileNotFoundError, match="its card .* is missing"):
        load_checkpoint(saved[1])


def test_saving_refuses_what_could_not_be_loaded(tmp_path):
    with pytest.raises(TypeError, match="expected a Affine for 'affine.x', found a Other"):
        save_checkpoint(Other(), "affine.x", tmp_path, FIELDS)
    with pytest.raises(ValueError, match=r"expected 'architecture\.tag', found 'affine'"):
        save_checkpoint(Affine(), "affine", tmp_path, FIELDS)
    with pytest.raises(ValueError, match="missing notes"):
        save_checkpoint(Affine(), "affine.x", tmp_path, {k: v for k, v in FIELDS.items() if k != "notes"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "guessed"}, "expected one of measured, modelled, unavailable, found 'guessed'"),
        ({"value": None}, "None exactly when"),
        ({"kind": "unavailable"}, "None exactly when"),
        ({"std_err": 0.1}, "unknown field of a row 'std_err'; did you mean 'stderr'"),
    ],
)
def test_rows_say_how_their_number_came_about(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        save_checkpoint(Affine(), "affine.x", tmp_path, {**FIELDS, "energy": [{**ROW, **change}]})


def test_reference_statistics_belong_to_their_checkpoint(saved):
    with pytest.raises(ValueError, match="has no reference statistics"):
        load_reference(saved[1])
    tensors = {"features": torch.randn(5, 4).half(), "labels": torch.arange(5, dtype=torch.uint8)}
    path = save_reference(saved[1], tensors)
    loaded = load_reference(saved[1])
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[key], value) for key, value in tensors.items())
    check_card(load_card(saved[1]))
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match="is truncated"):
        load_reference(saved[1])


def test_rows_that_are_recorded_again_replace_those_before_and_leave_the_others(saved):
    _, path = saved
    old, other = {**ROW, "value": 1.0}, {**ROW, "metric": "another", "value": 2.0}
    record_rows(path, metrics=[old, other], energy=[old])
    record_rows(path, metrics=[{**old, "value": 3.0}])
    card = load_card(path)
    assert sorted((row["metric"], row["value"]) for row in card["metrics"]) == [(ROW["metric"], 3.0), ("another", 2.0)]
    assert card["energy"] == [old]


@pytest.mark.parametrize("name", list_checkpoints())
def test_every_shipped_checkpoint_is_complete_and_loads(name):
    card = load_card(name)
    check_card(card)
    assert card["name"] == name
    assert card["licence"]
    assert card["metrics"], "a shipped model comes with measured numbers"
    assert {"command", "experiment", "seed", "hardware"} <= card["training"].keys()
    path = find_checkpoint(name)
    assert path.stat().st_size <= 16 * 2**20
    model = load_checkpoint(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == card["parameters"]
    assert model.config == card["config"]
    if "reference" in card:
        assert load_reference(name)


@pytest.mark.parametrize("found", [ValueError("altered"), FileNotFoundError("no such file")])
def test_a_release_that_comes_and_goes_between_card_and_weights_is_read_again(tmp_path, monkeypatch, found):
    """The card is the same again, so the weights are not damaged: they were those of the release between."""
    path, _ = save_checkpoint(Affine(4), "affine.test", tmp_path, FIELDS)
    read, calls = checkpoints._read_entered, []

    def read_entered(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise found
        return read(*arguments)

    monkeypatch.setattr(checkpoints, "_read_entered", read_entered)
    load_checkpoint(path)
    assert len(calls) == 2
