"""thermotorch-train, for use in a clone: python scripts/train.py"""

from thermotorch.cli import train_main

if __name__ == "__main__":
    train_main()
