"""Write pages in which machines run into the site, `live/NAME.html`: a hook of mkdocs.yml."""

from typing import TYPE_CHECKING

from thermotorch.page.write import page
from thermotorch.zoo import load_checkpoint

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

LIVE = ("generator.mnist", "generator.mnist_conditional", "generator.mnist_chain")


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the pages to the files of the site."""
    from mkdocs.structure.files import File  # tests read the names above without mkdocs

    for name in LIVE:
        files.append(File.generated(config, f"live/{name}.html", content=page(load_checkpoint(name), name)))
    return files
