"""Programs of the clone: `python scripts/NAME.py`, and `python -m scripts.pages.NAME` for the documentation."""
