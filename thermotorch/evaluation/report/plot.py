"""Figures as SVG, readable on a phone, with the same bytes for the same numbers."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from thermotorch.evaluation.report.content import SVG, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes  # what modules draw on
    from matplotlib.figure import Figure as Figure
    from matplotlib.typing import RcKeyType

WIDTH = 4.4  # inches, the width of a phone: letters of 9 points stay 9 points
_STYLE: "dict[RcKeyType, Any]" = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e3e6e9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.hashsalt": "thermotorch",  # without it, names of clip paths are random
    "svg.fonttype": "path",  # a phone does not have our font
}


def svg(file: str, alt: str, height: float, draw: Callable[["Figure"], None], title: str = "") -> Picture:
    """Return the SVG that `draw` draws on an empty figure of `height` inches."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE, "backend": "svg"}):
        figure = Figure((WIDTH, height), layout="constrained")
        draw(figure)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(f"figures/{file}.svg", SVG, content.getvalue(), alt, title)
