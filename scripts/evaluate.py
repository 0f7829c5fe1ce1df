"""thermotorch-evaluate, for use in a clone: python scripts/evaluate.py"""

from thermotorch.cli import evaluate_main

if __name__ == "__main__":
    evaluate_main()
