"""The files of a report, from models that run: the text, and the numbers to compute with."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from tests.evaluation.report.comparisons import comparison as by_hand
from tests.evaluation.stand_ins import Device, Digital, feature_space
from thermotorch.evaluation import Comparison, Protocol, Row, compare, write_report
from thermotorch.evaluation.report.markdown import number
from thermotorch.evaluation.report.pictures import side_by_side
from thermotorch.evaluation.report.write import report_data

PROTOCOL = Protocol(
    name="test", num_samples=40, seed=3, batch_size=16, sampler="dpm++", steps=4, kernel_subsets=10,
    kernel_subset_size=20,
)  # fmt: skip
DISTANCE = "Frechet distance (thermotorch-test-v1)"


def recorded(metric, value, unit="", kind="measured", **more):
    return {"metric": metric, "value": value, "unit": unit, "num_samples": 10_000, "seed": 17, "kind": kind,
            "command": "thermotorch-evaluate protocol=full", **more}  # fmt: skip


CARDS = {
    "digital": {
        "sha256": "abc", "parameters": 1296, "data": {"name": "squares", "digits": [0, 2], "images_per_digit": 1},
        "training": {"command": "thermotorch-train"},
        "notes": "knows squares only",
        "metrics": [recorded(DISTANCE, 1.2345), recorded(DISTANCE, 2.3456), recorded("colour", 0.777)],
        "energy": [recorded("energy drawn, GPU board", 4.5678, "J per sample")],
    }
}  # fmt: skip


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    models = {"device": Device(), "digital": Digital()}
    return compare(models, PROTOCOL, feature_space(), command="thermotorch-compare a=device b=digital")


def written(comparison, folder, cards=CARDS):
    write_report(comparison, folder, cards)
    return (folder / "report.md").read_text(encoding="utf-8"), json.loads((folder / "report.json").read_text())


def tables(text):
    """Caption and lines of cells of each table."""
    found, caption = [], ""
    for before, line in zip(["", *text.splitlines()], text.splitlines(), strict=False):
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append((caption, []))
            found[-1][1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif line:
            caption = line
    return found


def table_row(text, caption, *cells):
    """The cells of the one line, in tables whose caption begins so, that begins with these cells."""
    lines = [row for title, rows in tables(text) if title.startswith(caption) for row in rows]
    (found,) = [line for line in lines if line[: len(cells)] == list(cells)]
    return found


def test_every_row_is_in_the_json_and_every_value_in_the_text(comparison, tmp_path):
    text, data = written(comparison, tmp_path)
    flat = " ".join(text.split())
    for label, result in comparison.results.items():
        assert [Row.from_dict(row) for row in data["models"][label]["rows"]] == result.rows
        assert data["models"][label]["ledgers"] == [ledger.to_dict() for ledger in result.ledgers]
        for row in result.rows:
            assert number(row.value, row.stderr) in text, row.metric
            assert row.note.replace(", sampler dpm++, steps 4", "") in flat
    assert data["protocol"] == PROTOCOL.to_dict()
    assert data["models"]["digital"]["recorded"][0]["value"] == 1.2345


def test_a_line_of_the_table_says_how_many_samples_which_seed_and_what_kind(comparison, tmp_path):
    text, _ = written(comparison, tmp_path)
    line = table_row(text, "Measured in this run", "recognised fraction ↑")
    assert line[-5:] == ["-", "40", "3", "measured", "-"]
    rows = [result.row("recognised fraction") for result in comparison.results.values()]
    assert line[1:3] == [number(row.value, row.stderr) for row in rows]


def test_recorded_rows_stand_in_a_table_of_their_own(comparison, tmp_path):
    text, _ = written(comparison, tmp_path)
    line = table_row(text, "Recorded in the model cards", "colour")
    assert line == ["colour", "-", "0.777", "-", "10,000", "17", "measured", "-"]
    lines = [
        row for title, rows in tables(text) for row in rows if title.startswith("Recorded") and "Frechet" in row[0]
    ]
    assert [row[2] for row in lines] == ["1.234", "2.346"]  # the same metric, recorded for two samplers
    assert "training of digital: `thermotorch-train`" in text
    assert table_row(text, "The models", "digital")[2:] == [
        "sampler dpm++, steps 4", "1,296", "squares, digits 0 2, 1 image of each",
    ]  # fmt: skip
    assert "- digital: knows squares only" in text


def test_real_images_stand_in_their_own_column(comparison, tmp_path):
    floor = Row(f"{DISTANCE} of real squares", 0.0625, "", 10_000, 17, "measured")
    space = replace(comparison.space, recorded=(floor, Row("test accuracy", 0.99, "", 10, 0, "measured")))
    text, data = written(replace(comparison, space=space), tmp_path)
    (real,) = [row for row in comparison.real if row.metric == DISTANCE]
    line = table_row(text, "Measured in this run", "Frechet distance ↓")
    assert line[3].startswith(number(real.value, real.stderr)) and line[-1] == "thermotorch-test-v1"
    assert table_row(text, "Recorded in the model cards", "Frechet distance ↓", "-", "1.234")[3] == "0.0625"
    assert data["real_images"]["recorded"][0] == floor.to_dict()
    assert "test accuracy" not in text


def test_modelled_and_measured_joules_never_share_a_table(comparison, tmp_path):
    text, _ = written(comparison, tmp_path)
    energy = [
        (title, rows) for title, rows in tables(text) if "joule per sample" in title or title.startswith("Heat, work")
    ]
    assert len(energy) >= 5
    for title, rows in energy:
        assert ("modelled" in title) != ("measured" in title), title
        kinds = {row[-2] for row in rows[2:]} if title.startswith("Heat, work") else set()
        assert kinds <= {"unavailable", "modelled" if "modelled" in title else "measured"}
    heat = comparison.results["device"].row("generation heat at 300 K")
    line = table_row(text, "Heat, work and arithmetic, modelled in this run", "generation heat at 300 K")
    assert line[1:3] == [number(heat.value, heat.stderr), "-"]
    assert table_row(
        text, "Heat, work and arithmetic, measured in this run", "energy drawn, CPU package"
    )  # if unavailable
    assert (
        table_row(text, "Heat, work and arithmetic, measured in the model cards", "energy drawn, GPU board")[1]
        == "4.568"
    )
    before = text.split("## Energy")[0].split("## Samples")[1]
    assert not [row for _, rows in tables(before) for row in rows if any(cell.startswith("J per") for cell in row)]


def test_a_report_of_half_a_comparison_says_what_is_missing(comparison, tmp_path):
    half = replace(comparison, results={"device": comparison.results["device"]})
    text, data = written(half, tmp_path)
    assert "Not finished: digital." in text and "needs two finished models" in text
    assert data["models"]["digital"]["finished"] is False and data["models"]["digital"]["rows"] == []
    assert table_row(text, "The models", "digital")[1] == "not reached"
    assert (tmp_path / "samples.png").is_file()


def test_a_report_before_the_first_result_exists_too(comparison, tmp_path):
    text, data = written(replace(comparison, results={}), tmp_path)
    assert "Not finished: device, digital." in text and data["models"]["device"]["rows"] == []
    assert not (tmp_path / "samples.png").exists()


def test_a_report_without_cards(comparison, tmp_path):
    text, _ = written(comparison, tmp_path, cards={})
    assert "Recorded in the model cards" not in text


def test_the_text_links_pictures_that_are_there(comparison, tmp_path):
    paths = write_report(comparison, tmp_path)
    assert [path.name for path in paths[:3]] == ["report.html", "report.md", "report.json"]
    assert all(path.is_file() for path in paths)
    links = [line.rpartition("(")[2][:-1] for line in paths[1].read_text().splitlines() if line.startswith("![")]
    assert links and all(tmp_path / link in paths for link in links)
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.width > 1300 and picture.height > 400


def test_samples_stand_below_their_model_their_number_and_their_seed(comparison, tmp_path, monkeypatch):
    seen, draw = [], side_by_side
    monkeypatch.setattr(
        "thermotorch.evaluation.report.write.side_by_side", lambda panels: seen.extend(panels) or draw(panels)
    )
    protocol = replace(comparison.protocol, num_samples=1234)  # of which a result keeps the first images
    write_report(replace(comparison, protocol=protocol), tmp_path)
    of = f"of 1,234 samples, seed {protocol.seed}"
    assert [panel[:2] for panel in seen] == [
        (label, f"the first {len(result.images)} {of}") for label, result in comparison.results.items()
    ]
    assert all(panel[2] is result.images for panel, result in zip(seen, comparison.results.values(), strict=True))


def test_every_field_of_the_json_is_that_of_the_comparison_and_of_the_card_of_its_model():
    """By hand: two ways of sampling one model, a model that was not reached, notes and a floor of real images."""
    found = by_hand(4, 3)
    floor = Row("recognised fraction of real images", 0.99, "", 10, 0, "measured")
    found = replace(found, space=replace(found.space, recorded=(floor,)))
    cards = {**{"digital.mnist": CARDS["digital"]}, "machine.number_2": {"sha256": "def"}}
    data = report_data(found, cards)
    assert {key: data[key] for key in data.keys() - {"models"}} == {
        "format": 2,
        "command": "thermotorch-compare a=machine b=digital",
        "hardware": "an abacus, 10 beads",
        "protocol": found.protocol.to_dict(),
        "feature_space": {"name": "thermotorch-test-v1", "judge": "a stand-in judge"},
        "real_images": {"rows": [row.to_dict() for row in found.real], "recorded": [floor.to_dict()]},
    }
    assert list(data["models"]) == list(found.entries)
    for label, model in data["models"].items():
        card, result = cards.get(found.entries[label], {}), found.results.get(label)
        assert model == {
            "name": found.entries[label],
            "finished": result is not None,
            "sha256": card.get("sha256"),
            "rows": [row.to_dict() for row in result.rows] if result else [],
            "class_counts": [9, 11, 13, 7] if result else None,
            "ledgers": [ledger.to_dict() for ledger in result.ledgers] if result else [],
            "curve": [vars(point) for point in result.curve] if result else [],
            "recorded": [
                Row.from_dict(row).to_dict() for field in ("metrics", "energy") for row in card.get(field, ())
            ],
        }, label
    assert not data["models"]["digital.mnist, ddim 30"]["finished"]
