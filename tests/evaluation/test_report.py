import json
from dataclasses import replace

import pytest
from PIL import Image

from tests.evaluation.stand_ins import Device, Digital, feature_space
from thermotorch.evaluation import Comparison, Protocol, Row, compare, write_report
from thermotorch.evaluation.markdown import number

PROTOCOL = Protocol(
    name="test", num_samples=40, seed=3, batch_size=16, steps=4, kernel_subsets=10, kernel_subset_size=20
)
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


def table_row(text, *cells):
    """The cells of the one line of a table that begins with these cells."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    (found,) = [line for line in lines if line[: len(cells)] == list(cells)]
    return found


def test_every_row_is_in_the_json_and_every_value_in_the_text(comparison, tmp_path):
    text, data = written(comparison, tmp_path)
    for name, result in comparison.results.items():
        assert [Row.from_dict(row) for row in data["models"][name]["rows"]] == result.rows
        for row in result.rows:
            assert number(row.value, row.stderr) in text, row.metric
    flat = " ".join(text.split())
    for result in comparison.results.values():
        for row in result.rows:
            assert row.note.replace(", sampler dpm++, steps 4", "") in flat
    assert data["protocol"] == PROTOCOL.to_dict()
    assert data["models"]["digital"]["recorded"][0]["value"] == 1.2345


def test_a_line_of_the_table_says_how_many_samples_which_seed_and_what_kind(comparison, tmp_path):
    text, _ = written(comparison, tmp_path)
    line = table_row(text, "recognised fraction ↑", "this run")
    assert line[-3:] == ["40", "3", "measured"]
    rows = [result.row("recognised fraction") for result in comparison.results.values()]
    assert line[2:4] == [number(row.value, row.stderr) for row in rows]


def test_recorded_rows_are_marked_as_such(comparison, tmp_path):
    text, _ = written(comparison, tmp_path)
    assert table_row(text, "colour", "card")[2:] == ["-", "0.777", "-", "-", "10,000", "17", "measured"]
    cards = [line for line in text.splitlines() if DISTANCE in line and "| card " in line]
    assert "1.234" in cards[0] and "2.346" in cards[1]  # the same metric, recorded for two samplers
    assert "training of digital: `thermotorch-train`" in text
    assert table_row(text, "digital", "digital")[2:] == [
        "sampler dpm++, steps 4", "1,296", "squares, digits 0 2, 1 image of each",
    ]  # fmt: skip
    assert "- digital: knows squares only" in text


def test_real_images_stand_in_their_own_column(comparison, tmp_path):
    floor = Row(f"{DISTANCE} of real squares", 0.0625, "", 10_000, 17, "measured")
    space = replace(comparison.space, recorded=(floor, Row("test accuracy", 0.99, "", 10, 0, "measured")))
    text, data = written(replace(comparison, space=space), tmp_path)
    (real,) = [row for row in comparison.real if row.metric == DISTANCE]
    assert table_row(text, f"{DISTANCE} ↓", "this run")[4] == number(real.value, real.stderr)
    assert table_row(text, f"{floor.metric} ↓", "card")[2:] == ["-", "-", "0.0625", "-", "10,000", "17", "measured"]
    assert data["real_images"]["recorded"][0] == floor.to_dict()
    assert "test accuracy" not in text


def test_modelled_and_measured_joules_never_share_a_column(comparison, tmp_path):
    text = written(comparison, tmp_path)[0].split("| kT per sample")[0]
    header = table_row(text, "J per sample")
    assert header[2:7] == [
        "device heat (modelled)", "device overhead (modelled)", "arithmetic, 45 nm fp32 (modelled)",
        "simulator (measured)", "baseline (measured)",
    ]  # fmt: skip
    heat, overhead, arithmetic, simulator, baseline = table_row(text, "device", "this run")[2:7]
    assert heat == number(*_value(comparison, "device", "generation heat at 300 K"))
    assert (overhead, arithmetic, baseline) == ("unavailable", "-", "-")
    heat, overhead, arithmetic, simulator, baseline = table_row(text, "digital", "this run")[2:7]
    assert arithmetic == number(*_value(comparison, "digital", "arithmetic, 45 nm fp32"))
    assert (heat, overhead, simulator) == ("-", "-", "-")
    assert table_row(text, "digital", "card")[6] == "4.568"
    joules = [line for line in text.split("## Energy")[0].splitlines() if line.startswith("|") and " J " in line]
    assert joules == []  # the other tables, whose columns are models, hold none


def _value(comparison, name, metric):
    row = comparison.results[name].row(metric)
    return row.value, row.stderr


def test_a_ratio_names_both_sides_and_their_kinds(comparison, tmp_path):
    text, _ = written(comparison, tmp_path)
    ratio = (
        _value(comparison, "digital", "arithmetic, 45 nm fp32")[0]
        / _value(comparison, "device", "generation heat at 300 K")[0]
    )
    line = (
        "arithmetic of digital (modelled, 45 nm fp32, arithmetic only) / "
        f"heat of device (modelled, ideal device, heat only) = {ratio:.1e}"
    )
    assert line in " ".join(text.split())


def test_the_verdict_names_the_better_one_only_where_there_is_one(comparison, tmp_path):
    def with_recognised(device, digital):
        results = {}
        for name, value in (("device", device), ("digital", digital)):
            result = comparison.results[name]
            rows = [
                replace(row, value=value, stderr=0.02) if row.metric == "recognised fraction" else row
                for row in result.rows
            ]
            results[name] = replace(result, rows=rows)
        return " ".join(written(replace(comparison, results=results), tmp_path)[0].split())

    title = "Most often recognised as a digit: "
    assert f"{title}**digital**, 0.900 ± 0.020 against 0.500 ± 0.020 of device" in with_recognised(0.5, 0.9)
    assert f"{title}**device**, 0.900 ± 0.020 against 0.500 ± 0.020 of digital" in with_recognised(0.9, 0.5)
    assert f"{title}no difference beyond two standard errors, 0.520" in with_recognised(0.5, 0.52)


def test_a_report_of_half_a_comparison_says_what_is_missing(comparison, tmp_path):
    half = replace(comparison, results={"device": comparison.results["device"]})
    text, data = written(half, tmp_path)
    assert table_row(text, "digital", "card")[6] == "4.568"
    assert "**Not finished:** digital." in text
    assert "## Verdict" not in text  # nothing to rank yet
    assert data["models"]["device"]["finished"] and not data["models"]["digital"]["finished"]
    assert table_row(text, "colour", "card")[3] == "0.777"  # what the card holds is still there
    assert (tmp_path / "samples.png").is_file()


def test_a_report_before_the_first_result_exists_too(comparison, tmp_path):
    text, data = written(replace(comparison, results={}), tmp_path)
    assert "**Not finished:** device, digital." in text and data["models"]["device"]["rows"] == []
    assert not (tmp_path / "samples.png").exists()


def test_a_report_without_cards(comparison, tmp_path):
    text, _ = written(comparison, tmp_path, cards={})
    assert "| card " not in text


def test_the_samples_are_side_by_side(comparison, tmp_path):
    paths = write_report(comparison, tmp_path)
    assert [path.name for path in paths] == ["report.md", "report.json", "samples.png"]
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.width > 1300 and picture.height > 400
