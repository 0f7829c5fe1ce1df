"""Writes docs/energy.md: `python scripts/energy_page.py`, a minute on one core."""

import sys
from pathlib import Path

from thermotorch.evaluation.energy.page import energy_page
from thermotorch.zoo import load_card, load_checkpoint

MACHINE, DIGITAL, CLASSIFIER = "generator.mnist", "ddpm.mnist", "classifier.teacher_student"

if __name__ == "__main__":
    heat = next(row["value"] for row in load_card(CLASSIFIER)["energy"] if row["metric"] == "inference heat")
    text = energy_page(
        MACHINE,
        load_checkpoint(MACHINE),
        DIGITAL,
        load_checkpoint(DIGITAL),
        CLASSIFIER,
        heat,
        command="python scripts/energy_page.py",
        progress=lambda what: print(what, file=sys.stderr),
        sampler="dpm++",
        steps=10,
    )
    path = Path(__file__).resolve().parent.parent / "docs" / "energy.md"
    path.write_text(text, encoding="utf-8")
    print(path)
