import pytest

from thermotorch.evaluation.report.content import (
    SVG,
    Bullets,
    Films,
    Gallery,
    Paragraph,
    Picture,
    Report,
    Section,
    Table,
)
from thermotorch.evaluation.report.markdown import as_markdown, bullet, number, table, with_unit
from thermotorch.zoo.rows import Row


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (None, None, "unavailable"),
        (532736, None, "532,736"),
        (0.25, None, "0.25"),
        (1.2345678e-17, None, "1.235e-17"),
        (0.0, None, "0"),
        (85.123, 2.31, "85.1 ± 2.3"),
        (1343.2, 18.3, "1,343 ± 18"),
        (5.561e-18, 6.5e-20, "(5.561 ± 0.065)e-18"),
        (-1e-5, 2e-4, "(-0.1 ± 2.0)e-4"),
        (1.0, 0.0, "1"),
    ],
)
def test_numbers(value, stderr, text):
    assert number(value, stderr) == text


def test_tables_are_aligned_and_escape_their_separator():
    lines = table(["name", "value"], [["a|b", "1"], ["c", "1,000"]], right=[1]).splitlines()
    assert lines == ["| name | value |", "| ---- | ----: |", "| a\\|b |     1 |", "| c    | 1,000 |"]


def test_bullets_fold_without_losing_a_word():
    text = "word " * 60
    assert bullet(text).startswith("- word") and max(map(len, bullet(text).splitlines())) <= 110
    assert bullet(text).split() == ["-", *text.split()]


def test_every_block_of_a_report_is_written_once_and_warnings_are_marked():
    picture = Picture("a.svg", SVG, b"", "two curves")
    blocks = [
        Paragraph("Plain."), Paragraph("Careful.", warning=True), Table(["n"], [["1"]], "Numbers"),
        Gallery([picture], "Below it."),
    ]  # fmt: skip
    text = as_markdown(Report("Title", [Bullets(["one", "two"])], [Section("a", "Part", blocks)]))
    assert text.splitlines() == [
        "# Title", "", "- one", "- two", "", "## Part", "", "Plain.", "", "**Note:** Careful.", "", "Numbers:", "",
        "| n   |", "| --- |", "| 1   |", "", "![two curves](a.svg)", "", "Below it.",
    ]  # fmt: skip


def test_films_are_a_still_picture_above_its_caption():
    films = Films([], Picture("still.png", SVG, b"", "noise becoming samples"), "From noise.")
    assert as_markdown(Report("Title", [films], [])).splitlines() == [
        "# Title", "", "![noise becoming samples](still.png)", "", "From noise.",
    ]  # fmt: skip


def test_a_unit_follows_its_number_and_a_pure_number_has_none():
    assert with_unit(Row("time", 0.25, "s per sample", 9, 0, "measured", stderr=0.01)) == "0.250 ± 0.010 s per sample"
    assert with_unit(Row("fraction", 0.5, "", 9, 0, "measured")) == "0.5"


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (999_999_999.0, None, "999,999,999"), (1e9, None, "1e+09"), (-3.0, None, "-3"), (2.5, 0.0, "2.5"),
        (0.0009, 0.0001, "(9.0 ± 1.0)e-4"), (0.001, 0.0001, "0.00100 ± 0.00010"), (2e6, 3e4, "(2.000 ± 0.030)e6"),
        (999_999.0, 2000.0, "999,999 ± 2,000"), (0.5, 9.6, "0.5 ± 9.6"),
    ],
)  # fmt: skip
def test_numbers_at_the_edges_of_their_forms(value, stderr, text):
    assert number(value, stderr) == text
