"""One self-contained HTML file in which a trained machine runs: it opens from disk and loads nothing."""

import html
import json
import os
from pathlib import Path
from string import Template

from torch import nn

from thermotorch.files import write_file
from thermotorch.page.bundle import FOLDER, bundle
from thermotorch.page.description import describe
from thermotorch.units import ROOM_TEMPERATURE


def write_page(model: nn.Module, name: str, path: str | os.PathLike, *, seed: int = 0) -> Path:
    """Write the page of a machine, and return its path.

    Args:
        model: as in `describe`.
        name: name on the page, that of the checkpoint, for the line of Python that the page shows.
        path: the file to write, about 0.6 MB for 784 + 512 units.
        seed: the noise that the page begins with, 0 <= seed < 2^53.

    Raises:
        ValueError: a model that a page cannot show, or a seed that a browser cannot count to; nothing is written.
    """
    return write_file(path, page(model, name, seed=seed))


def page(model: nn.Module, name: str, *, seed: int = 0) -> str:
    """Return the text of `write_page`."""
    if not 0 <= seed < 2**53:
        raise ValueError(f"seed: expected 0 <= seed < 2^53, which a browser can count to, found {seed}")
    description = {**describe(model, name), "seed": seed}
    sizes = {group["name"]: group["size"] for group in description["first"]["groups"]}
    runs = len(description["order"])
    chain = f" A chain of {runs} stages follows: each noises the image and draws it again." if runs else ""
    template = Template((FOLDER / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        name=html.escape(name),
        visible=sizes["visible"],
        hidden=sum(size for group, size in sizes.items() if group.startswith("hidden")),
        chain=chain,
        bits=description["bits"],
        kelvin=f"{ROOM_TEMPERATURE:g}",
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        description=json.dumps(description, separators=(",", ":")).replace("<", "\\u003c"),
        worker=bundle(FOLDER / "worker.js"),
        script=bundle(FOLDER / "main.js"),
    )
