"""Path, then $THERMOTORCH_HOME, then the packaged checkpoints, then those of plugins."""

import shutil
from pathlib import Path

import pytest
import torch

from thermotorch.zoo import create_model, list_models, load_card, load_checkpoint, lookup, save_checkpoint
from thermotorch.zoo.lookup import (
    card_path,
    check_length,
    checkpoint_folders,
    find_checkpoint,
    hidden_checkpoints,
    is_address,
    list_checkpoints,
    packaged_folder,
)

FIELDS = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}


@pytest.fixture
def places(monkeypatch, tmp_path):
    """Return the three places, each with a model of its own width as `feature_net.shared`, and one more model."""
    folders = {name: tmp_path / name for name in ("home", "packaged", "plugin")}
    for number, (name, folder) in enumerate(folders.items(), start=1):
        for tag in ("shared", name):
            model = create_model("feature_net", image_size=8, widths=[2], num_features=number)
            save_checkpoint(model, f"feature_net.{tag}", folder, {**FIELDS, "notes": name})
    monkeypatch.setenv("THERMOTORCH_HOME", str(folders["home"]))
    monkeypatch.setattr(lookup, "packaged_folder", lambda: folders["packaged"])
    monkeypatch.setattr(lookup, "plugin_folders", lambda: (folders["plugin"],))
    return folders


def test_the_order_is_home_packaged_plugins(places, monkeypatch):
    assert checkpoint_folders() == [places["home"], places["packaged"], places["plugin"]]
    assert load_card("feature_net.shared")["notes"] == "home"
    assert create_model("feature_net.shared", pretrained=True).num_features == 1
    monkeypatch.delenv("THERMOTORCH_HOME")
    assert load_card("feature_net.shared")["notes"] == "packaged"
    (places["packaged"] / "feature_net.shared.json").unlink()
    assert load_card("feature_net.shared")["notes"] == "plugin"


def test_a_path_comes_before_every_name(places):
    path = places["plugin"] / "feature_net.shared.safetensors"
    assert create_model(path).num_features == create_model(str(path)).num_features == 3
    assert create_model("feature_net", checkpoint=path).num_features == 3
    assert create_model(path, num_classes=10).config["num_classes"] == 10
    with pytest.raises(ValueError, match="expected none beside the address"):
        create_model(path, checkpoint=path)


def test_all_places_are_listed(places):
    every = ["feature_net.home", "feature_net.packaged", "feature_net.plugin", "feature_net.shared"]
    assert list_models(pretrained=True) == list_checkpoints() == every


def test_a_card_says_where_it_is_from_and_what_it_hides(places):
    card = load_card("feature_net.shared")
    assert card.path == places["home"] / "feature_net.shared.json"
    hidden = tuple(places[name] / "feature_net.shared.safetensors" for name in ("packaged", "plugin"))
    assert card.hides == tuple(hidden_checkpoints("feature_net.shared")) == hidden
    assert load_card("feature_net.plugin").hides == ()
    assert load_card(hidden[0]).hides == (), "a path hides nothing"


def test_errors_about_a_name_in_several_places_name_them(places):
    damaged = places["home"] / "feature_net.shared.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(ValueError, match=rf"{damaged} \(which hides {places['packaged']}/.*, .*\) is truncated"):
        load_checkpoint("feature_net.shared")


def test_a_folder_in_the_form_of_the_hub_is_found_by_path_and_by_name(places, monkeypatch):
    folder = places["plugin"] / "feature_net.folder"
    folder.mkdir()
    shutil.copy(places["home"] / "feature_net.shared.json", folder / "config.json")
    shutil.copy(places["home"] / "feature_net.shared.safetensors", folder / "model.safetensors")
    for name in (folder, str(folder), f"{folder}/", folder / "model.safetensors", "feature_net.folder"):
        assert find_checkpoint(name) == folder / "model.safetensors"
        assert load_card(name).path == folder / "config.json"
        assert load_checkpoint(name).num_features == 1
    assert "feature_net.folder" in list_models(pretrained=True)
    monkeypatch.chdir(places["plugin"])
    assert create_model("./feature_net.folder").num_features == 1
    *first, last = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(bytes([*first, last ^ 1]))
    with pytest.raises(ValueError, match="was altered: its card says sha256"):
        create_model(folder)


