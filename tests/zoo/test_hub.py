"""`hf://owner/repository`, with a stand-in for the Hub's client; and the client itself without a network."""

import sys
from types import SimpleNamespace

import pytest
import torch

from thermotorch.zoo import create_model, load_card, load_checkpoint, lookup, save_checkpoint
from thermotorch.zoo.lookup import download

FIELDS = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}


@pytest.fixture(autouse=True)
def forget():
    download.cache_clear()
    yield
    download.cache_clear()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Return a repository in the Hub's cache, and the calls of a stand-in client."""
    model = create_model("feature_net", image_size=8, widths=[2])
    weights, card = save_checkpoint(model, "feature_net.x", tmp_path, FIELDS)
    folder = tmp_path / "snapshot"
    folder.mkdir()
    weights.rename(folder / "model.safetensors")
    card.rename(folder / "config.json")
    calls = []

    def snapshot_download(repository, **arguments):
        calls.append((repository, arguments))
        return str(folder)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    return folder, calls


def test_an_address_is_a_model(repository):
    folder, calls = repository
    model = create_model("hf://somebody/small-net@v1.0", num_classes=10)
    assert model.config["widths"] == [2]
    assert not model.training
    (call,) = calls
    assert call == ("somebody/small-net", {"revision": "v1.0", "allow_patterns": ["*.json", "*.safetensors"]})
    assert load_card("hf://somebody/small-net@v1.0").path == folder / "config.json"
    assert len(calls) == 1, "one process, one revision"


def test_without_a_revision_the_default_branch_is_asked_for(repository):
    load_checkpoint("hf://somebody/net", expect="feature_net")
    assert repository[1][0][1]["revision"] is None
    with pytest.raises(ValueError, match="expected architecture 'ddpm', found 'feature_net'"):
        create_model("ddpm", checkpoint="hf://somebody/net")


def test_weights_from_the_hub_are_checked_like_any_others(repository):
    weights = repository[0] / "model.safetensors"
    *first, last = weights.read_bytes()
    weights.write_bytes(bytes([*first, last ^ 1]))
    with pytest.raises(ValueError, match="was altered"):
        create_model("hf://somebody/net")


@pytest.mark.parametrize("address", ["hf://net", "hf://a/b/c", "hf://a/b@", "hf:///b", "hf://a/b@v 1"])
def test_addresses_that_cannot_exist_are_refused_before_asking(address, repository):
    with pytest.raises(ValueError, match=r"expected hf://owner/repository or hf://owner/repository@revision"):
        create_model(address)
    assert repository[1] == []


def test_without_a_network_the_error_says_what_to_do(monkeypatch, tmp_path):
    """The real client, told to stay offline, with an empty cache."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        create_model("hf://somebody/net@v1")
    message = str(caught.value)
    assert message.startswith("checkpoint 'hf://somebody/net@v1' is not in the Hub's cache and could not be")
    assert "`hf download somebody/net --revision v1 --local-dir FOLDER`" in message
    assert lookup.download.cache_info().currsize == 0, "a failure is not remembered"


def test_the_real_client_finds_what_is_in_its_cache(tmp_path, monkeypatch):
    """A repository as the client itself lays it out: references, snapshots of links, blobs."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789" * 4
    repository = tmp_path / "models--somebody--net"
    snapshot, blobs, references = repository / "snapshots" / commit, repository / "blobs", repository / "refs"
    for folder in (snapshot, blobs, references):
        folder.mkdir(parents=True)
    (references / "main").write_text(commit)
    model = create_model("feature_net", image_size=8, widths=[2])
    files = save_checkpoint(model, "feature_net.x", blobs, FIELDS)
    for file, name in zip(files, ("model.safetensors", "config.json"), strict=True):
        (snapshot / name).symlink_to(file)
    for address in ("hf://somebody/net", "hf://somebody/net@main", f"hf://somebody/net@{commit}"):
        assert load_card(address).path == snapshot / "config.json"
        found = create_model(address).state_dict()
        assert all(torch.equal(found[key], value) for key, value in model.state_dict().items())
