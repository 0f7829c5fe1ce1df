import hashlib
import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
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


def test_every_field_of_a_written_card_is_that_of_the_model_the_caller_or_the_machine(tmp_path):
    fields = {
        "data": {"name": "squares"}, "metrics": [ROW], "energy": [{**ROW, "metric": "heat", "unit": "kT"}],
        "training": {"command": "train", "seed": 3}, "licence": "MIT", "notes": "a note",
    }  # fmt: skip
    path, card_file = save_checkpoint(Affine(4, scale=2.0), "affine.test", tmp_path / "new", fields)
    root = Path(checkpoints.__file__).resolve().parents[2]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    card = json.loads(card_file.read_text())
    assert card == {
        "format": 1, "name": "affine.test", "architecture": "affine", "config": {"width": 4, "scale": 2.0},
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "parameters": 20, **fields,
        "git_revision": head.stdout.strip() or None,
        "versions": {"python": platform.python_version(), "thermotorch": version("thermotorch"),
                     "torch": version("torch")},
    }  # fmt: skip
    assert list(card)[:4] == ["format", "name", "architecture", "config"]
    assert (path.name, card_file.name, path.parent) == ("affine.test.safetensors", "affine.test.json", card_file.parent)


def test_matrices_are_stored_in_the_dtype_asked_for_and_vectors_and_counts_as_they_are(tmp_path):
    model = Affine(5)
    path, _ = save_checkpoint(model, "affine.short", tmp_path, FIELDS, store=torch.bfloat16)
    assert load_card(path)["stored"] == "bfloat16"
    stored = load_file(path)
    assert {name: value.dtype for name, value in stored.items()} == {
        "linear.weight": torch.bfloat16, "linear.bias": torch.float32, "count": torch.int64,
    }  # fmt: skip
    loaded = load_checkpoint(path)
    assert loaded.linear.weight.dtype == torch.float32
    assert torch.equal(loaded.linear.weight, model.linear.weight.bfloat16().float())
    assert torch.equal(loaded.linear.bias, model.linear.bias)
    assert "stored" not in load_card(save_checkpoint(model, "affine.long", tmp_path, FIELDS)[0])


class Relative(Affine):
    """Of the family of `affine`, whose name its trained models bear."""


def test_a_model_of_a_family_bears_its_name_and_says_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setitem(registry._architectures, "relative", Relative)
    monkeypatch.setitem(registry._families, "relative", "affine")
    path, _ = save_checkpoint(Relative(4), "affine.relative", tmp_path, FIELDS)
    assert load_card(path)["architecture"] == "relative"
    for expected in (None, "affine", "relative"):
        assert type(load_checkpoint(path, expect=expected)) is Relative
    with pytest.raises(ValueError, match="expected architecture 'other', found 'relative'"):
        load_checkpoint(path, expect="other")
    plain, _ = save_checkpoint(Affine(4), "affine.plain", tmp_path, FIELDS)
    assert type(load_checkpoint(plain, expect="affine")) is Affine
    with pytest.raises(ValueError, match="expected architecture 'relative', found 'affine'"):
        load_checkpoint(plain, expect="relative")


class Many(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.config = {"count": count}
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(count))


@pytest.mark.parametrize(("lacking", "more"), [(3, ""), (4, r" \(and 1 more\)"), (5, r" \(and 2 more\)")])
def test_three_problems_of_weights_are_named_and_the_others_counted(lacking, more, tmp_path, monkeypatch):
    monkeypatch.setitem(registry._architectures, "many", Many)
    path, card_file = save_checkpoint(Many(2), "many.x", tmp_path, FIELDS)
    card_file.write_text(card_file.read_text().replace('"count": 2', f'"count": {2 + lacking}'))
    with pytest.raises(ValueError, match=rf"weights.2 is missing; .*; weights.4 is missing{more}$"):
        load_checkpoint(path)


def test_saving_draws_no_random_numbers(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    save_checkpoint(Other(), "other.x", tmp_path, FIELDS)
    assert torch.equal(torch.rand(1), expected)


def test_new_weights_wait_beside_the_old_ones_until_their_card_is_there(tmp_path, monkeypatch):
    """Interrupted before the card nothing has changed; after it, the new ones are loaded and soon have the name."""
    old, new = Affine(4), Affine(4)
    path, card_file = save_checkpoint(old, "affine.test", tmp_path, FIELDS)
    write, before = checkpoints.write_card, card_file.read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write_card", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(new, "affine.test", tmp_path, FIELDS)
    kept = {each for each in tmp_path.iterdir() if each.suffix in (".json", ".safetensors")}
    assert kept == {path, card_file} and card_file.read_bytes() == before
    assert torch.equal(load_checkpoint(path).linear.weight, old.linear.weight)

    def killed(*given):
        write(*given)
        monkeypatch.setattr(Path, "replace", lambda *_: None)  # nothing happens after the card

    monkeypatch.setattr(checkpoints, "write_card", killed)
    save_checkpoint(new, "affine.test", tmp_path, FIELDS)
    assert torch.equal(load_checkpoint(path).linear.weight, new.linear.weight)


def test_a_reference_is_entered_beside_its_checkpoint_and_read_from_there(saved):
    _, path = saved
    found = save_reference(path, {"mean": torch.arange(3.0)})
    assert found == path.with_name("affine.test.reference.safetensors")
    card = load_card(path)
    digest = hashlib.sha256(found.read_bytes()).hexdigest()
    assert card["reference"] == {"file": found.name, "sha256": digest}
    assert load_reference(path)["mean"].tolist() == [0.0, 1.0, 2.0]
    assert torch.equal(load_checkpoint(path).linear.weight, saved[0].linear.weight), "the weights are as they were"


def test_a_row_without_a_command_or_of_another_field_is_not_recorded(saved):
    _, path = saved
    before = path.with_suffix(".json").read_text()
    with pytest.raises(ValueError, match="row 'accuracy': missing command"):
        record_rows(path, energy=[{key: value for key, value in ROW.items() if key != "command"}])
    assert path.with_suffix(".json").read_text() == before
    assert record_rows(path, energy=[ROW]) == path.with_suffix(".json")
    with pytest.raises(ValueError, match="unknown card field 'note'; did you mean 'notes'"):
        check_card({**load_card(path), "note": ""})


class Tables(nn.Module):
    """A module with matrices that are no float32."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {}
        self.weight = nn.Parameter(torch.rand(2, 3))
        self.register_buffer("places", torch.arange(6).view(2, 3) + 1000)
        self.register_buffer("exact", torch.rand(2, 3, dtype=torch.float64))


def test_matrices_of_integers_and_of_doubles_are_not_rounded(tmp_path, monkeypatch):
    monkeypatch.setitem(registry._architectures, "tables", Tables)
    model = Tables()
    loaded = load_checkpoint(save_checkpoint(model, "tables.x", tmp_path, FIELDS, store=torch.bfloat16)[0])
    assert torch.equal(loaded.places, model.places) and torch.equal(loaded.exact, model.exact)
    assert torch.equal(loaded.weight, model.weight.bfloat16().float())


def test_a_card_written_outside_a_clone_names_no_commit_and_packages_may_be_unknown(tmp_path, monkeypatch):
    assert checkpoints._version("no-such-package") == "0+unknown"
    monkeypatch.setattr(checkpoints, "__file__", str(tmp_path / "site" / "thermotorch" / "zoo" / "checkpoints.py"))
    assert checkpoints._git_revision() is None
    (tmp_path / "site" / ".git").mkdir(parents=True)  # a repository without a commit
    assert checkpoints._git_revision() is None
