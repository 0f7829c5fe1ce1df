"""thermotorch-sample, for use in a clone: python scripts/sample.py"""

from thermotorch.cli import sample_main

if __name__ == "__main__":
    sample_main()
