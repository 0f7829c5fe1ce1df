"""The figures of a report as matplotlib made them, before they become SVG."""

import pytest
from matplotlib.figure import Figure

from thermotorch.evaluation.report import plot
from thermotorch.evaluation.report.content import PNG, Picture


@pytest.fixture
def drawn(monkeypatch) -> dict[str, Figure]:
    """Return the figures by the name of their file, once they are drawn."""
    figures = {}

    def svg(file, alt, height, draw, title=""):
        figures[file] = Figure((plot.WIDTH, height))
        draw(figures[file])
        return Picture(file, PNG, b"", alt, title)

    monkeypatch.setattr(plot, "svg", svg)
    return figures
