"""Figures of quality show the numbers of the comparison, each at its place."""

from dataclasses import replace

import pytest
from matplotlib.colors import to_hex

from tests.evaluation.report.comparisons import FRECHET, PROTOCOL, comparison, row
from thermotorch.evaluation import CurvePoint
from thermotorch.evaluation.report.content import Gallery, Table
from thermotorch.evaluation.report.markdown import number
from thermotorch.evaluation.report.quality_figures import classes, curves
from thermotorch.evaluation.report.sides import sides_of
from thermotorch.evaluation.results import NETWORK_EVALUATIONS, OBSERVATION_TIME

FILES = {axis: f"curve_{axis.replace(' ', '_')}" for axis in (NETWORK_EVALUATIONS, OBSERVATION_TIME)}


def drawn_curves(found) -> tuple[list, Gallery, Table]:
    sides = sides_of(found, {})
    gallery, table = curves(found, sides)
    return sides, gallery, table


def lines_of(figure) -> dict[str, list[tuple[float, float, float, float, float]]]:
    """By label: where, distance, the ends of its bar, and the recognised fraction; the same colours in both panels."""
    distance, recognised = figure.axes
    found = {}
    for bars, below in zip(distance.containers, recognised.lines, strict=True):
        curve, _, (errors,) = bars
        assert curve.get_color() == below.get_color() and curve.get_marker() == below.get_marker()
        ends = [segment[:, 1] for segment in errors.get_segments()]
        points = zip(curve.get_xdata(), curve.get_ydata(), ends, below.get_xdata(), below.get_ydata(), strict=True)
        found[bars.get_label()] = [(x, y, low, high, share) for x, y, (low, high), at, share in points if x == at]
    return found


def test_curves_go_through_the_points_with_their_errors_above_the_floor_of_real_images(drawn):
    found = comparison(3)
    drawn_curves(found)
    figure = drawn[FILES[OBSERVATION_TIME]]
    shown = lines_of(figure)
    assert list(shown) == ["machine.number_0", "machine.number_2"]
    for label, points in shown.items():
        assert points == [
            (point.x, point.frechet, pytest.approx(point.frechet - point.frechet_stderr),
             pytest.approx(point.frechet + point.frechet_stderr), point.recognised)
            for point in found.results[label].curve
        ]  # fmt: skip
    *_, floor = figure.axes[0].lines
    assert floor.get_label() == "real images" and set(floor.get_ydata()) == {found.real[0].value}
    assert floor.get_linestyle() == "--"


def test_samplings_of_one_model_that_differ_in_their_steps_are_one_line_in_their_order(drawn):
    """ddim 10 and ddim 30 are points of one line; a device keeps its name, whatever number stands at its end."""
    found = comparison(4)
    first = found.results["machine.number_0"]
    numbered = {**found.results, first.label: replace(first, label="machine 7")}
    found = replace(found, results={result.label: result for result in numbered.values()})
    steps = [(label, result) for label, result in found.results.items() if not result.thermodynamic]
    assert [label for label, _ in steps] == ["digital.mnist, ddim 10", "digital.mnist, ddim 30"]
    backwards = dict(reversed(found.results.items()))
    entries = {label: result.name for label, result in backwards.items()}
    sides, gallery, table = drawn_curves(replace(found, results=backwards, entries=entries))
    shown = lines_of(drawn[FILES[NETWORK_EVALUATIONS]])
    assert list(shown) == ["digital.mnist, ddim"]
    assert "machine 7" in lines_of(drawn[FILES[OBSERVATION_TIME]])
    assert [(x, y) for x, y, *_ in shown["digital.mnist, ddim"]] == [
        (result.curve[0].x, result.curve[0].frechet) for _, result in steps
    ]
    (line,) = drawn[FILES[NETWORK_EVALUATIONS]].axes[1].lines
    assert line.get_color() == next(side.colour for side in sides if side.label == "digital.mnist, ddim 30")
    assert [picture.file for picture in gallery.pictures] == list(FILES.values())
    for axis, picture in zip(FILES, gallery.pictures, strict=True):
        names = list(lines_of(drawn[FILES[axis]]))
        assert picture.alt.startswith(f"Frechet distance and recognised fraction against {axis} for {', '.join(names)}")


def test_the_table_lists_the_points_that_the_figures_show(drawn):
    found = comparison(4)
    _, _, table = drawn_curves(found)
    assert list(table.header) == ["model", "axis", "at", "Frechet distance ↓", "recognised fraction ↑"]
    assert table.rows == [
        [label, axis, f"{x:g}", number(y, (high - low) / 2), number(share)]
        for axis, file in FILES.items()
        for label, points in lines_of(drawn[file]).items()
        for x, y, low, high, share in points
    ]
    assert tuple(table.right) == (2, 3, 4), "the numbers"


