"""README.md as the Hub reads it: its own parser, the fields its schema asks for, and the words."""

import pytest
from torch import nn

from thermotorch.evaluation.report.hub_folder import hub_card, pipeline_tag
from thermotorch.zoo import load_card, load_checkpoint
from thermotorch.zoo.lookup import packaged_folder

hub = pytest.importorskip("huggingface_hub")
SHIPPED = sorted(path.stem for path in packaged_folder().glob("*.json"))


def read(text: str):
    """The metadata and the words, by the Hub's own reader, which raises on a broken model-index."""
    card = hub.ModelCard(text)
    return card.data, card.text


@pytest.mark.parametrize("name", SHIPPED)
def test_the_metadata_of_every_shipped_model_is_read_back(name):
    card, model = load_card(name), load_checkpoint(name)
    data, words = read(hub_card(card, model))
    assert (data.library_name, data.license) == ("thermotorch", "apache-2.0")
    assert data.pipeline_tag == pipeline_tag(model)
    assert {"thermotorch", "thermodynamic-computing", card["architecture"]} <= set(data.tags)
    assert words.strip().startswith(f"# {name}\n")
    assert card["notes"] in words
    found = {result.metric_name: result for result in data.eval_results or []}
    if card["data"].get("name") != "MNIST" or data.pipeline_tag is None:
        assert not found
        return
    assert data.datasets == ["mnist"]
    of_this_computer = ("time", "speed", "warm-up", "peak memory")
    expected = [
        row
        for row in card["metrics"]
        if row["kind"] == "measured" and row["num_samples"] and not row["metric"].startswith(of_this_computer)
    ]
    assert expected
    assert found.keys() == {row["metric"] for row in expected}
    for row in expected:
        result = found[row["metric"]]
        assert result.metric_value == row["value"]
        assert (result.metric_args["num_samples"], result.metric_args["seed"]) == (row["num_samples"], row["seed"])
        assert (result.dataset_name, result.dataset_type) == ("MNIST", "mnist")
        assert "fid" not in result.metric_type.split("-"), "distances in another feature space are not that"


def test_the_model_index_has_what_the_schema_asks_for():
    """task.type, dataset.type, dataset.name, metrics[type, value]; see modelcard.md in huggingface/hub-docs."""
    name = "classifier.robust"
    data, _ = read(hub_card(load_card(name), load_checkpoint(name)))
    (index,) = data.to_dict()["model-index"]
    assert index["name"] == name
    for result in index["results"]:
        assert result["task"] == {"type": "image-classification"}
        assert {"name", "type"} <= result["dataset"].keys()
        for metric in result["metrics"]:
            assert metric["type"] == metric["type"].lower()
            assert isinstance(metric["value"], float)
    accuracy = [m for r in index["results"] for m in r["metrics"] if m["type"] == "accuracy"]
    assert "test accuracy, one run" in {metric["name"] for metric in accuracy}


def test_measured_and_modelled_numbers_share_no_table():
    name = "generator.mnist"
    _, words = read(hub_card(load_card(name), load_checkpoint(name)))
    measured, _, modelled = words.partition("## Measured")[2].partition("## Modelled")
    assert "recognised fraction" in measured
    assert "generation heat" not in measured
    assert "generation heat" in modelled
    assert "recognised fraction" not in modelled
    assert "10,000" in measured
    assert "Not determined: energy drawn, CPU package (no processor energy counter" in words


def test_only_what_was_measured_on_samples_is_in_the_metadata():
    card = load_card("generator.mnist")
    measured = next(row for row in card["metrics"] if row["metric"] == "recognised fraction")
    others = [
        {**measured, "metric": "modelled", "kind": "modelled"},
        {**measured, "metric": "unavailable", "kind": "unavailable", "value": None},
        {**measured, "metric": "of the model alone", "num_samples": 0},
        {**measured, "metric": "speed", "unit": "samples per second"},
        {**measured, "metric": "peak memory", "unit": "MiB"},
    ]
    data, words = read(hub_card({**card, "metrics": [measured, *others]}, load_checkpoint("generator.mnist")))
    assert [result.metric_name for result in data.eval_results] == ["recognised fraction"]
    assert all(row["metric"] in words for row in others)


def test_licences_and_data_sets_that_the_hub_does_not_know():
    card = {**load_card("generator.mnist"), "licence": "House-1.0", "data": {"name": "Digits8x8"}}
    data, words = read(hub_card(card, load_checkpoint("generator.mnist")))
    assert (data.license, data.license_name) == ("other", "house-1.0")
    assert data.datasets is None
    assert data.eval_results is None
    assert "model_name" not in data.to_dict()
    assert "trained on Digits8x8" in words


