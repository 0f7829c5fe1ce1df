"""Figures of quality show the numbers of the comparison, each at its place."""

import pytest
from matplotlib.figure import Figure

from tests.evaluation.report.comparisons import comparison
from thermotorch.evaluation.report import quality_figures
from thermotorch.evaluation.report.content import PNG, Picture
from thermotorch.evaluation.report.sides import sides_of
from thermotorch.evaluation.results import OBSERVATION_TIME


@pytest.fixture
def drawn(monkeypatch) -> dict[str, Figure]:
    """Return the figures by the name of their file, once they are drawn."""
    figures = {}

    def svg(file, alt, height, draw, title=""):
        figures[file] = Figure()
        draw(figures[file])
        return Picture(file, PNG, b"", alt, title)

    monkeypatch.setattr(quality_figures.plot, "svg", svg)
    return figures


def test_curves_go_through_the_points_with_their_errors_above_the_floor_of_real_images(drawn):
    found = comparison(3)
    list(quality_figures.curves(found, sides_of(found, {})))
    distance, recognised = drawn[f"curve_{OBSERVATION_TIME.replace(' ', '_')}"].axes
    *_, floor = distance.lines
    assert floor.get_label() == "real images" and set(floor.get_ydata()) == {found.real[0].value}
    for bars, line, label in zip(
        distance.containers, recognised.lines, ("machine.number_0", "machine.number_2"), strict=True
    ):
        points = found.results[label].curve
        curve, _, (errors,) = bars
        assert bars.get_label() == label
        assert [*zip(*curve.get_data(), strict=True)] == [(point.x, point.frechet) for point in points]
        assert [*zip(*line.get_data(), strict=True)] == [(point.x, point.recognised) for point in points]
        for point, segment in zip(points, errors.get_segments(), strict=True):
            ends = [point.frechet - point.frechet_stderr, point.frechet + point.frechet_stderr]
            assert segment[:, 1].tolist() == pytest.approx(ends)


def test_bars_are_the_shares_of_the_classes_in_percent(drawn):
    found = comparison(2)
    list(quality_figures.classes(found.protocol, sides_of(found, {})))
    for panel, (label, result) in zip(drawn["classes"].axes, found.results.items(), strict=True):
        assert panel.get_title() == label
        heights = [bar.get_height() for bar in panel.patches]
        assert heights == pytest.approx([100 * count / sum(result.class_counts) for count in result.class_counts])
        assert set(panel.lines[0].get_ydata()) == {25.0}
