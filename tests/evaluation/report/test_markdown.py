import pytest

from thermotorch.evaluation.report.content import SVG, Bullets, Gallery, Paragraph, Picture, Report, Section, Table
from thermotorch.evaluation.report.markdown import as_markdown, bullet, number, table


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
