"""Figures of energy show the ledgers: every line at its place, with its name, its joules, its range and its model."""

import pytest
from matplotlib.colors import to_hex

from tests.evaluation.energy.joules import close
from tests.evaluation.report.comparisons import BOUND, comparison
from thermotorch.evaluation.energy.ledger import LANDAUER
from thermotorch.evaluation.report.energy_figures import energy_figures
from thermotorch.evaluation.report.sides import models, sides_of

INK = "#1b1f24"


def ledgers_of(side, kind):
    """The ledgers with joules of this kind, and measured ones that could not be read."""
    wanted = {"modelled": ("modelled",), "measured": ("measured", "unavailable")}[kind]
    found = [ledger for ledger in side.result.ledgers if ledger.kind in wanted]
    return found if any(ledger.kind == kind for ledger in found) else []


def panels(sides, kind):
    """By file, as it should be: for each heading its colour, and (name, line) from top to bottom."""
    shown = [side for side in sides if ledgers_of(side, kind)]
    found = {
        f"energy_{kind}": [
            (side.label, side.colour, [(ledger.scenario, ledger.total) for ledger in ledgers_of(side, kind)])
            for side in shown
        ]
    }
    for k, side in enumerate(models(shown), 1):
        groups = [
            (ledger.scenario, side.colour,
             [*((line.contribution, line) for line in ledger.lines if line.contribution != LANDAUER),
              ("total", ledger.total)])
            for ledger in ledgers_of(side, kind)
        ]  # fmt: skip
        if any(len(lines) > 2 for _, _, lines in groups):  # of one contribution the total says it all
            found[f"energy_{kind}_{k}"] = groups
    return found


def half(colour):
    return "#" + "".join(f"{int(colour[k : k + 2], 16) // 2:02x}" for k in (1, 3, 5))


@pytest.mark.parametrize("kind", ["modelled", "measured"])
def test_every_line_of_the_ledgers_is_drawn_below_its_heading_in_the_colour_of_its_model(kind, drawn):
    sides = sides_of(comparison(4), {})
    (gallery,) = energy_figures(sides, kind)
    expected = panels(sides, kind)
    assert drawn.keys() == expected.keys() and [picture.file for picture in gallery.pictures] == list(expected)
    scale = BOUND.joule if kind == "modelled" else None
    for (file, groups), picture in zip(expected.items(), gallery.pictures, strict=True):
        (axes,) = drawn[file].axes
        heads = [text for text in axes.texts if text.get_weight() == "bold"]
        ticks = [tick.get_text() for tick in axes.get_yticklabels()]
        names = {round(float(y), 9): name for y, name in zip(axes.get_yticks(), ticks, strict=True)}
        bars = {round(float(bar.get_y() + bar.get_height() / 2), 9): bar for bar in axes.patches}
        ranges = [segment for each in axes.collections for segment in each.get_segments()]
        whiskers = {round(float(segment[0][1]), 9): segment[:, 0] for segment in ranges}
        order = []
        for (heading, colour, lines), head in zip(groups, heads, strict=True):
            assert head.get_text() == heading and heading in picture.alt
            order.append((head.xy[1], heading))
            below = [y for y in sorted(names) if y > head.xy[1]][: len(lines)]
            for y, (name, line) in zip(below, lines, strict=True):
                order.append((y, name))
                assert names[y] == name
                words = f"at least {line.joule:.2g} J" if line.at_least else f"{line.joule or 0:.2g} J"
                words = "unavailable" if line.joule is None else "0" if line.joule == 0 else words
                (text,) = [text for text in axes.texts if text.xy[1] == pytest.approx(y)]
                assert text.get_text() == words and f"{name} {words}" in picture.alt
                if not line.joule:
                    assert y not in bars
                    continue
                start = scale or axes.get_xlim()[0]
                assert bars[y].get_x() == close(start)
                assert bars[y].get_x() + bars[y].get_width() == close(line.joule)
                assert to_hex(bars[y].get_facecolor()) == (half(colour) if line.is_total else colour)
                assert text.xy[0] == close(line.most)
                assert (y in whiskers) == (line.least < line.most)
                if y in whiskers:
                    assert whiskers[y].tolist() == [close(line.least), close(line.most)]
        assert order == sorted(order), "from the top to the bottom"
        bottom, top = axes.get_ylim()
        assert top < order[0][0] and order[-1][0] + 0.31 < bottom, "no bar is cut off"
        assert axes.get_xscale() == "log" and axes.get_xlabel() == "joule per sample"
        dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert [line.get_xdata()[0] for line in dotted] == ([scale] if scale else [])
        assert axes.xaxis.get_major_formatter()(1e-15, 0) == "1e-15"
    assert len({figure.axes[0].get_xlim() for figure in drawn.values()}) == 1, "one axis for all"


@pytest.mark.parametrize("kind", ["modelled", "measured"])
def test_titles_say_the_kind_and_the_model_and_the_caption_what_the_bars_start_at(kind, drawn):
    sides = sides_of(comparison(4), {})
    (gallery,) = energy_figures(sides, kind)
    first, *others = gallery.pictures
    assert first.title == f"Totals, {kind}" and first.alt.startswith(f"{first.title}, joule per sample. ")
    by_model = [side.label for side in models(sides)]
    assert [picture.title for picture in others] == (
        [f"{label}, {kind}, by contribution" for label in by_model] if kind == "modelled" else []
    )
    assert gallery.caption.startswith(f"Energy of one sample, {kind}, in joule on a logarithmic axis")
    assert ("start at Landauer's bound" in gallery.caption) == (kind == "modelled")


def test_every_line_of_a_figure_has_the_same_room(drawn):
    """The heights differ by as many lines as the figures do, a heading and the gap above it counting 1.4."""
    list(energy_figures(sides_of(comparison(4), {}), "modelled"))
    lines, heights = [], []
    for figure in drawn.values():
        (axes,) = figure.axes
        heads = sum(text.get_weight() == "bold" for text in axes.texts)
        lines.append(len(axes.get_yticks()) + 1.4 * heads)
        heights.append(figure.get_figheight())
    (most, least) = (max(range(len(lines)), key=lambda k: lines[k] * sign) for sign in (1, -1))
    room = (heights[most] - heights[least]) / (lines[most] - lines[least])
    assert 0.15 < room < 0.3, "inches, for letters of 9 points"
    assert [height - room * count for height, count in zip(heights, lines, strict=True)] == pytest.approx(
        [heights[0] - room * lines[0]] * len(lines)
    )
    assert heights[0] - room * lines[0] > 0.5, "room for the axis and its label"
