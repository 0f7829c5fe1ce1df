"""Puts a trained model into the zoo of this clone, numbers into its card, and both into a folder for the Hub.

python scripts/release_checkpoint.py outputs/train/ddpm_mnist/RUN ddpm.mnist
thermotorch-evaluate model=ddpm.mnist protocol=full
python scripts/release_checkpoint.py --record outputs/evaluate/RUN/evaluation.json ddpm.mnist
python scripts/release_checkpoint.py ddpm.mnist --hub upload

Elsewhere `python -m thermotorch.training.release` does the same, with the zoo in $THERMOTORCH_HOME.
"""

from pathlib import Path

from thermotorch.training.release import main

if __name__ == "__main__":
    main(Path(__file__).resolve().parent.parent / "checkpoints")
