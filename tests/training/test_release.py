import sys

import pytest
import torch

from thermotorch import cli
from thermotorch.training.release import release, trained_model
from thermotorch.zoo import load_card, load_checkpoint
from thermotorch.zoo.cards import check_card

RUN = ["experiment=ddpm_mnist", "data=digits8x8", "debug=fast", "+model.config.block_out_channels=[8,8]"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run of two steps that averages its weights."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        arguments = [*RUN, "trainer.max_steps=2", "~callbacks.sample_grid", f"hydra.run.dir={folder}"]
        patch.setattr(sys, "argv", ["thermotorch-train", *arguments])
        cli.train_main()
    return folder


def test_a_release_is_the_averaged_model_with_a_complete_card(finished, tmp_path):
    weights, _ = release(finished, "ddpm.trial", tmp_path, notes="two steps")
    card = load_card(weights)
    check_card(card)
    assert card["training"]["experiment"] == "ddpm_mnist"
    assert card["training"]["steps"] == 2
    assert card["training"]["command"].startswith("thermotorch-train experiment=ddpm_mnist data=digits8x8")
    assert card["training"]["hyper_parameters"]["model"]["config"]["image_size"] == 8
    assert card["data"]["name"] == "Digits8x8"
    assert card["data"]["seed"] == 0  # resolved: it decides which images a run keeps for validation
    assert str(finished) not in weights.with_suffix(".json").read_text(), "no machine paths in a card"
    loaded = load_checkpoint(weights)
    checkpoint = torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)
    averaged, live = checkpoint["state_dict"], checkpoint["current_model_state"]
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, averaged[f"model.{name}"])
    assert any(not torch.equal(value, live[f"model.{name}"]) for name, value in loaded.state_dict().items())


def test_the_released_model_generates_what_the_run_would(finished, tmp_path):
    weights, _ = release(finished, "ddpm.trial", tmp_path)
    arguments = {"seed": 3, "steps": 2}
    expected = trained_model(finished / "checkpoints" / "last.ckpt").generate(2, **arguments)
    assert torch.equal(load_checkpoint(weights).generate(2, **arguments), expected)


def test_a_run_of_another_architecture_is_refused(finished, tmp_path):
    with pytest.raises(TypeError, match="expected a ThermodynamicGenerator for 'generator.trial', found a Diffusion"):
        release(finished, "generator.trial", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_has_not_finished_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="last.ckpt is missing, so this is no finished training run"):
        release(tmp_path, "ddpm.trial", tmp_path)
