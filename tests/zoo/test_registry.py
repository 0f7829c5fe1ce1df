import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from torch import nn

from thermotorch.zoo import registry
from thermotorch.zoo.registry import architecture, architectures, build_model, register_model


class Doubler(nn.Module):
    def __init__(self, width: int = 3, bias: bool = True) -> None:
        super().__init__()
        self.config = {"width": width, "bias": bias}
        self.linear = nn.Linear(width, 2 * width, bias=bias)


@pytest.fixture(autouse=True)
def own_table(monkeypatch):
    """Each test changes a copy of the table of architectures, without the plugins of this environment."""
    monkeypatch.setattr(registry, "_architectures", dict(registry._architectures))
    monkeypatch.setattr(registry, "_plugins_found", True)


def test_the_built_in_architectures_are_listed():
    assert {"ddpm", "feature_net", "generator"} <= set(architectures())


def test_a_registered_class_is_built_from_its_config():
    register_model("doubler")(Doubler)
    model = build_model("doubler", {"width": 5})
    assert model.linear.weight.shape == (10, 5)
    assert build_model("doubler", model.config).config == model.config


def test_a_duplicate_raises_and_names_both_places():
    register_model("doubler")(Doubler)
    with pytest.raises(ValueError, match=r"test_registry\.Doubler is already registered by .*test_registry\.Doubler"):
        register_model("doubler")(Doubler)
    with pytest.raises(ValueError, match=r"already registered by thermotorch\.models\.generator"):
        register_model("generator")(Doubler)


def test_override_replaces():
    register_model("generator", override=True)(Doubler)
    assert architecture("generator") is Doubler


@pytest.mark.parametrize("name", ["", "generator.three_digits"])
def test_a_name_with_a_tag_cannot_be_registered(name):
    with pytest.raises(ValueError, match="without a dot"):
        register_model(name)


def test_an_unknown_architecture_lists_the_close_matches():
    with pytest.raises(ValueError, match="unknown architecture 'genrator'; did you mean 'generator'"):
        architecture("genrator")
    with pytest.raises(ValueError, match="known: .*feature_net"):
        architecture("zzz")


def test_an_unknown_argument_lists_the_close_matches():
    register_model("doubler")(Doubler)
    with pytest.raises(TypeError, match=r"'widht'; did you mean 'width'"):
        build_model("doubler", {"widht": 5})


def test_another_package_adds_an_architecture_without_being_imported(monkeypatch):
    plugin = EntryPoint("tripler", f"{__name__}:Doubler", "thermotorch.models")
    monkeypatch.setattr(registry, "entry_points", lambda group: [plugin] if group == plugin.group else [])
    monkeypatch.setattr(registry, "_plugins_found", False)
    assert "tripler" in architectures()
    assert architecture("tripler") is Doubler


def test_a_plugin_that_cannot_be_loaded_names_itself_and_harms_nobody_else(monkeypatch):
    plugins = [EntryPoint("broken", "no_such_package:Model", "thermotorch.models")]
    monkeypatch.setattr(registry, "entry_points", lambda group: plugins)
    monkeypatch.setattr(registry, "_plugins_found", False)
    assert {"broken", "generator"} <= set(architectures())
    with pytest.raises(ImportError, match="plugin 'no_such_package:Model'"):
        architecture("broken")


def test_a_plugin_under_a_taken_name_is_ignored_with_a_warning(monkeypatch):
    plugins = [EntryPoint("generator", "other_package:Model", "thermotorch.models")]
    monkeypatch.setattr(registry, "entry_points", lambda group: plugins)
    monkeypatch.setattr(registry, "_plugins_found", False)
    with pytest.warns(UserWarning, match="'other_package:Model' .* is ignored"):
        assert "generator" in architectures()
    assert registry._architectures["generator"] is not plugins[0]


def test_the_zoo_imports_no_model():
    program = (
        "import sys, thermotorch.zoo as z; z.list_models(); sys.exit('thermotorch.models.diffusion' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
