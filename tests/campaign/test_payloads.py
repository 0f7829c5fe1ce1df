"""Payloads in configurations, files and names: none runs, none leaves its folder, and reports show them as text."""

import hashlib
import html.parser
import json
import pickle
import random
import re
import struct
import warnings
import zipfile
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy
import pytest
import torch
from omegaconf import OmegaConf

from tests.campaign.processes import Child, program
from tests.evaluation.report.comparisons import comparison
from tests.page.test_machine import small
from tests.zoo.test_checkpoints import FIELDS, Affine, architectures  # noqa: F401
from thermotorch import cli
from thermotorch.circuit.export import write_netlist
from thermotorch.evaluation import Row
from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.evaluation.report import write_report
from thermotorch.page.write import page
from thermotorch.training.checkpoint_files import fault_of
from thermotorch.training.release import trained_model
from thermotorch.zoo import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.slow

CALLABLES = (
    "os.system", "posix.system", "subprocess.Popen", "builtins.eval", "builtins.open", "pathlib.Path.touch",
    "shutil.copy",
    "numpy.load", "torch.load", "torch.hub.load", "torch.ops.load_library", "torch.utils.cpp_extension.load",
    "torch.nn.Module.load_state_dict", "torch.nn.modules.module.torch.load", "torch.optim.Optimizer.step",
    "thermotorch.files.write_file", "thermotorch.cli.os.system", "thermotorch.cli.instantiate",
    "thermotorch.training.release.release", "thermotorch.dynamics.cpu.build.ctypes.CDLL",
    "thermotorch.dynamics.cpu.build.subprocess.run", "lightning.pytorch.callbacks.lambda_function.os.system",
    "lightning.pytorch.loggers.wandb.os.system", "lightning.fabric.utilities.cloud_io._load", "hydra.utils.call",
    "hydra.utils.instantiate", "omegaconf.OmegaConf.register_new_resolver", "pickle.loads", "joblib.load",
    "diffusers.DiffusionPipeline.from_pretrained", "wandb.sdk.lib.os.system", "importlib.import_module",
)  # fmt: skip
COMMAND = "touch CANARY"


def nested(chance: random.Random, target: str) -> object:
    """A node that calls `target`, at some depth of lists and dicts, or behind an interpolation."""
    node: object = {"_target_": target, "_args_": [COMMAND]}
    if chance.random() < 0.3:
        node["_partial_"] = True
    for _ in range(chance.randrange(4)):
        node = chance.choice(([node], {"x": node}, [{"y": [node]}], {"_target_": "torch.nn.Identity", "x": node}))
    return node


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A folder in which nothing by the name CANARY may appear."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not [*tmp_path.rglob("CANARY*"), *Path("/tmp").glob("CANARY*"), *Path.home().glob("CANARY*")]


@pytest.mark.parametrize("number", range(12))
def test_no_configuration_calls_what_it_names(canary, chance, number):
    """By the groups of a training, by Hydra's own keys, by interpolations and resolvers of OmegaConf."""
    target = chance.choice(CALLABLES)
    node = nested(chance, target)
    text, place = json.dumps(node), chance.randrange(7)
    node_of = {
        0: {"callbacks": {"x": node}},
        1: {"logger": {"x": node}},
        2: {"trainer": {"+plugins": node, "plugins": node}},
        3: {"hydra": {"callbacks": {"x": node}}},
        4: {"evil": node, "callbacks": {"x": "${evil}"}},
        5: {"evil": {"_target_": target, "_args_": [COMMAND]}, "callbacks": {"x": "${or:null,${evil}}"}},
        6: {"callbacks": {"x": "${oc.create:'" + text.replace("'", "") + "'}"}},
    }[place]  # fmt: skip
    attack = canary / "attack" / "experiment" / "attack.yaml"
    attack.parent.mkdir(parents=True)
    attack.write_text("# @package _global_\n" + OmegaConf.to_yaml(OmegaConf.create(node_of)))
    arguments = ["experiment=attack", "data=digits8x8", "debug=fast", f"hydra.searchpath=[file://{canary}/attack]"]
    child = Child(program(cli.train_main, *arguments), canary / "run")
    assert child.wait() == 1, attack.read_text()
    said = child.output.read_text()
    assert "Traceback" not in said, f"{attack.read_text()}\n{said}"
    assert re.search(r"_target_|oc\.create|expected|interpolation|plugins", said), said


