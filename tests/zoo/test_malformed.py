"""Files that nobody wrote with this library: each is refused by one sentence that names it, at a bounded cost."""

import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from tests.zoo.test_checkpoints import FIELDS, Affine, architectures, saved  # noqa: F401
from thermotorch.zoo import cards, checkpoints, load_card, load_checkpoint, load_reference, save_reference, tensor_files
from thermotorch.zoo.checkpoints import save_checkpoint


@pytest.fixture
def path(saved):  # noqa: F811
    return saved[1]


def change(path: Path, **fields: object) -> None:
    """Write other fields into the card; those that are ... are taken out."""
    card_file = path.with_suffix(".json")
    card = {**json.loads(card_file.read_text()), **fields}
    card_file.write_text(json.dumps({key: value for key, value in card.items() if value is not ...}))


def replace(path: Path, data: bytes) -> None:
    """Put other bytes in the place of the weights, with a card that names their digest."""
    path.write_bytes(data)
    change(path, sha256=hashlib.sha256(data).hexdigest())


def refusal(path: Path, **arguments: object) -> str:
    with pytest.raises(ValueError) as refused:
        load_checkpoint(path, **arguments)
    message = str(refused.value)
    assert type(refused.value) is ValueError
    assert path.stem in message and len(message) < 1000
    return message


@pytest.mark.parametrize("digest", [..., None, "", "0" * 63, "Z" * 64, 5, ["0" * 64]])
def test_a_card_without_a_digest_is_refused(path, digest):
    change(path, sha256=digest)
    assert "sha256" in refusal(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("architecture", 5), ("architecture", ["affine"]), ("config", None), ("config", []), ("metrics", {}),
        ("metrics", [5]), ("metrics", [{"metric": {}}]), ("energy", "none"), ("data", 3), ("notes", ...),
        ("training", []), ("stored", 16), ("reference", "file"), ("reference", {}), ("name", None),
        ("reference", {"file": "../other.safetensors", "sha256": "0" * 64}),
        ("reference", {"file": "other.safetensors", "sha256": ""}),
    ],
)  # fmt: skip
def test_fields_of_another_kind_are_named(path, field, value):
    change(path, **{field: value})
    assert field in refusal(path)
    with pytest.raises(ValueError, match=field):
        load_card(path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": 1, "config": NaN}', '{"format": 1e999}', "\x00", "nul"])
def test_a_card_that_is_no_card(path, text):
    path.with_suffix(".json").write_text(text)
    assert "damaged" in refusal(path)


def test_a_large_card_is_not_read(path, monkeypatch):
    path.with_suffix(".json").write_text(" " * (cards.MAX_BYTES + 1))
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: pytest.fail("read"))
    assert "at most 1048576 bytes" in refusal(path)


def test_large_weights_are_not_read(path, monkeypatch):
    os.truncate(path, tensor_files.MAX_BYTES + 1)  # sparse: takes no room
    monkeypatch.setattr(hashlib, "sha256", lambda *_: pytest.fail("read"))
    assert "expected a file of at most" in refusal(path)


@pytest.mark.parametrize(("limit", "what"), [("MAX_BYTES", "file"), ("MAX_HEADER", "header")])
def test_what_would_be_too_large_to_load_is_not_saved(tmp_path, monkeypatch, limit, what):
    monkeypatch.setattr(tensor_files, limit, 50)
    with pytest.raises(ValueError, match=f"affine.big.safetensors: expected a {what} of at most 50 bytes"):
        save_checkpoint(Affine(), "affine.big", tmp_path, FIELDS)
    assert not list(tmp_path.iterdir())


def test_a_large_header_is_not_parsed(path):
    replace(path, struct.pack("<Q", tensor_files.MAX_HEADER + 1) + b" " * (tensor_files.MAX_HEADER + 1))
    assert "expected a header of at most" in refusal(path)


@pytest.mark.parametrize(
    "header",
    ["{}x", "[]", "5", '{"a": 5}', '{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}', "[" * 9999],
)
def test_weights_under_their_digest_that_are_no_tensors(path, header):
    replace(path, struct.pack("<Q", len(header)) + header.encode() + b"\0" * 4)
    assert "safetensors" in refusal(path)


def test_tensors_without_a_digest_are_not_read(path):
    with pytest.raises(ValueError, match="was altered"):
        tensor_files.read_tensors(path, "")


def test_nothing_is_parsed_before_the_digest(path, monkeypatch):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(tensor_files, "safetensors_load", lambda _: pytest.fail("parsed"))
    assert "was altered" in refusal(path)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_neither_saved_nor_loaded(path, tmp_path, number):
    model = Affine(4)
    model.linear.bias.data[2] = number
    with pytest.raises(ValueError, match=r"affine.other.* tensor 'linear.bias' holds numbers that are not finite"):
        save_checkpoint(model, "affine.other", tmp_path / "new", FIELDS)
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="'mean' holds numbers that are not finite"):
        save_reference(path, {"mean": torch.tensor([number])})
    replace(path, save(model.state_dict()))
    assert "'linear.bias' holds numbers that are not finite" in refusal(path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.float8_e4m3fn])
def test_weights_of_another_dtype_are_refused(path, tmp_path, dtype):
    model = Affine(4)
    replace(path, save({**model.state_dict(), "linear.weight": model.linear.weight.detach().to(dtype)}))
    assert f"linear.weight is of {dtype}, expected torch.float32" in refusal(path)
    change(path, stored="float8_e5m2")
    assert "linear.weight is of" in refusal(path)
    if dtype in (torch.float16, torch.float64):
        with pytest.raises(ValueError, match="linear.bias is of"):
            save_checkpoint(Affine(4).to(dtype), "affine.other", tmp_path / "new", FIELDS)


