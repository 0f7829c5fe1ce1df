"""thermotorch-compare, for use in a clone: python scripts/compare.py"""

from thermotorch.cli import compare_main

if __name__ == "__main__":
    compare_main()
