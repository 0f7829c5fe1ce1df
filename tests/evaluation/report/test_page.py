"""The page: well-formed, complete, self-contained, safe, and the same twice."""

import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest

from tests.evaluation.report.comparisons import FRECHET, comparison, result, row
from thermotorch.evaluation import write_report
from thermotorch.evaluation.report.markdown import number

VOID = {"meta", "link", "img", "input", "wbr", "br"}
SIZES = [(1, 1), (2, 2), (8, 8), (3, 1), (2, 0)]  # models asked for, models reached


class Page(HTMLParser):
    """Reads a page and refuses one whose tags are not balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text: list[tuple[str, str]] = []  # (innermost table cell or other tag, text)
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in <{tag}>"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> does not close what is open"

    def handle_data(self, data):
        where = next((tag for tag in reversed(self.open) if tag in ("td", "th", "style")), "text")
        self.text.append((where, data))

    def words(self, where: str | None = None) -> str:
        return "".join(data for tag, data in self.text if tag == where or where is None and tag != "style")


def page_of(found, folder, cards=None) -> str:
    write_report(found, folder, cards)
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of the report with so many models, of which so many were reached; written once."""

    @cache
    def folder_of(models: int, reached: int | None = None):
        folder = tmp_path_factory.mktemp("report")
        write_report(comparison(models, reached), folder)
        return folder

    return folder_of


@pytest.fixture
def text_of(written):
    return lambda *sizes: (written(*sizes) / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("models", "reached"), SIZES)
def test_every_page_is_well_formed(models, reached, text_of):
    page = Page(text_of(models, reached))
    names = [tag for tag, _ in page.tags]
    assert [names.count(tag) for tag in ("html", "head", "body", "main", "h1", "title")] == [1] * 6
    assert ("html", {"lang": "en"}) in page.tags
    keys = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(keys)) == len(keys)
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == [f"#{key}" for key in keys] and links[0] == "#verdict"


@pytest.mark.parametrize(("models", "reached"), SIZES)
def test_nothing_is_fetched_and_nothing_runs(models, reached, text_of):
    text = text_of(models, reached)
    for tag, attributes in Page(text).tags:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form")
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("data:", "#")), attributes[name]
    assert set(re.findall(r"url\((.{5})", text)) <= {"data:"}
    assert "@import" not in text
    policy = next(attributes for _, attributes in Page(text).tags if "http-equiv" in attributes)
    assert policy["content"].startswith("default-src 'none';")


def test_every_number_of_the_json_stands_in_a_table(text_of, written):
    found = comparison(8)
    cells = Page(text_of(8, 8)).words("td")
    data = json.loads((written(8, 8) / "report.json").read_text(encoding="utf-8"))
    assert list(data["models"]) == found.labels
    for model in data["models"].values():
        for metric in model["rows"]:
            assert number(metric["value"], metric.get("stderr")) in cells, metric
            if "low" in metric:
                assert f"[{metric['low']:.3g} to {metric['high']:.3g}]" in cells
        for ledger in model["ledgers"]:
            for entry in ledger["lines"]:
                assert ("unavailable" if entry["joule"] is None else f"{entry['joule']:.3g}") in cells, entry
        for point in model["curve"]:
            assert number(point["frechet"], point["frechet_stderr"]) in cells and f"{point['x']:g}" in cells
        assert all(f"{count:,}" in cells for count in model["class_counts"])
    assert number(1.0625, 0.0375) in cells  # of real images
    assert all(str(value) in cells for value in data["protocol"].values() if value is not None)


def test_every_text_of_others_is_escaped(tmp_path):
    evil = '<script>alert("x")</script>&amp;'
    found = result(0, label=evil)
    found = replace(found, name=evil, sampling=evil, rows=[*found.rows, row(evil, 1.5, evil, note=evil)])
    other = replace(comparison(2), entries={evil: evil}, results={evil: found}, command=evil, hardware=evil)
    cards = {evil: {"notes": evil, "data": {"name": evil}, "training": {"command": evil}}}
    text = page_of(other, tmp_path, cards)
    assert "<script" not in text and "&amp;amp;" in text
    page = Page(text)
    assert page.words().count(evil) >= 8
    assert [attributes for tag, attributes in page.tags if tag == "img" and evil in attributes["alt"]]


def test_every_picture_says_what_it_shows_and_every_table_names_its_lines(text_of):
    page = Page(text_of(3, 3))
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) > 5 and all(len(attributes["alt"]) > 10 for attributes in pictures)
    films = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(films) == 3 and all("noise" in attributes["aria-label"] for attributes in films)
    heads = [attributes for tag, attributes in page.tags if tag == "th"]
    assert {attributes["scope"] for attributes in heads} == {"col", "row"}
    tables = [tag for tag, _ in page.tags if tag in ("table", "caption")]
    assert tables.count("table") == tables.count("caption") > 8


def test_two_reports_of_one_comparison_have_the_same_bytes(written, tmp_path):
    before = {path.relative_to(written(3, 3)): path for path in written(3, 3).rglob("*.*")}
    after = {path.relative_to(tmp_path): path for path in write_report(comparison(3), tmp_path)}
    assert before.keys() == after.keys() and len(after) > 10
    for name, path in after.items():
        assert path.read_bytes() == before[name].read_bytes(), name


def test_a_film_has_all_its_frames_and_shows_the_last_at_rest(text_of):
    text = text_of(2, 2)
    frames = [len(found.strip) for found in comparison(2).results.values()]
    assert [int(count) for count in re.findall(r"--frames:(\d+)", text)] == frames
    film = text.partition('<div class="film"')[2]
    places = re.findall(r"--at:([\d.]+)%", film.partition("</div></div>")[0])
    assert (places[0], places[-1]) == ("0", "100")
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "prefers-reduced-motion: reduce" in style and "@media print" in style


def test_tables_of_many_models_are_split_so_that_they_fit_a_sheet(text_of):
    text = text_of(8, 8)
    heads = re.findall(r"<thead>.*?</thead>", text)
    assert max(head.count("<th") for head in heads) <= 7
    assert text.count("Measured in this run (") >= 4  # caption and label of two parts


def test_the_frechet_distance_names_its_judge(text_of):
    text = text_of(2, 2)
    lines = [line for line in text.splitlines() if line.startswith('<tr><th scope="row">Frechet distance')]
    assert lines and all(FRECHET.partition("(")[2][:-1] in line for line in lines)


def test_the_assumptions_name_the_judge_and_what_it_is(text_of):
    assert "in the feature space thermotorch-test-v1, a stand-in judge." in Page(text_of(1, 1)).words()