def pickles(chance: random.Random) -> bytes:
    """Opcodes that call `os.system`, in one of several spellings."""
    word = COMMAND.encode()
    return chance.choice(
        (
            b"cos\nsystem\n(S'" + word + b"'\ntR.",
            b"(S'" + word + b"'\nios\nsystem\n.",
            b"(cos\nsystem\nS'" + word + b"'\no.",
            b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c" + bytes([len(word)]) + word + b"\x85R.",
            b'c__builtin__\neval\n(S\'__import__("os").system("' + word + b"\")'\ntR.",
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cos\nsystem\nK\x00\x85Sb'" + word + b"'\ntR.",
            b"cbuiltins\ngetattr\n(cos\npath\nS'os'\ntR.",
        )
    )


@pytest.mark.filterwarnings("ignore:.*TorchScript archive")
@pytest.mark.parametrize("number", range(12))
def test_no_checkpoint_of_a_training_is_unpickled(canary, chance, number):
    """Bare pickles, archives of torch with another pickle in them, old formats, TorchScript, arrays of objects."""
    path, data = canary / "last.ckpt", pickles(chance)
    kind = chance.randrange(5)
    if kind == 0:
        path.write_bytes(data)
    elif kind == 1:  # torch's format of before 2020: several pickles in a row
        magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
        path.write_bytes(magic + data)
    elif kind == 2:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (("data.pkl", data), ("version", b"3\n"), ("byteorder", b"little")):
                archive.writestr(f"archive/{name}", content)
    elif kind == 3:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(torch.nn.Linear(1, 1)).save(path)
    else:

        class Evil:
            def __reduce__(self):
                return Path.touch, (canary / "CANARY",)

        torch.save({"state_dict": {}, "x": numpy.array([Evil()], dtype=object)}, path)
    assert fault_of(path)
    with pytest.raises(ValueError, match="last.ckpt"):
        trained_model(path)