def test_axes_say_what_they_are_and_which_way_is_better(drawn):
    found = comparison(2)
    _, gallery, _ = drawn_curves(found)
    labels = {NETWORK_EVALUATIONS: "network evaluations for an image",
              OBSERVATION_TIME: "observation time, in mobility times"}  # fmt: skip
    for axis, label in labels.items():
        distance, recognised = drawn[FILES[axis]].axes
        assert distance.get_title() == "Frechet distance, lower is better"
        assert recognised.get_title() == "recognised fraction, higher is better"
        assert recognised.get_xlabel() == label
        assert [axes.get_xscale() for axes in (distance, recognised)] == ["log", "log"]
        assert (distance.get_yscale(), recognised.get_yscale()) == ("log", "linear")
        low, high = recognised.get_ylim()
        assert low == 0 and 1 < high < 1.2 and recognised.get_yticks().tolist() == [0, 0.5, 1]
        places = sorted({point.x for result in found.results.values() for point in result.curve if point.axis == axis})
        assert distance.get_xticks().tolist() == places
        assert [tick.get_text() for tick in recognised.get_xticklabels()] == [f"{x:g}" for x in places]
        assert distance.yaxis.get_major_formatter()(2.5, 0) == "2.5"
        (legend,) = drawn[FILES[axis]].legends
        handles = [text.get_text() for text in legend.get_texts()]
        assert sorted(handles) == sorted([*lines_of(drawn[FILES[axis]]), "real images"])
    assert gallery.caption == (
        f"Frechet distance (thermotorch-test-v1) and recognised fraction, measured with {PROTOCOL.num_samples} samples "
        f"a point unless the notes say otherwise, seed {PROTOCOL.seed}. Bars are one standard error; the dashed line "
        "is the score of as many real images."
    )


def with_points(found, places):
    result = found.results["machine.number_0"]
    points = tuple(CurvePoint(OBSERVATION_TIME, x, 3.0, 0.1, 0.5) for x in places)
    return replace(found, results={result.label: replace(result, curve=points)})


@pytest.mark.parametrize(("count", "named"), [(8, True), (9, False)])
def test_up_to_eight_lengths_have_ticks_of_their_own(count, named, drawn):
    places = [0.3 * 1.7**k for k in range(count)]
    drawn_curves(with_points(comparison(1), places))
    ticks = drawn[FILES[OBSERVATION_TIME]].axes[0].get_xticks().tolist()
    assert (ticks == places) == named


@pytest.mark.parametrize(("letters", "columns"), [(24, 2), (25, 1)])
def test_long_names_have_a_line_of_the_legend_each(letters, columns, drawn):
    found = with_points(comparison(1), [1.0])
    (result,) = found.results.values()
    name = "m" * letters
    drawn_curves(replace(found, entries={name: name}, results={name: replace(result, label=name)}))
    assert drawn[FILES[OBSERVATION_TIME]].legends[0]._ncols == columns


@pytest.mark.parametrize("floor", [0.0, None])
def test_a_floor_that_a_logarithm_does_not_have_or_nobody_measured_is_left_out(floor, drawn):
    drawn_curves(replace(comparison(1), real=[row(FRECHET, floor)]))
    labels = drawn[FILES[OBSERVATION_TIME]].axes[0].get_legend_handles_labels()[1]
    assert labels == ["machine.number_0"]


def test_without_points_there_are_no_curves(drawn):
    found = comparison(2)
    without = {label: replace(result, curve=()) for label, result in found.results.items()}
    assert list(curves(replace(found, results=without), sides_of(replace(found, results=without), {}))) == []
    assert list(curves(comparison(2, 0), sides_of(comparison(2, 0), {}))) == [] and not drawn


@pytest.mark.parametrize("models", [2, 3])
def test_bars_are_the_shares_of_the_classes_in_percent(models, drawn):
    found = comparison(models)
    uneven = replace(found.results["machine.number_0"], class_counts=[1000, 2000, 4000, 500])
    found = replace(found, results={**found.results, "machine.number_0": uneven})
    sides = sides_of(found, {})
    gallery, table = classes(found.protocol, sides)
    panels = [panel for panel in drawn["classes"].axes if panel.get_visible()]
    assert len(drawn["classes"].axes) == 2 * ((models + 1) // 2), "two beside each other"
    for panel, (label, result), side in zip(panels, found.results.items(), sides, strict=True):
        assert panel.get_title() == label and label in gallery.pictures[0].alt
        heights = [bar.get_height() for bar in panel.patches]
        assert heights == pytest.approx([100 * count / sum(result.class_counts) for count in result.class_counts])
        centres = [bar.get_x() + bar.get_width() / 2 for bar in panel.patches]
        assert centres == pytest.approx([0, 1, 2, 3]) and panel.get_xticks().tolist() == [0, 1, 2, 3]
        assert {to_hex(bar.get_facecolor()) for bar in panel.patches} == {side.colour}
        assert set(panel.lines[0].get_ydata()) == {25.0} and panel.lines[0].get_linestyle() == "--"
        assert table.rows[sides.index(side)] == [label, *(f"{count:,}" for count in result.class_counts)]
    assert list(table.header) == ["samples of", "0", "1", "2", "3"] and tuple(table.right) == (1, 2, 3, 4)
    assert drawn["classes"].get_supylabel() == "samples, %"
    of = f"of {PROTOCOL.num_samples} samples of each model, measured, seed {PROTOCOL.seed}"
    assert of in gallery.caption and "dashed line marks equal shares" in gallery.caption


def test_two_more_models_make_the_figure_of_the_classes_one_row_higher(drawn):
    heights = []
    for models in (1, 2, 3, 5):
        list(classes(PROTOCOL, sides_of(comparison(models), {})))
        heights.append(drawn["classes"].get_figheight())
    one, two, three, five = heights
    assert one == two > three - two > 1 and five - three == pytest.approx(three - two)


def test_samples_of_no_class_and_no_results(drawn):
    found = comparison(1)
    (result,) = found.results.values()
    list(classes(PROTOCOL, sides_of(replace(found, results={result.label: replace(result, class_counts=[0, 0])}), {})))
    assert [bar.get_height() for bar in drawn["classes"].axes[0].patches] == [0, 0]
    assert list(classes(PROTOCOL, sides_of(comparison(1, 0), {}))) == []