def test_a_bare_word_is_a_name_and_never_a_folder_of_the_working_directory(places, monkeypatch, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(places["home"] / "feature_net.shared.json", folder / "config.json")
    monkeypatch.chdir(tmp_path)
    for load in (create_model, load_checkpoint):
        with pytest.raises(ValueError, match="'mine'.*; for the folder of that name write './mine'"):
            load("mine")


def test_what_is_a_path_and_what_is_a_name():
    for name in ("hf://a/b", "./x", "a/b", "x.safetensors", Path("x")):
        assert is_address(name)
    assert not is_address("generator.mnist")


def test_places_that_hold_nothing_are_named(places, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected config.json and model.safetensors in that folder"):
        find_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere.safetensors': no such file"):
        find_checkpoint("nowhere.safetensors")
    with pytest.raises(ValueError, match=r"unknown checkpoint 'feature_net.shard'; did you mean 'feature_net.shared'"):
        find_checkpoint("feature_net.shard")


def test_an_architecture_that_nothing_installed_provides(places):
    card = places["home"] / "feature_net.home.json"
    card.write_text(card.read_text().replace('"architecture": "feature_net"', '"architecture": "elsewhere"'))
    with pytest.raises(ValueError, match="unknown architecture 'elsewhere'; is the package that adds it installed?"):
        load_checkpoint("feature_net.home")


def test_weights_carry_the_framework_that_the_hub_asks_for(places):
    from safetensors import safe_open

    with safe_open(find_checkpoint("feature_net.home"), "pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert all(isinstance(file.get_tensor(key), torch.Tensor) for key in file.keys())


def test_a_home_of_no_known_user_is_named(monkeypatch):
    monkeypatch.setenv("THERMOTORCH_HOME", "~no_such_user/zoo")
    with pytest.raises(ValueError, match="THERMOTORCH_HOME: expected a path, found '~no_such_user/zoo', of no known"):
        checkpoint_folders()


def test_a_checkpoint_in_the_home_of_no_known_user_is_named():
    with pytest.raises(ValueError, match="checkpoint: expected a path, found .~no_such_user/a.safetensors."):
        find_checkpoint("~no_such_user/a.safetensors")


@pytest.mark.parametrize("name", ["x" * 5000, "feature_net." + "y" * 5000, "/" + "x" * 5000, "hf://a/" + "b" * 5000])
@pytest.mark.parametrize("as_path", [False, True])
def test_a_name_of_thousands_of_characters_is_refused_in_a_line(places, name, as_path):
    """The operating system's own error came before, with all of the name."""
    for ask in (find_checkpoint, create_model, load_card):
        with pytest.raises(ValueError, match=f"checkpoint '.*expected a name .*, found {len(name)}") as refused:
            ask(Path(name) if as_path and not name.startswith("hf") else name)
        assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("x" * 243, True),  # with .safetensors it has the 255 bytes of most file systems
        ("x" * 244, False),
        ("\u00fc" * 121, True),
        ("\u00fc" * 122, False),  # two bytes each
        ("a" * 255 + "/x", True),
        ("a" * 256 + "/x", False),
        ("a/" * 2047 + "xy", True),  # 4,096 characters
        ("a/" * 2047 + "xyz", False),
    ],
)
def test_a_name_is_as_long_as_a_file_system_takes_it(name, fits):
    for each in (name, Path(name)):
        if fits:
            assert check_length(each) == each
        else:
            with pytest.raises(ValueError, match=f"expected a name or path of fewer characters, found {len(name)}"):
                check_length(each)
    with pytest.raises(TypeError, match="name: expected a name or a path, got 3"):
        check_length(3)


def test_the_card_has_the_name_of_its_weights_or_that_of_the_hub(tmp_path):
    """A name whether or not there is such a file, since an error names what is missing."""
    assert card_path(tmp_path / "a.b.safetensors") == tmp_path / "a.b.json"
    assert card_path(tmp_path / "model.safetensors") == tmp_path / "config.json"
    (tmp_path / "model.json").touch()
    assert card_path(tmp_path / "model.safetensors") == tmp_path / "model.json"


def test_packaged_checkpoints_are_inside_an_installed_package_and_beside_it_in_a_clone(tmp_path, monkeypatch):
    monkeypatch.setattr(lookup, "__file__", str(tmp_path / "thermotorch" / "zoo" / "lookup.py"))
    assert packaged_folder() == tmp_path / "checkpoints"
    (tmp_path / "thermotorch" / "checkpoints").mkdir(parents=True)
    assert packaged_folder() == tmp_path / "thermotorch" / "checkpoints"
