"""Rewrites the tables of the shipped models in README.md from their cards: python scripts/update_readme.py"""

from pathlib import Path

from thermotorch.evaluation.model_table import model_table
from thermotorch.zoo import load_card
from thermotorch.zoo.lookup import packaged_folder

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- begin: scripts/update_readme.py -->", "<!-- end -->"


def updated(text: str) -> str:
    """The README with the tables of the cards as they are now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    cards = [load_card(path.with_suffix(".safetensors")) for path in sorted(packaged_folder().glob("*.json"))]
    return f"{before}{BEGIN}\n{model_table(cards)}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
