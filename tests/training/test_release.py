import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

from thermotorch import cli
from thermotorch.training.release import main, release, trained_model
from thermotorch.zoo import create_model, load_card, load_checkpoint, save_checkpoint
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
    with pytest.raises(FileNotFoundError, match="run: expected a finished training run, but .*last.ckpt is missing"):
        release(tmp_path, "ddpm.trial", tmp_path)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"cos\nsystem\n(S'true'\ntR."])
def test_a_damaged_run_is_one_sentence(tmp_path, damage):
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    path.write_bytes(damage)
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged"):
        trained_model(path)
    torch.save({"state_dict": {}, "hyper_parameters": {"model": {"name": "ddpm", "config": {"image_size": "x"}}}}, path)
    with pytest.raises(ValueError, match=r"last\.ckpt holds no model of a training \("):
        trained_model(path)


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Runs the command line and returns the paths it printed."""
    monkeypatch.setenv("THERMOTORCH_HOME", str(tmp_path / "zoo"))

    def run(*arguments: object) -> list[Path]:
        monkeypatch.setattr(sys, "argv", ["release", *map(str, arguments)])
        main()
        return [Path(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_from_a_run_to_a_card_to_a_folder_for_the_hub(finished, tmp_path, command):
    """The run becomes a checkpoint, an evaluation enters its card, and the folder for the Hub holds both."""
    weights, card_file = command(finished, "ddpm.trial", "--notes", "two steps")
    assert (weights, card_file) == (tmp_path / "zoo" / "ddpm.trial.safetensors", tmp_path / "zoo" / "ddpm.trial.json")
    fields = {"value": 0.25, "unit": "", "num_samples": 8, "seed": 3, "kind": "measured", "command": "evaluate"}
    rows = {"metrics": [{"metric": "recognised fraction", **fields}], "energy": []}
    (tmp_path / "evaluation.json").write_text(json.dumps(rows))
    (tmp_path / "samples.png").write_bytes(b"picture")
    upload = tmp_path / "upload"
    arguments = ["--record", tmp_path / "evaluation.json", "--hub", upload, "ddpm.trial"]
    recorded, *written = command(*arguments, "--picture", tmp_path / "samples.png")
    assert recorded == card_file
    names = {"README.md", "config.json", "model.safetensors", "samples.png"}
    assert {path.name for path in written} == {path.name for path in upload.iterdir()} == names
    card = load_card(upload)
    assert card["metrics"] == rows["metrics"]
    assert card["notes"] == "two steps"
    readme = (upload / "README.md").read_text()
    assert re.search(r"^\| recognised fraction +\| 0.25 +\| +8 \| +3 \| `evaluate` ", readme, re.MULTILINE)
    assert "thermotorch-train experiment=ddpm_mnist" in readme
    expected = load_checkpoint(weights).generate(1, seed=3, steps=2)
    assert torch.equal(load_checkpoint(upload).generate(1, seed=3, steps=2), expected)
    for folder in (finished, tmp_path):
        assert str(folder) not in readme + (upload / "config.json").read_text(), "no machine paths"


def test_a_checkpoint_that_exists_is_written_for_the_hub(tmp_path, command):
    assert command("generator.three_digits", "--hub", tmp_path / "upload") == [
        tmp_path / "upload" / name for name in ("README.md", "config.json", "model.safetensors")
    ]


@pytest.mark.parametrize("arguments", [["ddpm.trial"], ["ddpm.trial", "--record"], []])
def test_a_command_that_cannot_mean_anything_says_what_is_missing(command, arguments, capsys):
    with pytest.raises(SystemExit):
        command(*arguments)
    assert "release: error: " in capsys.readouterr().err


def test_without_a_zoo_folder_it_asks_for_one(command, monkeypatch, capsys):
    monkeypatch.delenv("THERMOTORCH_HOME")
    with pytest.raises(SystemExit):
        command("run", "ddpm.trial")
    assert "--folder: expected the zoo folder, or set THERMOTORCH_HOME" in capsys.readouterr().err


def test_a_checkpoint_is_given_a_die(tmp_path, command):
    fields = {"data": {"name": "Digits"}, "metrics": [], "energy": [], "licence": "Apache-2.0", "notes": ""}
    config = {"image_shape": [1, 4, 4], "hidden": 3, "num_classes": 4, "t_final": 0.1, "temperature": 0.05}
    held = create_model("generator", **config)
    with torch.no_grad():
        held.potential.couplings.block("hidden", "label").copy_(torch.arange(12.0).view(3, 4) - 4)
    source, _ = save_checkpoint(held, "generator.held", tmp_path, fields | {"training": {"seed": 7}})
    command("--die", "amplitude=11,threshold=1.5", str(source), "generator.drawing", "--notes", "with a die")
    path = tmp_path / "zoo" / "generator.drawing.safetensors"
    model, card = load_checkpoint(path), load_card(path)
    assert (model.die.amplitude, model.die.threshold, model.die.classes) == (11.0, 1.5, 4)
    assert card["training"] == {"seed": 7} and card["notes"] == "with a die" and card["metrics"] == []
    labels = torch.arange(4)
    forces = (
        each.potential.gradient(each.start(4, seed=0, labels=labels))[:, : held.hidden.stop] for each in (held, model)
    )
    torch.testing.assert_close(*forces)
    command("--die", "", str(source), "generator.usual")
    assert load_checkpoint(tmp_path / "zoo" / "generator.usual.safetensors").die.amplitude == pytest.approx(
        66 * 0.05**0.5
    )


def test_the_script_of_the_clone_releases_into_its_checkpoints(tmp_path, monkeypatch, capsys):
    script = Path(__file__).resolve().parents[2] / "scripts" / "release_checkpoint.py"
    monkeypatch.setattr(sys, "argv", ["release_checkpoint.py", "spu.8cell", "--hub", str(tmp_path)])
    monkeypatch.setenv("THERMOTORCH_HOME", str(tmp_path / "another zoo"))  # which is not where a clone releases to
    runpy.run_path(str(script), run_name="__main__")
    assert str(tmp_path / "config.json") in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["release_checkpoint.py", "--help"])
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        runpy.run_path(str(script), run_name="__main__")
    told = capsys.readouterr().out
    assert str(script.parent.parent / "checkpoints") in told
    assert "\nhf upload OWNER/REPOSITORY upload\n" in told, "the commands to type stand in lines of their own"


def test_a_chain_is_put_together_of_the_stages_that_several_runs_trained(tmp_path):
    config = {
        "image_shape": [1, 2, 2], "hidden": 3, "angles": [50.0, 40.0, 20.0], "first": {"hidden": 4}, "t_stage": 0.48,
    }  # fmt: skip
    runs, states = [], []
    for number, stages in enumerate(([0], [1], [2])):
        torch.manual_seed(number)
        chain, folder = create_model("chain", **config), tmp_path / str(number)
        for parameter in chain.parameters():
            torch.nn.init.normal_(parameter)
        states.append(chain.state_dict())
        (folder / "checkpoints").mkdir(parents=True)
        (folder / ".hydra").mkdir()
        content = {
            "state_dict": {f"model.{name}": value for name, value in states[-1].items()} | {"chains": torch.zeros(1)},
            "hyper_parameters": {"model": {"name": "chain", "config": config}},
            "global_step": 7 + number,
        }
        torch.save(content, folder / "checkpoints" / "last.ckpt")
        (folder / "training.json").write_text(json.dumps({"seed": number}))
        settings = {
            "data": {"_target_": "thermotorch.training.data.Digits8x8Data", "seed": "${seed}", "batch_size": 3},
            "image_shape": [1, 2, 2], "objective": {"stages": stages}, "seed": 5,
        }  # fmt: skip
        (folder / ".hydra" / "config.yaml").write_text(json.dumps(settings))
        runs.append(folder)
    path, _ = release(runs[0], "generator.parts", tmp_path / "zoo", notes="of three", parts=runs[1:])
    for name, value in load_checkpoint(path).state_dict().items():
        source = int(name.split(".")[1]) if name.startswith("stages.") else 0
        assert torch.equal(value, states[source][name]), name
    card = load_card(path)
    assert card["training"] == {"seed": 0, "steps": 7} and card["notes"] == "of three"
    assert card["data"] == {"name": "Digits8x8", "images": "float [batch, 1, 2, 2] in [0, 1]", "seed": 5}
