"""Modules of the page in one script: what a file opened from disk, and a worker made from text, can run.

A browser loads no module from a `file://` address. Here each module becomes a function that is called once, after those
it imports from, and returns what it exports; its text is otherwise as written.
"""

import re
from pathlib import Path

FOLDER = Path(__file__).parent
_IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|function|class) (\w+))", re.MULTILINE)


def bundle(entry: Path) -> str:
    """Return a script that runs the module `entry`.

    Args:
        entry: a file; what it imports as "./name.js" is looked for beside it, then among the page's modules.

    Raises:
        ValueError: an import or export in a form that is not `import { a, b } from "./name.js";` on one line, or
            `export` before a const, function or class; a circle of imports; a module that is not there.
    """
    written: dict[str, str] = {}
    _collect(entry, entry.parent, written, ())
    return '"use strict";\n' + "\n".join(written.values())


def _collect(path: Path, folder: Path, written: dict[str, str], above: tuple[str, ...]) -> None:
    """Put a module behind those that it imports from."""
    if path.stem in written:
        return
    if path.stem in above:
        raise ValueError(f"{path.name}: modules import each other in a circle, {' -> '.join((*above, path.stem))}")
    text = path.read_text(encoding="utf-8")
    for _, name in _IMPORT.findall(text):
        found = next((at for at in (folder / f"{name}.js", FOLDER / f"{name}.js") if at.is_file()), None)
        if found is None:
            raise ValueError(f"{path.name}: imports {name}.js, which is not among the page's modules")
        _collect(found, folder, written, (*above, path.stem))
    exported = ", ".join(_EXPORT.findall(text))
    body = _EXPORT.sub("", _IMPORT.sub(r"const { \1 } = \2_js;", text))
    if left := re.search(r"^(?:import|export)\b.*", body, re.MULTILINE):
        raise ValueError(f"{path.name}: {left[0]!r} is no import or export that a bundle can hold")
    written[path.stem] = f"const {path.stem}_js = (() => {{\n{body}return {{ {exported} }};\n}})();\n"