def test_a_model_of_another_package_says_what_it_needs():
    class Foreign(nn.Module):
        """Somebody's model."""

    Foreign.__module__ = "pixel_wells.model"
    _, words = read(hub_card({**load_card("generator.mnist"), "architecture": "pixel_wells"}, Foreign()))
    assert "the package `pixel_wells`, which adds `pixel_wells` to it" in words
    assert "Somebody's model." in words


def test_what_a_model_is_for():
    assert pipeline_tag(load_checkpoint("generator.mnist")) == "unconditional-image-generation"
    assert pipeline_tag(load_checkpoint("classifier.robust")) == "image-classification"
    assert pipeline_tag(load_checkpoint("feature_net.mnist")) == "image-feature-extraction"
    assert pipeline_tag(nn.Linear(1, 1)) is None


def test_how_it_was_made_lists_what_is_known_and_a_number_its_samples_and_seed():
    class Plain(nn.Module):
        """Somebody's model.

        And more about it.
        """

    known = {"seed": 3, "kind": "measured", "command": "do"}
    card = {
        "name": "plain.x", "architecture": "plain", "parameters": 1234, "notes": "", "licence": "",
        "data": {"name": "squares", "digits": [0, 1]}, "git_revision": None, "versions": {"python": "3", "torch": "2"},
        "training": {"command": "train it", "seed": 0, "steps": 12, "seconds": 3.5, "hardware": "an abacus",
                     "note": "by hand"},
        "metrics": [{"metric": "error", "value": 0.5, "unit": "", "num_samples": 12000, "note": "of many", **known},
                    {"metric": "size", "value": 7, "unit": "pixel", "num_samples": 0, **known},
                    {"metric": "lost", "value": None, "unit": "", "num_samples": 0, **known, "kind": "unavailable"}],
        "energy": [{"metric": "heat", "value": 2.0, "unit": "kT", "num_samples": 4, **known, "kind": "modelled"}],
    }  # fmt: skip
    data, words = read(hub_card(card, Plain()))
    assert (data.license, data.license_name, data.eval_results) == ("other", "unknown", None)
    assert "A `Plain` of thermotorch, 1,234 parameters, trained on squares. Somebody's model.\n" in words
    assert "And more" not in words and "![" not in words
    assert words.partition("## How it was made\n\n")[2].splitlines() == [
        "- command: `train it`", "- seed: 0", "- steps: 12", "- seconds: 3.5", "- hardware: an abacus",
        "- data: squares, digits [0, 1]", "- note: by hand",
        "- versions: python 3, torch 2",
    ]  # fmt: skip
    rules = [line.split("|")[1:-1] for line in words.splitlines() if line.startswith("| --")]
    assert [[rule.strip().endswith(":") for rule in rules_of] for rules_of in rules] == [
        [False] * 2 + [True] * 2 + [False] * 2
    ] * 2
    bare = {**card, "training": {}, "data": {}}
    how = hub_card(bare, Plain()).partition("## How it was made\n\n")[2]
    assert how.splitlines() == ["- versions: python 3, torch 2"] and "trained on" not in hub_card(bare, Plain())
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in words.splitlines() if line[:1] == "|"]
    assert ["error", "0.5", "12,000", "3", "`do`", "of many"] in lines
    assert ["size", "7 pixel", "", "", "`do`", ""] in lines
    assert ["heat", "2 kT", "4", "3", "`do`", ""] in lines
    assert "Not determined: lost (no reason given)." in words
    assert "![Samples of plain.x](a.png)" in hub_card(card, Plain(), "a.png")


def test_a_number_in_the_metadata_keeps_all_that_is_known_of_it():
    name = "generator.mnist"
    card = load_card(name)
    (row,) = [row for row in card["metrics"] if row["metric"] == "recognised fraction"]
    full = {**row, "stderr": 0.25, "unit": "shares", "note": "of many", "seed": 0}
    data, words = read(hub_card({**card, "metrics": [full]}, load_checkpoint(name)))
    (result,) = data.eval_results
    assert result.metric_args == {key: full[key] for key in ("kind", "num_samples", "seed", "stderr", "unit", "command",
                                                             "note")}  # fmt: skip
    assert (result.metric_type, result.task_type) == ("recognised-fraction", "unconditional-image-generation")
    assert words.count("`model.safetensors` is loaded only if its sha256 is that in `config.json`.") == 1