def test_as_many_numbers_in_another_shape_are_refused(path):
    model = Affine(4)
    replace(path, save({**model.state_dict(), "linear.weight": model.linear.weight.detach().reshape(2, 8)}))
    assert "linear.weight has shape (2, 8), expected (4, 4)" in refusal(path)


def test_matrices_in_the_dtype_that_the_card_names_are_loaded(tmp_path):
    model = Affine(4)
    path, card = save_checkpoint(model, "affine.test", tmp_path, FIELDS, store=torch.bfloat16)
    assert json.loads(card.read_text())["stored"] == "bfloat16"
    loaded = load_checkpoint(path)
    assert torch.equal(loaded.linear.weight, model.linear.weight.bfloat16().float())
    replace(path, save({**model.state_dict(), "linear.bias": model.linear.bias.detach().bfloat16()}))
    assert "linear.bias is of torch.bfloat16" in refusal(path)  # vectors are stored as they are


def test_another_default_dtype_loads_the_same_numbers(path):
    expected = load_checkpoint(path).state_dict()
    torch.set_default_dtype(torch.float64)
    try:
        found = load_checkpoint(path).state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    assert found["linear.weight"].dtype == torch.float64
    assert torch.equal(found["linear.weight"].float(), expected["linear.weight"])


GREEDY = [
    ("generator.three_digits", {"hidden": 30_000}),
    ("classifier.robust", {"hidden": 50_000}),
    ("ddpm.mnist", {"block_out_channels": [32_000, 64_000, 64_000]}),
    ("ddpm.mnist", {"layers_per_block": 1_000_000}),
    ("ddpm.mnist", {"num_train_timesteps": 1_000_000_000}),
    ("feature_net.mnist", {"num_features": 10_000_000}),
    ("rbm.mnist", {"hidden": 3_000_000}),
]


def test_a_card_alone_takes_neither_memory_nor_time(tmp_path):
    """Each asks for gigabytes, or for a million layers; a process is allowed 1 GB more than it has, one for each."""
    paths = []
    for i, (name, changes) in enumerate(GREEDY):
        card, weights, folder = dict(load_card(name)), checkpoints.find_checkpoint(name), tmp_path / str(i)
        folder.mkdir()
        (folder / weights.name).symlink_to(weights)
        card["config"] = {**card["config"], **changes}
        (folder / weights.with_suffix(".json").name).write_text(json.dumps(card))
        paths.append(str(folder / weights.name))
    program = f"""
    import os, resource, time
    from thermotorch.zoo import load_checkpoint
    for name in {sorted({name for name, _ in GREEDY})}:
        load_checkpoint(name)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    for path in {paths}:
        if child := os.fork():
            assert os.waitpid(child, 0)[1] == 0, path
            continue
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
        started = time.process_time()
        try:
            load_checkpoint(path)
        except ValueError as error:
            print(error, flush=True)
            os._exit(time.process_time() - started > 30)
        os._exit(1)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "alloc" not in done.stdout
    for path in paths:
        assert str(Path(path).parent) in done.stdout


def test_what_the_card_cannot_build_names_the_card(path):
    for config in ({"width": "four"}, {"width": -1}, {"wdth": 4}, {"width": 4, "scale": {}, "x": 1}, {"width": 2**70}):
        change(path, config=config)
        assert f"card {path.with_suffix('.json')}: config: " in refusal(path)


@pytest.mark.slow
def test_mutated_pairs_load_or_are_refused_by_one_sentence(path):
    """Every mutation of the weights is refused; the card may hold other words, but never a bare error."""
    chance, card_file = random.Random(19), path.with_suffix(".json")
    weights, card = path.read_bytes(), card_file.read_bytes()
    for _ in range(1500):
        pair = [bytearray(weights), bytearray(card)]
        which = chance.randrange(2)
        data = pair[which]
        for _ in range(chance.choice((1, 1, 3, 20))):
            place, kind = chance.randrange(len(data)), chance.randrange(4)
            if kind == 0:
                data[place] = chance.randrange(256)
            elif kind == 1:
                del data[place : place + chance.randrange(1, 50)]
            elif kind == 2:
                data[place:place] = data[chance.randrange(len(data)) :][: chance.randrange(1, 50)]
            else:
                data[place:place] = chance.choice((b"null", b"1e999", b"[" * 3000, b"-1", b'"', b"\xff", b"{}"))
            if not data:
                break
        path.write_bytes(pair[0])
        card_file.write_bytes(pair[1])
        if chance.randrange(2) and which == 0:  # the digest fits as well
            replace(path, bytes(pair[0]))
        try:
            load_checkpoint(path)
        except ValueError as error:
            assert type(error) is ValueError, repr(error)
            assert path.stem in str(error)
        else:
            assert (
                which == 1
                or bytes(pair[0]) == weights
                or json.loads(card_file.read_text())["sha256"] != json.loads(card)["sha256"]
            )


def test_reference_statistics_are_checked_as_weights_are(path):
    reference = save_reference(path, {"mean": torch.ones(3)})
    data = save({"mean": torch.tensor([float("nan")])})
    reference.write_bytes(data)
    with pytest.raises(ValueError, match="was altered"):
        load_reference(path)
    change(path, reference={"file": reference.name, "sha256": hashlib.sha256(data).hexdigest()})
    with pytest.raises(ValueError, match="'mean' holds numbers that are not finite"):
        load_reference(path)
