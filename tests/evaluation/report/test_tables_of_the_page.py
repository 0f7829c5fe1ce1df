"""The page, the Markdown and the content of a report say the same: each table is read back and compared."""

import re
from html.parser import HTMLParser

import pytest

from tests.evaluation.report.comparisons import comparison
from thermotorch.evaluation.metrics import METRICS
from thermotorch.evaluation.report import plot
from thermotorch.evaluation.report.as_html import as_html
from thermotorch.evaluation.report.content import SVG, Bullets, Film, Films, Gallery, Paragraph, Picture, Report, Table
from thermotorch.evaluation.report.markdown import as_markdown
from thermotorch.evaluation.report.sections import report_of


class Tables(HTMLParser):
    """The tables of a page: caption, and cells with their tag, classes and label."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict] = []
        self.where: str | None = None
        self.small = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "div" and given.get("role") == "region":
            self.found.append({"label": given["aria-label"], "short": "short" in given["class"], "caption": "",
                               "lines": [], "words": False})  # fmt: skip
        elif tag == "table":
            self.found[-1]["words"] = given.get("class") == "words"
        elif tag == "tr":
            self.found[-1]["lines"].append([])
        elif tag in ("td", "th"):
            number = given.get("class") == "number"
            self.found[-1]["lines"][-1].append([tag, number, given.get("data-label"), given.get("role"), "", ""])
            self.where = tag
        elif tag == "caption":
            self.where = tag
        elif tag == "small":
            self.small = True

    def handle_endtag(self, tag):
        if tag in ("td", "th", "caption"):
            self.where = None
        elif tag == "small":
            self.small = False

    def handle_data(self, data):
        if self.where == "caption":
            self.found[-1]["caption"] += data
        elif self.where:
            self.found[-1]["lines"][-1][-1][5 if self.small else 4] += data


def plain(text):
    return text.replace("**", "").replace("`", "")


@pytest.fixture(scope="module")
def report() -> Report:
    with pytest.MonkeyPatch.context() as patch:  # the drawings are compared elsewhere
        patch.setattr(plot, "svg", lambda file, alt, height, draw, title="": Picture(file, SVG, b"", alt, title))
        return report_of(comparison(5), {"digital.mnist": {"parameters": 7, "data": {"name": "MNIST"}}})


def blocks_of(report, kind):
    return [block for block in report.blocks() if isinstance(block, kind)]


def test_every_table_of_the_page_is_the_table_of_the_content(report):
    tables, found = blocks_of(report, Table), Tables(as_html(report)).found
    assert len(tables) == len(found) > 10 and any(table.words for table in tables)
    assert {len(table.rows) > 12 for table in tables} == {True, False}
    for table, shown in zip(tables, found, strict=True):
        assert shown["caption"] == plain(table.caption) and shown["label"] == table.caption
        assert shown["short"] == (len(table.rows) <= 12) and shown["words"] == table.words
        columns = [k for k in range(len(table.header)) if k not in table.fine]
        head, *lines = shown["lines"]
        assert [cell[4] + cell[5] for cell in head] == [plain(table.header[k]) for k in columns]
        assert [cell[1] for cell in head] == [k in table.right for k in columns]
        for row, line in zip(table.rows, lines, strict=True):
            assert [tag for tag, *_ in line] == ["th"] + ["td"] * (len(columns) - 1)
            assert line[0][4].strip() == plain(row[0])
            fine = [(table.header[k], plain(row[k])) for k in table.fine if row[k] not in ("", "-")]
            said = line[0][5].split(" · ") if line[0][5] else []
            for (name, text), words in zip(fine, said, strict=True):
                counted = f"{text} samples" if name == "samples" else f"{name} {text}"
                assert words == (counted if text.replace(",", "").isdigit() or name == "samples" else text)
            for k, (_, number, label, role, text, small) in zip(columns[1:], line[1:], strict=True):
                assert text + small == plain(row[k]), (table.caption, row[0])
                assert number == (k in table.right)
                assert small == (f"[{row[k].partition(' [')[2]}" if number and " [" in row[k] else "")
                assert (label, role) == ((table.header[k], "cell") if table.words else (None, None))


def test_marks_and_cells_of_a_page_by_hand():
    text = as_html(Report("t", [Paragraph("`x` and **y**, `")], []))
    assert "<code>x</code> and <strong>y</strong>, `" in text
    page = as_html(Report("t", [Table(["name", "value"], [["`k`", "2 [1, 3]"], ["n", "4 [open"]], right=(1,))], []))
    assert '<th scope="row"><code>k</code></th><td class="number">2 <small>[1, 3]</small></td>' in page
    assert '<th scope="row">n</th><td class="number">4 [open</td>' in page
    assert 'role="rowheader"' not in page
    assert '<th scope="row" role="rowheader">' in as_html(Report("t", [Table(["name"], [["n"]], words=True)], []))


def test_every_table_of_the_markdown_is_the_table_of_the_content(report):
    text = as_markdown(report)
    tables = re.findall(r"^(.*):\n\n((?:\|.*\n)+)", text, re.MULTILINE)
    for table, (caption, lines) in zip(blocks_of(report, Table), tables, strict=True):
        cells = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
                 for line in lines.splitlines()]  # fmt: skip
        assert caption == table.caption
        assert cells[0] == list(table.header) and cells[2:] == [list(row) for row in table.rows]
        assert [rule.endswith(":") for rule in cells[1]] == [k in table.right for k in range(len(table.header))]


def test_words_captions_pictures_and_sections_of_the_page_are_those_of_the_content_in_their_order(report):
    text = as_html(report)
    spoken = re.sub(r"<wbr>|</?(?:strong|code)>", "", text)
    expected = []
    for block in report.blocks():
        if isinstance(block, Paragraph):
            expected.append(plain(block.text))
        elif isinstance(block, Bullets):
            expected += [f"<li>{plain(item)}</li>" for item in block.items]
        elif isinstance(block, Gallery):
            assert f"--width:{block.width}rem" in text
            expected += [f'alt="{picture.alt}"' for picture in block.pictures]
            expected.append(f"<figcaption>{plain(block.caption)}</figcaption>")
        elif isinstance(block, Films):
            expected += [f'aria-label="{film.picture.alt}"' for film in block.films]
            expected.append(f"<figcaption>{plain(block.caption)}</figcaption>")
    at, unescaped = 0, spoken.replace("&#x27;", "'").replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">")
    for words in expected:
        at = unescaped.find(words, at)
        assert at >= 0, words
    for section in report.sections:
        assert f'<section id="{section.key}">\n<h2>{section.title}</h2>' in text
        assert f'<a href="#{section.key}">{section.title}</a>' in text
    for picture in [picture for block in blocks_of(report, Gallery) for picture in block.pictures]:
        image = text[: text.index(f'alt="{picture.alt}"')].rpartition("<img")[2]
        assert ("pixels" in image) == picture.pixels
        assert not picture.title or f"<h3>{picture.title}</h3>" in spoken


def test_the_key_says_which_arrow_is_better_as_the_records_of_the_metrics_do(report):
    (key,) = [block.text for block in report.blocks() if isinstance(block, Paragraph) and "↓" in block.text]
    for metric in METRICS:
        if metric.better:
            assert f"{metric.arrow.strip()} {metric.better} is better" in key
    assert "± one standard error" in key and "95 % interval" in key


def test_pictures_are_as_wide_as_what_is_written_in_them(report):
    """Samples are pictures alone; the names of contributions stand beside their bars."""
    widths = {block.caption.split()[0]: block.width for block in blocks_of(report, Gallery)}
    assert widths["The"] < widths["Frechet"] == widths["Classes,"] < widths["Energy"] <= 30


def test_sections_follow_the_order_of_a_reader(report):
    assert [(section.key, section.title) for section in report.sections] == [
        ("verdict", "Verdict"), ("samples", "Samples"), ("curves", "Distance against steps and observation time"),
        ("quality", "Quality and speed"), ("energy", "Energy"), ("assumed", "Assumptions"),
        ("notes", "Notes on the numbers"), ("protocol", "Protocol and commands"),
    ]  # fmt: skip
    kinds = {section.key: [type(block) for block in section.blocks] for section in report.sections}
    assert kinds["samples"] == [Gallery, Films] and kinds["protocol"] == [Table, Bullets]
    measured = [block.caption for block in report.blocks() if isinstance(block, Gallery) and "Energy" in block.caption]
    assert [caption.split(", ")[1] for caption in measured] == ["modelled", "measured"]


@pytest.mark.parametrize(
    ("frames", "places"),
    [
        (1, [0]),
        (2, [0, 100]),
        (6, [0, 20, 40, 60, 80, 100]),
        (11, [0, 20, 40, 60, 80, 100]),
        (8, [0, 14.29, 42.86, 57.14, 85.71, 100]),
    ],
)
def test_up_to_six_frames_of_a_film_are_shown_at_rest_evenly_from_the_first_to_the_last(frames, places):
    film = Film(Picture("", "image/png", b"", "a film", "it"), frames, 3)
    text = as_html(Report("t", [Films([film], Picture("s", "image/png", b"", "still"), "Caption.")], []))
    assert [float(place) for place in re.findall(r"--at:([\d.]+)%", text)] == places
    assert f"--frames:{frames};--images:3" in text
