"""Rewrite the tables of the README and the docs from the records: `python -m scripts.pages.update_docs`.

The comparison comes from docs/comparison/report.json, the shipped models from their cards, other measurements from the
records beside the scripts that make them.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.pages import heat_frontier, training_seeds
from scripts.pages.headline import headline, short_headline
from scripts.pages.model_table import model_table
from thermotorch.zoo import load_card
from thermotorch.zoo.lookup import packaged_folder

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- begin: scripts/pages/update_docs.py -->", "<!-- end -->"


def comparison() -> str:
    return headline(_report())


def short_comparison() -> str:
    return short_headline(_report())


def _report() -> dict[str, Any]:
    return _record(ROOT / "docs" / "comparison" / "report.json")


def shipped_models() -> str:
    return model_table(_cards())


def over_seeds() -> str:
    return training_seeds.seeds_table(_record(training_seeds.RECORD), {card["name"]: card for card in _cards()})


def accuracy_against_heat() -> str:
    return heat_frontier.frontier_table(_record(heat_frontier.RECORD))


def _record(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _cards() -> list[dict[str, Any]]:
    return [load_card(path.with_suffix(".safetensors")) for path in sorted(packaged_folder().glob("*.json"))]


PAGES: dict[str, Callable[[], str]] = {
    "README.md": short_comparison,
    "docs/results.md": comparison,
    "docs/systems/classifiers.md": accuracy_against_heat,
    "docs/systems/index.md": over_seeds,
    "docs/zoo.md": shipped_models,
}


def updated(page: str) -> str:
    """Return the text of a page with its table written anew from the records."""
    before, _, rest = (ROOT / page).read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{PAGES[page]()}\n{END}{after}"


if __name__ == "__main__":
    for name in PAGES:
        (ROOT / name).write_text(updated(name), encoding="utf-8")
