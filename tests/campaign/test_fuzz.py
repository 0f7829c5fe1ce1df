"""Mutated files of every kind: each is a load, or one sentence that names the file."""

import json
import random

import pytest
import torch

from tests.campaign.processes import Child, program
from tests.evaluation.test_results import result
from thermotorch import cli
from thermotorch.evaluation.cache import ResultCache
from thermotorch.training.checkpoint_files import fault_of, readable_checkpoint
from thermotorch.training.release import trained_model
from thermotorch.zoo import create_model, load_card, load_checkpoint
from thermotorch.zoo.lookup import packaged_folder

pytestmark = pytest.mark.slow

WORDS = (
    b"null", b"1e999", b"[" * 3000, b"-1", b'"', b"\xff\xfe", b"{}", b"${", b": ", b"\n  ", b"&a *a", b"!!python/x",
)  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, removed, repeated or put in."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        place, kind = chance.randrange(len(found) or 1), chance.randrange(5)
        if kind == 0 and found:
            found[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del found[place : place + chance.choice((1, 4, 100, 10_000))]
        elif kind == 2:
            found[place:place] = found[chance.randrange(len(found) or 1) :][: chance.randrange(1, 60)]
        elif kind == 3:
            found[place:place] = chance.choice(WORDS)
        else:
            found = found[:place]
    return bytes(found)


def test_checkpoints_of_a_training(tmp_path, chance):
    """The bytes of the archive, and what its entries say."""
    model = create_model("generator", image_shape=[1, 2, 2], hidden=2, t_final=0.1, dt=0.01)
    spec = {"name": "generator", "config": model.config}
    whole = {
        "state_dict": {f"model.{name}": value for name, value in model.state_dict().items()},
        "hyper_parameters": {"model": spec, "seed": 0}, "global_step": 3, "optimizer_states": [], "epoch": 0,
    }  # fmt: skip
    path, other = tmp_path / "last.ckpt", tmp_path / "step-1.ckpt"
    torch.save(whole, other)
    data = other.read_bytes()
    for _ in range(150):
        if chance.random() < 0.7:
            path.write_bytes(mutated(data, chance))
        else:
            torch.save(spoiled(whole, chance), path)
        fault = fault_of(path)
        assert readable_checkpoint(path)[0] == (other if fault else path)
        try:
            trained_model(path)
        except ValueError as error:
            assert "last.ckpt" in str(error) and len(str(error)) < 800
        else:
            assert fault is None


def spoiled(node: object, chance: random.Random) -> object:
    """Plain nested values with one of them left out or replaced."""
    if isinstance(node, dict) and node:
        key = chance.choice(list(node))
        if chance.random() < 0.3:
            return {name: value for name, value in node.items() if name != key}
        return {**node, key: spoiled(node[key], chance)}
    return chance.choice((None, -1, "x", [], {}, float("nan"), 2**70, True, torch.zeros(2), "../../x"))


@pytest.mark.parametrize("name", ["generator.digits8x8", "classifier.robust", "gaussians.mnist", "feature_net.mnist"])
def test_cards_and_weights_that_ship(tmp_path, chance, name):
    """Cards by their bytes and by their entries; weights under the old digest."""
    weights, card = (packaged_folder() / f"{name}{suffix}" for suffix in (".safetensors", ".json"))
    path, card_file = tmp_path / weights.name, tmp_path / card.name
    data, text = weights.read_bytes(), card.read_bytes()
    for _ in range(40):
        which = chance.randrange(3)
        damaged = mutated(data, chance) if which == 0 else data
        path.write_bytes(damaged)
        card_file.write_bytes(text if which == 0 else mutated(text, chance))
        if which == 2:
            card_file.write_text(json.dumps(spoiled(json.loads(text), chance), default=str))
        try:
            load_checkpoint(path)
            load_card(path)
        except ValueError as error:
            assert type(error) is ValueError, repr(error)
            assert name in str(error) and len(str(error)) < 1000
        else:
            assert damaged == data


def test_results_in_the_cache(tmp_path, chance):
    """A damaged result counts as none."""
    cache, key, saved = ResultCache(tmp_path), {"what": "model"}, result()
    path = cache.save_result(key, saved)
    data = path.read_bytes()
    for _ in range(150):
        path.write_bytes(mutated(data, chance))
        found = cache.load_result(key)
        assert found is None or len(found.rows) == len(saved.rows)


def built(cfg) -> None:
    """Build the module and the data of a training run."""
    cli.instantiate(cfg.module)
    cli.instantiate(cfg.data)
    callbacks = [cli.instantiate(node) for node in cfg.callbacks.values() if node]
    cli.instantiate(cfg.trainer, callbacks=callbacks, logger=[])


EXPERIMENTS = ("digits8x8_generator", "feature_net", "cosine_gradient", "three_digits", "classifier_end_to_end")


@pytest.mark.parametrize("number", range(10))
def test_experiments(tmp_path, chance, number):
    """Mutated lines of a shipped experiment, found on the search path: it is built, or refused without a traceback."""
    source = cli.CONFIG_DIR / "experiment" / f"{chance.choice(EXPERIMENTS)}.yaml"
    attack = tmp_path / "found" / "experiment" / "attack.yaml"
    attack.parent.mkdir(parents=True)
    head, _, body = source.read_bytes().partition(b"\n")
    attack.write_bytes(head + b"\n" + mutated(body, chance))

    def run() -> None:
        cli._main(built, "train")

    arguments = ["experiment=attack", "data=digits8x8", "debug=fast", f"hydra.searchpath=[file://{tmp_path}/found]"]
    child = Child(program(run, *arguments), tmp_path / "run")
    status = child.wait()
    said, shown = child.output.read_text(errors="replace"), attack.read_text(errors="replace")
    assert status in (0, 1), f"{status}\n{shown}\n{said}"
    assert "Traceback" not in said, f"{shown}\n{said}"
    assert status == 0 or said.strip(), shown
    assert not [path for path in tmp_path.iterdir() if path.name not in ("found", "run", "run.output")]
