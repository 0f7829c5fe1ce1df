"""Puts a trained model into the zoo, and numbers into its card.

python scripts/release_checkpoint.py outputs/train/ddpm_mnist/RUN ddpm.mnist
thermotorch-evaluate model=ddpm.mnist protocol=full
python scripts/release_checkpoint.py --record outputs/evaluate/RUN/evaluation.json ddpm.mnist
"""

import argparse
import json
from pathlib import Path

from thermotorch.training.release import release
from thermotorch.zoo import record_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of a finished training run; with --record an evaluation.json")
    parser.add_argument("name", help="architecture.tag, such as ddpm.mnist")
    parser.add_argument("--record", action="store_true", help="enter the rows of an evaluation into an existing card")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent.parent / "checkpoints", help="zoo folder")
    parser.add_argument("--notes", default="", help="what a user of the weights must know")
    arguments = parser.parse_args()
    if arguments.record:
        evaluation = json.loads(arguments.source.read_text(encoding="utf-8"))
        checkpoint = arguments.folder / f"{arguments.name}.safetensors"
        print(record_rows(checkpoint, metrics=evaluation["metrics"], energy=evaluation["energy"]))
    else:
        print(*release(arguments.source, arguments.name, arguments.folder, notes=arguments.notes), sep="\n")


if __name__ == "__main__":
    main()