TRAVERSALS = (
    "../{}",
    "../../{}",
    "x/../../{}",
    "/tmp/CANARY{}",
    "~/{}",
    "a\x00b{}",
    "..\\{}",
    "{}/..",
    "{}\n",
    ".{}/x",
)


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_name_of_a_model_leaves_the_folder_that_it_is_released_into(canary, name):
    zoo = canary / "zoo" / "inner"
    zoo.mkdir(parents=True)
    with pytest.raises(ValueError, match="name: expected"):
        save_checkpoint(Affine(4), "affine." + name.format("CANARY"), zoo, FIELDS)
    assert list(zoo.iterdir()) == []
    assert [path for path in canary.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", TRAVERSALS)
def test_a_card_cannot_point_at_a_file_elsewhere(canary, name):
    path, card_file = save_checkpoint(Affine(4), "affine.test", canary / "zoo", FIELDS)
    card = json.loads(card_file.read_text())
    card["reference"] = {"file": name.format("x"), "sha256": "0" * 64}
    card_file.write_text(json.dumps(card))
    with pytest.raises(ValueError, match="reference"):
        load_checkpoint(path)


INJECTIONS = (
    "<script>fetch('/CANARY')</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>", "';alert(1);//",
    "</script><script>1</script>", "<!--", "]]>", "javascript:alert(1)", "[x](javascript:alert(1))", "![](http://x/)",
    "| a | b |", "`x` <b>", "&lt;script&gt;", "${oc.env:HOME}", "{{7*7}}", "$(touch CANARY)", "`touch CANARY`",
    "\n.control\nshell touch CANARY\n.endc\n", "\n.include /etc/passwd\n", "=cmd|' /C calc'!A0", "\u2028</style>",
    "$name $$ ${style}", "\\u003c/script>", "%s%n", "x" * 300, "a\tb\rc", "\u202e\u0000",
)  # fmt: skip


class Structure(html.parser.HTMLParser):
    """The tags of a document with the names of their attributes, and every address that it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.addresses += [value[:12] for name, value in attrs if name in ("href", "src", "action") and value]

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment",))


def infected(value: object, chance: random.Random) -> object:
    """The same results with injections behind every text that a model's author writes."""
    if isinstance(value, Ledger):
        return replace(value, lines=tuple(infected(line, chance) for line in value.lines))
    if isinstance(value, Row | LedgerLine):
        names = {"note", "source", "command"} & {field.name for field in fields(value)}
        return replace(value, **{name: (getattr(value, name) or "x") + chance.choice(INJECTIONS) for name in names})
    if is_dataclass(value):
        found = {"rows": [infected(row, chance) for row in value.rows]}
        return replace(value, **found, ledgers=tuple(infected(ledger, chance) for ledger in value.ledgers))
    raise TypeError(type(value).__name__)


@pytest.mark.parametrize("number", range(2))
def test_a_report_has_the_same_structure_whatever_its_texts_say(tmp_path, chance, number):
    tame = comparison(3)
    evil = replace(
        tame,
        command=f"thermotorch-compare {chance.choice(INJECTIONS)}",
        hardware=chance.choice(INJECTIONS),
        results={label: infected(found, chance) for label, found in tame.results.items()},
    )
    card = {"sha256": "abc", "parameters": 3, "data": {"name": "squares"}, "training": {"command": "train"},
            "notes": "notes", "metrics": [], "energy": []}  # fmt: skip
    bad = {**card, "notes": chance.choice(INJECTIONS), "training": {"command": chance.choice(INJECTIONS)},
           "data": {"name": chance.choice(INJECTIONS)}}  # fmt: skip
    texts = {}
    for name, made, cards in (("tame", tame, card), ("evil", evil, bad)):
        write_report(made, tmp_path / name, dict.fromkeys(tame.entries.values(), cards))
        texts[name] = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        json.loads((tmp_path / name / "report.json").read_text(encoding="utf-8"))
    found, expected = Structure(texts["evil"]), Structure(texts["tame"])
    assert sorted(set(found.tags) - set(expected.tags)) == []
    assert [tag for tag in found.tags if tag[0] == "script"] == [tag for tag in expected.tags if tag[0] == "script"]
    assert set(found.addresses) == set(expected.addresses)
    columns = [line.replace("\\|", "").count("|") for line in (tmp_path / "evil" / "report.md").read_text().splitlines()
               if line.startswith("|")]  # fmt: skip
    before = [line.replace("\\|", "").count("|") for line in (tmp_path / "tame" / "report.md").read_text().splitlines()
              if line.startswith("|")]  # fmt: skip
    assert sorted(set(columns)) == sorted(set(before))


@pytest.mark.parametrize("injection", INJECTIONS)
def test_names_of_models_are_text_in_pages_and_comments_in_netlists(canary, injection):
    machine = small(hidden=4)
    found, expected = Structure(page(machine, injection)), Structure(page(machine, "machine"))
    assert found.tags == expected.tags
    assert found.addresses == expected.addresses
    lines = {}
    for name in (injection, "machine"):
        (path,) = write_netlist(machine, canary / str(len(lines)), name=name, label=0)
        lines[name] = path.read_text().split("\n")
    assert lines[injection][1:] == lines["machine"][1:]
    assert re.fullmatch(r"\* [\w .,()\[\]-]{,80}: .*", lines[injection][0])


def test_headers_of_weights_that_promise_too_much_are_refused(canary, chance):
    """Lengths, offsets and shapes of any size, under a digest that fits."""
    path, card_file = save_checkpoint(Affine(4), "affine.test", canary / "zoo", FIELDS)
    card, good = json.loads(card_file.read_text()), path.read_bytes()
    size = struct.unpack("<Q", good[:8])[0]
    for _ in range(300):
        header = json.loads(good[8 : 8 + size])
        key = chance.choice([name for name in header if name != "__metadata__"])
        number = chance.choice((-1, 0, 1, 2**31, 2**63, 2**64, 1e300, True, None, "4", [], {}))
        field = chance.choice(("shape", "data_offsets", "dtype", "name"))
        if field == "name":
            header[chance.choice(INJECTIONS)] = header.pop(key)
        else:
            header[key][field] = chance.choice(([number], [0, number], [number] * 2, number, [2**32] * 3))
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + good[8 + size :])
        card_file.write_text(json.dumps({**card, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
        try:
            load_checkpoint(path)
        except ValueError as error:
            assert type(error) is ValueError and "affine.test" in str(error) and len(str(error)) < 1000
        else:
            assert json.loads(text) == json.loads(good[8 : 8 + size])
