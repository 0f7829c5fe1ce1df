"""Scripts that make shipped models: the board is what its script makes, and the judge is judged as its card says."""

import json
from types import SimpleNamespace

import pytest
import torch

from scripts import release_feature_net, release_spu
from tests.evaluation.stand_ins import CLASSES, Judge, feature_space, noise
from thermotorch.evaluation import Protocol, Row
from thermotorch.evaluation.metrics import METRICS
from thermotorch.evaluation.quality.recognition import class_probabilities, recognised_fraction
from thermotorch.zoo import load_card, load_checkpoint


def test_the_shipped_board_is_what_its_script_makes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["release_spu.py", "--folder", str(tmp_path)])
    release_spu.main()
    made, shipped = load_card(tmp_path / "spu.8cell.safetensors"), load_card("spu.8cell")
    same = ("name", "architecture", "config", "parameters", "data", "licence")
    assert {key: made[key] for key in same} == {key: shipped[key] for key in same}
    assert made["notes"].startswith(shipped["notes"][:200])
    weights, expected = (
        load_checkpoint(path).state_dict() for path in (made.path.with_suffix(".safetensors"), "spu.8cell")
    )
    assert weights.keys() == expected.keys() and all(torch.equal(weights[key], expected[key]) for key in weights)
    training = {key: made["training"][key] for key in ("command", "experiment", "seed", "steps", "seconds")}
    assert training == {key: shipped["training"][key] for key in training}
    assert capsys.readouterr().out.split() == [str(tmp_path / f"spu.8cell.{end}") for end in ("safetensors", "json")]


class Data:
    """Eighty test images and labels of which three in four are those that the judge sees; others to train on."""

    def __init__(self, judge: Judge) -> None:
        self.images = noise(80, 1)
        seen = judge(self.images).argmax(1)
        self.labels = torch.where(torch.arange(80) % 4 == 0, (seen + 1) % CLASSES, seen)

    def setup(self) -> None:
        self.ready = True

    def test_images(self):
        return self.images, self.labels

    def train_images(self):
        return noise(1500, 2).square(), torch.zeros(1500)

    def val_dataloader(self):
        return [[{"image": part} for part in noise(1200, 3).split(500)]]


def test_the_judge_s_rows_are_its_accuracy_and_the_scores_of_images_it_has_seen_and_has_not(monkeypatch):
    space, judge, asked = feature_space(1300), Judge(), []
    data = Data(judge)

    def scores(judged, metrics, name, command, note):
        asked.append((judged, metrics, name, command, note))
        return [Row("distance", 2.0, "m", len(judged.features), 0, "measured", 0.5, command, note, 1.0, 3.0)]

    monkeypatch.setattr(release_feature_net, "metric_rows", scores)
    accuracy, recognised, *distances = release_feature_net.rows(space, data, "typed")
    right = (class_probabilities(judge, data.images).argmax(1) == data.labels).double()
    assert (accuracy.metric, accuracy.value) == ("test accuracy", 0.75)
    assert accuracy.stderr == pytest.approx(right.std().item() / 80**0.5)
    assert (accuracy.num_samples, accuracy.seed, accuracy.kind, accuracy.command) == (80, 0, "measured", "typed")
    expected = recognised_fraction(class_probabilities(judge, data.images))
    assert recognised.metric == "recognised fraction of real images"
    assert (recognised.value, recognised.stderr, recognised.num_samples) == (*expected, 80)
    assert recognised.note == "confidence at least 0.9"
    kinds = {"training images it has seen": data.train_images()[0], "validation images": noise(1200, 3)}
    for (what, images), row, (judged, metrics, *words) in zip(kinds.items(), distances, asked, strict=True):
        assert torch.equal(judged.features, judge.features(images)) and judged.reference is space.reference
        assert judged.protocol == Protocol(num_samples=len(images), seed=0, kernel_subset_size=1000)
        note = f"{len(images):,} {what} against 1,300 test images"
        assert metrics is METRICS and words == [space.name, "typed", note]
        name = f"distance of real {what}"
        assert row == Row(name, 2.0, "m", len(images), 0, "measured", 0.5, "typed", note, 1.0, 3.0)


def test_a_judge_is_released_in_the_unit_of_its_features_with_the_test_images_as_its_reference(monkeypatch, tmp_path):
    judge, calls = Judge(), {}
    data = Data(judge)
    judge.divide_features = lambda unit: calls.update(unit=unit)
    held = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "", "notes": "", "sha256": "more"}
    weights = tmp_path / "a.safetensors"

    def made(folder, **settings):
        calls["data"] = (folder, settings)
        return data

    monkeypatch.setattr(release_feature_net, "MNISTData", made)
    monkeypatch.setattr(
        release_feature_net,
        "release",
        lambda *given, notes: calls.update(released=given, notes=notes) or (weights, None),
    )
    monkeypatch.setattr(release_feature_net, "load_checkpoint", lambda path: judge)
    monkeypatch.setattr(release_feature_net, "load_card", lambda path: held)
    monkeypatch.setattr(release_feature_net, "save_checkpoint", lambda *given: calls.update(saved=given))
    monkeypatch.setattr(release_feature_net, "save_reference", lambda path, kept: calls.update(reference=(path, kept)))
    found = SimpleNamespace(to_dict=lambda: {"metric": "it"})
    monkeypatch.setattr(release_feature_net, "rows", lambda *given: calls.update(rows=given) or [found])
    monkeypatch.setattr(release_feature_net, "record_rows", lambda path, metrics: (path, metrics))
    monkeypatch.setattr("sys.argv", ["x", "a run", "feature_net.a", "--data-dir", "there", "--folder", str(tmp_path)])
    release_feature_net.main()
    assert calls["data"] == ("there", {"val_size": 5000, "seed": 0, "download": False}) and data.ready
    assert [str(each) for each in calls["released"]] == ["a run", "feature_net.a", str(tmp_path)]
    unit = judge.features(data.train_images()[0]).square().mean().sqrt().item()
    assert calls["unit"] == pytest.approx(unit)
    assert calls["saved"][1:3] == ("feature_net.a", tmp_path) and "sha256" not in calls["saved"][3]
    path, reference = calls["reference"]
    assert path == weights and reference.keys() == {"features", "labels", "pixel_mean"}
    assert torch.equal(reference["features"], judge.features(data.images).half())
    assert torch.equal(reference["labels"], data.labels.to(torch.uint8))
    assert torch.equal(reference["pixel_mean"], data.images.mean(0))
    space, given, command = calls["rows"]
    assert (space.name, given, command) == (
        "thermotorch-mnist-v1", data, "python scripts/release_feature_net.py RUN feature_net.a",
    )  # fmt: skip
    assert torch.equal(space.reference, reference["features"].float())


def test_the_shipped_judge_has_the_rows_of_its_script():
    card = load_card("feature_net.mnist")
    metrics = [row["metric"] for row in card["metrics"]]
    for what in ("training images it has seen", "validation images"):
        assert f"Frechet distance (thermotorch-mnist-v1) of real {what}" in metrics
    assert card["notes"] == release_feature_net.NOTES and json.dumps(card["metrics"]).count("RUN feature_net.mnist")
