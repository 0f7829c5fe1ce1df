"""Makes the checkpoint of the eight-cell board: component values, no weights.

python scripts/release_spu.py
thermotorch-evaluate model=spu.8cell task=invert
python scripts/release_checkpoint.py --record outputs/evaluate/RUN/evaluation.json spu.8cell
"""

import argparse
from pathlib import Path

from thermotorch.evaluation.speed.hardware import describe_hardware
from thermotorch.linear_algebra.board.spu import StochasticProcessingUnit
from thermotorch.zoo import save_checkpoint

NAME = "spu.8cell"
IMPERFECT = {"bandwidth": 1e7, "tolerance": 0.01, "capacitor_step": 4e-11, "adc_bits": 12}
NOTES = (
    "Eight RLC cells after Melanson et al. (2025). Its component values were not to be found: these are ours, "
    "catalogue parts (1 mH, 330 ohm, 10 nF in 8-bit banks of 40 pF, 1 % tolerance, noise of 10 MHz, 12 bits at 50 "
    "kHz). So are the times and errors that follow from them. Nothing is trained."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent.parent / "checkpoints", help="zoo folder")
    folder = parser.parse_args().folder
    fields = {
        "data": {},
        "metrics": [],
        "energy": [],
        "training": {
            "command": "python scripts/release_spu.py",
            "experiment": "none",
            "seed": 0,
            "steps": 0,
            "seconds": 0.0,
            "hardware": describe_hardware(),
        },
        "licence": "Apache-2.0",
        "notes": NOTES,
    }
    print(*save_checkpoint(StochasticProcessingUnit(cells=8, **IMPERFECT), NAME, folder, fields), sep="\n")


if __name__ == "__main__":
    main()
