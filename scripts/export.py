"""thermotorch-export, for use in a clone: python scripts/export.py"""

from thermotorch.cli import export_main

if __name__ == "__main__":
    export_main()
