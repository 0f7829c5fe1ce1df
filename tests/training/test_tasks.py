from types import SimpleNamespace

import pytest
import torch
from torch import nn

from thermotorch.evaluation import Protocol
from thermotorch.training import tasks
from thermotorch.training.data import Digits8x8Data
from thermotorch.training.tasks import TASKS, run, save_figures_of
from thermotorch.zoo import create_model


def test_only_a_thermodynamic_generator_has_figures(tmp_path):
    with pytest.raises(ValueError, match="figures: expected a thermodynamic generator, found 'ddpm.mnist', a Identity"):
        save_figures_of("ddpm.mnist", nn.Identity(), tmp_path / "figures", seed=0, data_dir="no data")
    assert not list(tmp_path.iterdir())


def test_the_task_is_the_one_asked_for_or_else_the_models_own(monkeypatch):
    calls = []
    for name in ("generate", "invert"):
        monkeypatch.setitem(TASKS, name, lambda *_, name=name: (calls.append(name) or {"settings of": name}, []))
    model = nn.Identity()
    assert run({"task": None}, model, "", print) == ("generate", {"settings of": "generate"}, [])
    model.task = "invert"
    assert run({"task": None}, model, "", print)[0] == "invert"
    assert run({"task": "generate"}, model, "", print)[0] == "generate"
    assert calls == ["generate", "invert", "generate"]
    with pytest.raises(ValueError, match="unknown task 'inverte'; did you mean 'invert'"):
        run({"task": "inverte"}, model, "", print)


def test_a_model_that_makes_no_images_is_not_asked_for_them():
    settings = {"task": "generate", "model": "feature_net.mnist", "protocol": {}}
    with pytest.raises(ValueError, match="feature_net.mnist makes no images; it is a judge: judge=feature_net.mnist"):
        run(settings, nn.Linear(1, 1), "", print)


@pytest.mark.parametrize(("normalisation", "there"), [("per_image", True), ("per_image", False), ("unit", True)])
def test_figures_show_the_noising_of_the_first_training_images_where_there_are_some(
    normalisation, there, monkeypatch, tmp_path
):
    """Normalised as in training, without those that are on no machine or that were trained on otherwise."""
    model, asked = create_model("generator", image_shape=[1, 8, 8], hidden=3), []
    card = {"data": {"name": "Digits8x8", "normalisation": normalisation, "digits": [3, 5]}}
    monkeypatch.setattr(tasks, "load_card", lambda name: card if name == "a name" else None)
    monkeypatch.setattr(tasks, "save_figures", lambda *given, **options: asked.append((given, options)) or iter("ab"))
    if there:
        (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    assert save_figures_of("a name", model, tmp_path / "figures", seed=7, data_dir=str(tmp_path)) == ["a", "b"]
    (((made, folder), options),) = asked
    assert made is model and folder == tmp_path / "figures" and options["seed"] == 7
    if normalisation == "unit" or not there:
        assert options["pixels"] is None
        return
    pixels = Digits8x8Data(digits=[3, 5]).train_images()[0][:10].flatten(1)
    expected = (pixels - pixels.mean(1, keepdim=True)) / pixels.std(1, correction=0, keepdim=True)
    torch.testing.assert_close(options["pixels"], expected, rtol=1e-4, atol=1e-5)


def test_images_are_evaluated_by_the_protocol_and_their_ledgers_are_written(monkeypatch, tmp_path, capsys):
    model, asked = create_model("generator", image_shape=[1, 2, 2], hidden=3), []
    space = SimpleNamespace(to=lambda device: f"{device} judge")
    monkeypatch.setattr(tasks.FeatureSpace, "from_zoo", lambda judge: asked.append(judge) or space)
    monkeypatch.setattr(tasks, "known_images", lambda name, folder: f"images of {name} in {folder}")
    result = SimpleNamespace(ledgers="ledgers", rows=["row"])
    monkeypatch.setattr(tasks, "evaluate", lambda *given, **options: asked.append((given, options)) or result)
    monkeypatch.setattr(tasks, "ledgers_text", lambda ledgers: f"text of {ledgers}")
    monkeypatch.setattr(tasks, "ledgers_tables", lambda ledgers: f"tables of {ledgers}")
    settings = {
        "task": None, "model": "a name", "judge": "a judge", "data_dir": "there", "output_dir": str(tmp_path),
        "protocol": {"num_samples": 200, "seed": 3},
    }  # fmt: skip
    task, said, rows = run(settings, model, "as typed", print)
    protocol = Protocol(num_samples=200, seed=3)
    assert (task, said, rows) == ("generate", protocol.to_dict(), ["row"])
    judge, (given, options) = asked
    assert judge == "a judge" and given == ("a name", model, protocol, "cpu judge")
    assert options == {"known": "images of a name in there", "command": "as typed", "progress": print}
    assert (tmp_path / "energy.md").read_text() == "text of ledgers"
    assert capsys.readouterr().out == f"\ntables of ledgers\n{tmp_path / 'energy.md'}\n"


def test_linear_algebra_takes_its_own_settings_and_says_what_it_wrote(monkeypatch, tmp_path, capsys):
    asked, titled = [], []

    def computed(task, model, settings, command, progress):
        progress(1, 2)
        asked.append((task, model, settings, command))
        return SimpleNamespace(rows=["row"])

    monkeypatch.setattr(tasks, "run_task", computed)
    monkeypatch.setattr(tasks, "write_task", lambda task, result, folder: [task, folder])
    settings = {"task": "scaling", "output_dir": str(tmp_path), "scaling": {"sizes": [2]}, "invert": {"reads": 3}}
    model = nn.Identity()
    found = run(settings, model, "as typed", lambda *given: titled.append(given))
    assert found == ("scaling", {"sizes": [2]}, ["row"])
    assert asked == [("scaling", model, {"sizes": [2]}, "as typed")] and titled == [("scaling", 1, 2)]
    assert capsys.readouterr().out == f"scaling\n{tmp_path}\n"


def test_only_a_thermodynamic_classifier_is_put_to_test_images():
    with pytest.raises(ValueError, match="model: expected a thermodynamic classifier, found a Identity"):
        run({"task": "classify", "classification": {}}, nn.Identity(), "", print)
