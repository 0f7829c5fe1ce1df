import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tests.evaluation.stand_ins import Device, Digital, feature_space
from tests.evaluation.test_results import result
from thermotorch.evaluation import Protocol
from thermotorch.evaluation.cache import ResultCache, code_digest, real_key, result_key, results_folder
from thermotorch.evaluation.entries import Entry
from thermotorch.models.generator.machine import ThermodynamicGenerator

KEY = {"what": "model", "protocol": {"num_samples": 3}}
PROTOCOL = Protocol(num_samples=40, kernel_subset_size=20)


def key_of(model=None, weights="abc", hardware="an abacus", name="digital", judge="def", **protocol):
    entry = Entry("its label", name, model or Digital(), replace(PROTOCOL, **protocol))
    return result_key(entry, weights, replace(feature_space(), sha256=judge), hardware)


def test_a_result_comes_back_under_its_key_alone(tmp_path):
    cache, saved = ResultCache(tmp_path / "made"), result()
    assert cache.load_result(KEY) is None
    path = cache.save_result(KEY, saved)
    found = cache.load_result(dict(reversed(KEY.items())))
    assert (found.rows, found.ledgers, found.curve, found.date) == (saved.rows, saved.ledgers, saved.curve, saved.date)
    assert torch.equal(found.strip, saved.strip)
    assert cache.load_result({**KEY, "what": "else"}) is None
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["key"]) == KEY
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_used_costs_no_result(tmp_path, caplog, monkeypatch):
    """Hours of measurement came to an end in the error of a cache."""
    (tmp_path / "taken").write_text("not a folder")
    cache = ResultCache(tmp_path / "taken")
    cache.save_result(KEY, result())
    assert "cannot be written, so the result is not kept" in caplog.text

    def forbidden(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", forbidden)
    assert cache.load_result(KEY) is None
    assert "cannot be read and is measured again" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "other"}, {"hardware": "a slide rule"}, {"judge": "other"}, {"num_samples": 41}, {"seed": 1},
        {"sampler": "ddim"}, {"steps": 3}, {"batch_size": 3}, {"neighbours": 2}, {"curve_points": 0},
    ],
)  # fmt: skip
def test_the_key_holds_all_that_the_numbers_depend_on(change):
    assert key_of(**change) != key_of()
    assert json.loads(json.dumps(key_of())) == key_of()


def test_the_constructor_arguments_are_in_the_key():
    """One file of weights serves machines that differ in a setting without weights, such as their time step."""

    def configured(**config):
        model = Digital()
        model.config = config
        return model

    assert key_of(configured(dt=0.01)) != key_of(configured(dt=0.02)) != key_of()
    assert key_of(configured(dt=0.01, j2=1.0)) == key_of(configured(j2=1.0, dt=0.01))


def test_names_and_foreign_samplers_are_not_in_the_key():
    assert key_of(name="path/to/digital.safetensors") == key_of()
    assert key_of(precision="bf16") == key_of()  # a network has no couplings
    assert replace(PROTOCOL, name="mine").to_dict() != PROTOCOL.to_dict()
    assert key_of() == result_key(Entry("l", "n", Digital(), replace(PROTOCOL, name="mine")), "abc",
                                  replace(feature_space(), sha256="def"), "an abacus")  # fmt: skip
    assert key_of(Device(), sampler="ddim", steps=3) == key_of(Device())


def test_the_precision_of_a_machine_is_in_the_key():
    machine = ThermodynamicGenerator((1, 2, 2), hidden=2, t_final=0.01)
    assert key_of(machine, precision="bf16") != key_of(machine)


def test_real_images_have_no_sampler_but_a_seed():
    space = replace(feature_space(), sha256="def")
    key = real_key(PROTOCOL.to_dict(), space, "an abacus")
    assert real_key({**PROTOCOL.to_dict(), "steps": 3, "batch_size": 7}, space, "an abacus") == key
    assert real_key({**PROTOCOL.to_dict(), "seed": 3}, space, "an abacus") != key


def test_the_code_is_in_the_key(monkeypatch):
    before = key_of()
    assert before["code"] == code_digest()
    code_digest.cache_clear()
    monkeypatch.setattr("thermotorch.evaluation.cache._CODE", ("units.py",))
    assert key_of()["code"] != before["code"]
    code_digest.cache_clear()


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b"", lambda data: b"\xff" * 64])
def test_a_damaged_file_counts_as_none(tmp_path, damage, caplog):
    cache = ResultCache(tmp_path)
    path = cache.save_result(KEY, result())
    path.write_bytes(damage(path.read_bytes()))
    assert cache.load_result(KEY) is None
    assert "cannot be read and is measured again" in caplog.text


def test_a_result_of_another_version_counts_as_none(tmp_path, caplog):
    cache = ResultCache(tmp_path)
    cache.save(KEY, {**result().to_dict(), "colour": "red"}, result().tensors())
    assert cache.load_result(KEY) is None
    assert "is of another version" in caplog.text


@pytest.mark.parametrize("moment", ["write_bytes", "replace"])
def test_an_interruption_while_writing_leaves_the_old_file(tmp_path, monkeypatch, moment):
    cache = ResultCache(tmp_path)
    path = cache.save_result(KEY, result())
    before = path.read_bytes()

    def interrupted(self, data):
        self.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(f"pathlib.Path.{moment}", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.save_result(KEY, replace(result(), date="later"))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_the_folder_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("THERMOTORCH_CACHE", str(tmp_path))
    assert results_folder() == tmp_path / "results"
    monkeypatch.delenv("THERMOTORCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert results_folder() == tmp_path / "thermotorch" / "results"
