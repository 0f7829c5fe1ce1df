"""The floors of the building: data flows one way, and importing the package is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "thermotorch"
FLOORS = {
    "units": 0,
    "names": 0,
    "arguments": 0,
    "transforms": 0,
    "buffers": 0,
    "files": 0,
    "potential": 1,
    "couplings": 1,
    "lattice": 1,
    "data": 1,
    "dynamics": 2,
    "layer": 3,
    "linear_algebra": 3,
    "models": 4,
    "objectives": 5,
    "zoo": 6,
    "evaluation": 7,
    "circuit": 7,
    "page": 7,
    "training": 8,
    "cli": 9,
}
HEAVY = (
    "lightning", "hydra", "wandb", "diffusers", "huggingface_hub", "triton", "torchmetrics", "torchvision",
    "matplotlib", "sklearn",
)  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """Dotted names of the modules a file imports, wherever in the file;
    `from a import b` gives a.b if it is our module.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import, write the full name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else node.module for name in names}
    return found


def our_imports(path: Path) -> set[str]:
    return {name for name in imports(path) if name in MODULES and name != "thermotorch"}


def top(name: str) -> str:
    """`thermotorch.dynamics.noise` -> `dynamics`."""
    return name.split(".")[1]


def test_every_module_has_a_floor():
    names = {top(name) for name in MODULES if name != "thermotorch"}
    assert names == FLOORS.keys()


@pytest.mark.parametrize("name", [name for name in MODULES if name != "thermotorch"])
def test_imports_go_down(name):
    """A file imports from its own floor and from lower ones; never from above or from the package's front door."""
    found = imports(MODULES[name])
    assert "thermotorch" not in found, "import from the module that defines the name"
    for imported in our_imports(MODULES[name]):
        assert FLOORS[top(imported)] <= FLOORS[top(name)], f"{name} imports {imported}"


def test_no_cycles_between_files():
    order: dict[str, set[str]] = {name: our_imports(path) - {name} for name, path in MODULES.items()}
    while ready := {name for name, needs in order.items() if not needs & order.keys()}:
        order = {name: needs for name, needs in order.items() if name not in ready}
    assert not order, f"these files import each other in a circle: {sorted(order)}"


def test_reference_and_kernels_never_import_each_other():
    reference = "thermotorch.dynamics.reference"
    fast = {name for name in MODULES if name.startswith(("thermotorch.dynamics.cpu", "thermotorch.dynamics.cuda"))}
    assert not our_imports(MODULES[reference]) & fast
    for name in fast:
        assert reference not in our_imports(MODULES[name])


@pytest.mark.parametrize("file", ["diffusion.py", "execution.py", "flow.py"])
def test_the_digital_baseline_owes_us_nothing(file):
    ours = {name for name in imports(PACKAGE / "models" / "baselines" / file) if name.startswith("thermotorch")}
    assert not {name for name in ours if not name.startswith("thermotorch.models.baselines.")}


@pytest.mark.parametrize(("library", "allowed"), [("lightning", "training/"), ("hydra", "cli/")])
def test_frameworks_stay_in_their_room(library, allowed):
    """Only training/ knows Lightning and only cli/ knows Hydra, so either can be replaced."""
    for path in FILES:
        uses = {name.split(".")[0] for name in imports(path)}
        where = path.relative_to(PACKAGE).as_posix()
        assert library not in uses or where.startswith(allowed), f"{where} imports {library}"


def test_importing_the_package_is_cheap_and_silent():
    program = (
        "import sys, thermotorch as tt; tt.list_models(); "
        f"print(sorted(set({HEAVY!r}) & {{name.partition('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("[]", "", 0)


def test_public_names_exist():
    import thermotorch

    assert [name for name in thermotorch.__all__ if not hasattr(thermotorch, name)] == []
    contract = {
        "Potential", "DenseCouplings", "BlockCouplings", "LatticeCouplings", "simulate", "ThermodynamicLayer",
        "create_model", "list_models", "register_model",
    }  # fmt: skip
    assert contract <= set(thermotorch.__all__)


WRITERS = {"write_text", "write_bytes", "save", "savefig", "save_image", "save_file", "tofile", "copyfile", "copy2"}
TORN_IS_NO_HARM = {  # file, receiver: what else is called by such a name
    ("evaluation/speed/memory.py", "write_text"),  # a switch of the kernel
    ("evaluation/report/wandb_log.py", "save"),  # wandb's upload
    ("evaluation/cache.py", "save"),  # a method of its own, and bytes of safetensors
    ("evaluation/compare.py", "save"),  # that method
    ("training/sampling.py", "save"),  # bytes of safetensors
    ("files.py", "write_bytes"),
}


def unguarded_writes(tree: ast.AST) -> list[tuple[str, int]]:
    """Return name and line of the calls that write a file outside a `with replacing(...)` and not into memory."""
    guarded, found = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.With) and any("replacing(" in ast.unparse(item.context_expr) for item in node.items):
            guarded |= {id(part) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or id(node) in guarded:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        words = [ast.unparse(argument) for argument in (*node.args, *(word.value for word in node.keywords))]
        modes = {word for word in words if word in ("'w'", "'wb'", "'a'", "'ab'", "'x'", "'xb'", "'w+'", "'w+b'")}
        if name in WRITERS or (name == "open" and modes):
            found.append((name, node.lineno))
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("path.write_text(text)", ["write_text"]),
        ("open(path, 'w')", ["open"]),
        ("open(path)", []),
        ("with replacing(path) as partial:\n    figure.savefig(partial)", []),
        ("with replacing(path) as partial:\n    pass\nfigure.savefig(path)", ["savefig"]),
    ],
)
def test_writes_are_recognised(source, found):
    assert [name for name, _ in unguarded_writes(ast.parse(source))] == found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_file_is_written_whole(path):
    """One helper, `thermotorch/files.py`, writes every file of the package; a kill or a full disk leaves none torn."""
    place, tree = path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
    in_memory = ("file", "content")  # names of io.BytesIO and io.StringIO
    for name, line in unguarded_writes(tree):
        text = path.read_text(encoding="utf-8").splitlines()[line - 1]
        harmless = (place, name) in TORN_IS_NO_HARM or any(f"{name}({word}," in text for word in in_memory)
        assert harmless, f"{place}:{line} writes with {name}: use write_file or replacing of thermotorch/files.py"


def test_records_do_not_change_once_they_are_checked():
    """A dataclass is frozen, so that what its constructor checked stays true and equal ones have one hash; those that
    hold tensors or functions of a running simulation compare by identity instead.
    """
    loose = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for decorator in map(ast.unparse, node.decorator_list)
        if decorator.startswith("dataclass") and "frozen=True" not in decorator and "eq=False" not in decorator
    ]
    assert not loose, loose
