import inspect
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import torch
from torch import nn

from thermotorch.zoo import plugins, registry
from thermotorch.zoo.registry import architecture, architectures, build_model, build_within, register_model


class Doubler(nn.Module):
    def __init__(self, width: int = 3, bias: bool = True) -> None:
        super().__init__()
        self.config = {"width": width, "bias": bias}
        self.linear = nn.Linear(width, 2 * width, bias=bias)


@pytest.fixture(autouse=True)
def own_table(monkeypatch):
    """Give each test a copy of the table of architectures, without the plugins of this environment."""
    monkeypatch.setattr(registry, "_architectures", dict(registry._architectures))
    monkeypatch.setattr(registry, "_plugins_found", True)


def test_the_built_in_architectures_are_listed():
    assert {"ddpm", "feature_net", "generator"} <= set(architectures())


def test_models_of_images_are_by_default_for_mnist():
    """One channel of 28 x 28 pixels, and ten classes or none."""
    defaults = {
        name: {key: value.default for key, value in inspect.signature(architecture(name)).parameters.items()}
        for name in architectures()
    }
    by_size = {
        name: (found["channels"], found["image_size"]) for name, found in defaults.items() if "channels" in found
    }
    assert by_size == dict.fromkeys(("ddpm", "feature_net", "flow"), (1, 28))
    by_shape = {name: found["image_shape"] for name, found in defaults.items() if "image_shape" in found}
    assert by_shape == dict.fromkeys(
        ("chain", "classifier", "gaussians", "generator", "rbm", "thermo_conv"), (1, 28, 28)
    )
    for name, found in defaults.items():
        unconditional = name in ("ddpm", "flow", "generator")
        assert found.get("num_classes") in ((0,) if unconditional else (10, None)), name


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


@pytest.fixture
def installed(monkeypatch):
    """Return a function that sets the entry points of other packages, name = value."""

    def install(**values: str) -> None:
        found = tuple(EntryPoint(name, value, plugins.MODELS) for name, value in values.items())
        monkeypatch.setattr(plugins, "announced", lambda group: found if group == plugins.MODELS else ())
        monkeypatch.setattr(registry, "_plugins_found", False)

    return install


def test_another_package_adds_an_architecture_without_being_imported(installed, monkeypatch):
    installed(tripler=f"{__name__}:Doubler")
    monkeypatch.setattr(EntryPoint, "load", lambda plugin: pytest.fail("loaded"))
    assert "tripler" in architectures()


def test_a_plugin_is_loaded_when_its_name_is_looked_up(installed):
    installed(tripler=f"{__name__}:Doubler")
    assert architecture("tripler") is Doubler
    assert build_model("tripler", {"width": 2}).linear.weight.shape == (4, 2)


def test_a_plugin_without_its_package_warns_and_harms_nobody_else(installed):
    installed(broken="no_such_package:Model", tripler=f"{__name__}:Doubler")
    with pytest.warns(UserWarning, match="plugin 'no_such_package:Model' .*cannot be loaded"):
        assert {"broken", "generator", "tripler"} <= set(architectures())
    assert build_model("tripler", {}).config["width"] == 3
    with pytest.raises(ImportError, match=r"'broken' of plugin 'no_such_package:Model' .*No module named"):
        architecture("broken")


def test_a_plugin_that_fails_at_import_names_itself(installed, tmp_path, monkeypatch):
    (tmp_path / "half_a_package.py").write_text("raise RuntimeError('not today')")
    monkeypatch.syspath_prepend(tmp_path)
    installed(broken="half_a_package:Model", tripler=f"{__name__}:Doubler")
    with pytest.raises(ImportError, match="plugin 'half_a_package:Model' .* cannot be loaded: RuntimeError: not today"):
        architecture("broken")
    assert architecture("tripler") is Doubler
    assert architecture("generator")


def test_an_entry_point_that_names_a_module_says_what_to_write(installed):
    installed(tripler=__name__)
    with pytest.raises(ImportError, match="is a module; its entry point should name a class: tripler = 'package"):
        architecture("tripler")


def test_an_announced_class_may_also_be_decorated(installed):
    installed(doubler=f"{__name__}:Doubler")
    register_model("doubler")(Doubler)
    assert architecture("doubler") is Doubler
    installed(tripler=f"{__name__}:Other")
    with pytest.raises(ValueError, match="already registered by plugin"):
        register_model("tripler")(Doubler)


@pytest.mark.parametrize("name", ["generator", "a.tag"])
def test_a_plugin_whose_name_cannot_be_used_is_ignored_with_a_warning(installed, name):
    installed(**{name: "other_package:Model"})
    with pytest.warns(UserWarning, match="'other_package:Model' .* is ignored"):
        assert "generator" in architectures()
    assert "a.tag" not in architectures()
    assert architecture("generator").__module__ == "thermotorch.models.generator.machine"


def test_the_zoo_imports_no_model():
    program = "import sys, thermotorch.zoo as z; z.list_models(); "
    program += "sys.exit('thermotorch.models.baselines.diffusion' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class Sized(nn.Module):
    """So many tensors of so many elements, which are not kept."""

    def __init__(self, elements: int, tensors: int = 1) -> None:
        super().__init__()
        for _ in range(tensors):
            torch.empty(elements, device="meta")


def test_a_model_has_at_most_eight_times_the_elements_of_its_weights_and_four_million():
    """And a hundred times their number of tensors, and ten thousand."""
    register_model("sized")(Sized)
    weights = {"a": torch.zeros(3), "b": torch.zeros(2, 4)}
    most = 8 * 11 + 2**22
    assert isinstance(build_within(weights, "sized", {"elements": most}), Sized)
    assert isinstance(build_within(weights, "sized", {"elements": 1, "tensors": 10_200}), Sized)
    for config in (
        {"elements": most + 1},
        {"elements": 1, "tensors": 10_201},
        {"elements": most // 2 + 1, "tensors": 2},
    ):
        with pytest.raises(ValueError, match="asks for a model much larger than its weights"):
            build_within(weights, "sized", config)
    with pytest.raises(TypeError, match="unknown argument of architecture 'sized': 'element'"):
        build_within(weights, "sized", {"element": 1})
