"""Modules in one script, as written, or a reason why not."""

import pytest

from tests.page.engines import SCRIPTS
from thermotorch.page.bundle import FOLDER, bundle


@pytest.mark.parametrize("path", sorted([*FOLDER.glob("*.js"), *SCRIPTS.glob("*.js")]), ids=lambda path: path.stem)
def test_a_module_is_short_and_narrow(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 400
    assert [line for line in lines if len(line) > 120] == []


def test_no_module_is_left_over():
    """All are in the page or its worker."""
    used = bundle(FOLDER / "main.js") + bundle(FOLDER / "worker.js")
    assert [path.name for path in FOLDER.glob("*.js") if f"const {path.stem}_js = " not in used] == []


def test_a_module_comes_once_and_after_what_it_imports():
    script = bundle(FOLDER / "machine.js")
    order = [script.index(f"const {name}_js = ") for name in ("philox", "noise", "couplings", "quartet", "machine")]
    assert order == sorted(order)
    assert script.count("const noise_js = ") == 1


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"a": 'import { b } from "./b.js";\n', "b": 'import { a } from "./a.js";\n'}, "a.js: .*circle, a -> b -> a"),
        ({"a": 'import { b } from "./nowhere.js";\n'}, "a.js: imports nowhere.js, which is not among"),
        ({"a": 'import b from "./b.js";\n'}, "a.js: 'import b from"),
        ({"a": "export default 1;\n"}, "a.js: 'export default 1;'"),
    ],
)
def test_what_cannot_be_bundled_is_named(modules, message, tmp_path):
    for name, text in modules.items():
        (tmp_path / f"{name}.js").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        bundle(tmp_path / "a.js")
