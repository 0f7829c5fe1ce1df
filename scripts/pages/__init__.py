"""Programs that write pages and figures of the documentation: `python -m scripts.pages.NAME` in the clone."""
