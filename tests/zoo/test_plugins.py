"""Checkpoints of other packages are found without importing them."""

import importlib.metadata
import sys
from importlib.metadata import EntryPoint

import pytest

from thermotorch.zoo import plugins, registry
from thermotorch.zoo.lookup import checkpoint_folders
from thermotorch.zoo.plugins import plugin_folders, plugin_packages


@pytest.fixture(autouse=True)
def installed(monkeypatch, tmp_path):
    """Put a package that cannot be imported on the path, and return a function that announces entry points."""
    package = tmp_path / "weights_of_somebody"
    (package / "trained").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "shared_name" / "part").mkdir(parents=True)  # no __init__.py: a namespace package
    monkeypatch.syspath_prepend(tmp_path)
    table = {plugins.MODELS: [], plugins.CHECKPOINTS: []}
    monkeypatch.setattr(plugins, "entry_points", lambda group: table[group])
    for cached in (plugins.announced, plugin_folders):
        cached.cache_clear()

    def announce(group, name, value):
        table[group].append(EntryPoint(name, value, group))

    yield announce
    for cached in (plugins.announced, plugin_folders):
        cached.cache_clear()


def test_a_package_ships_a_folder_of_checkpoints(installed, tmp_path):
    installed(plugins.CHECKPOINTS, "theirs", "weights_of_somebody.trained")
    assert plugin_folders() == (tmp_path / "weights_of_somebody" / "trained",)
    assert checkpoint_folders()[-1] == tmp_path / "weights_of_somebody" / "trained"
    assert "weights_of_somebody" not in sys.modules


@pytest.mark.parametrize("value", ["weights_of_somebody.nowhere", "no_such_package.trained", "not a name!", ""])
def test_a_folder_that_is_not_there_warns_and_is_left_out(installed, tmp_path, value):
    installed(plugins.CHECKPOINTS, "b", "weights_of_somebody.trained")
    installed(plugins.CHECKPOINTS, "a", value)
    with pytest.warns(UserWarning, match=rf"plugin '{value}' .*announces checkpoints, but there is no folder"):
        assert plugin_folders() == (tmp_path / "weights_of_somebody" / "trained",)


def test_folders_come_in_the_order_of_their_names(installed, tmp_path):
    installed(plugins.CHECKPOINTS, "b", "shared_name.part")
    installed(plugins.CHECKPOINTS, "a", "weights_of_somebody.trained")
    assert [folder.name for folder in plugin_folders()] == ["trained", "part"]


def test_packages_that_announce_themselves_are_known_by_their_own_name_alone(installed):
    assert plugin_packages() == ()
    installed(plugins.MODELS, "one", "weights_of_somebody.deep.module:Model")
    plugins.announced.cache_clear()
    assert plugin_packages() == ("weights_of_somebody",)
    installed(plugins.CHECKPOINTS, "two", "shared_name.part")
    plugins.announced.cache_clear()
    assert plugin_packages() == ("shared_name.part", "weights_of_somebody")  # not everybody's `shared_name`


def test_damaged_metadata_of_one_package_leave_our_own_models(tmp_path, monkeypatch):
    metadata = tmp_path / "half_written-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: half_written\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[thermotorch.models]\nno equals sign\n")
    monkeypatch.setattr(plugins, "entry_points", importlib.metadata.entry_points)
    monkeypatch.setattr(registry, "_plugins_found", False)
    with pytest.warns(UserWarning, match="no plugins: the entry points of package half_written cannot be read"):
        assert "generator" in registry.architectures()
