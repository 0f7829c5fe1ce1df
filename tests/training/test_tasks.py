import pytest
from torch import nn

from thermotorch.training.tasks import TASKS, run, save_figures_of


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
