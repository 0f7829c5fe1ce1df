"""Ledgers, ratios and sensitivity in the report."""

import math
import re
from dataclasses import replace

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from tests.evaluation.energy.joules import close
from tests.evaluation.report.comparisons import BOUND, comparison, line
from thermotorch.evaluation import energy
from thermotorch.evaluation.energy.contribution import Line
from thermotorch.evaluation.energy.digital_count import DigitalCount
from thermotorch.evaluation.energy.digital_hardware import ARITHMETIC_LINE
from thermotorch.evaluation.energy.ledger import LANDAUER, Ledger
from thermotorch.evaluation.energy.machine_run import MachineRun
from thermotorch.evaluation.energy.quantity import Quantity
from thermotorch.evaluation.energy.sensitivity import Effect
from thermotorch.evaluation.report.content import Bullets, Table
from thermotorch.evaluation.report.energy_figures import _Axis, _axis, _bar, _darker, _draw, energy_figures
from thermotorch.evaluation.report.energy_tables import ledger_tables
from thermotorch.evaluation.report.ratios import ratios
from thermotorch.evaluation.report.sides import sides_of

RUN = MachineRun(
    heat=3e4, heat_stderr=10.0, preparation=2e4, work_on=20.0, work_off=5e4, returned=1.0, units=1300, read_units=784,
    inputs=10, couplings=400_000, biases=1300, temperature=1.0, run_time=25.0, noise_time=1.0, drive=2e5, stored=4e3,
    coupling_slope=1e4,
    well_slope=1e4, coupling_loss=1e3, num_samples=16, seed=0,
)  # fmt: skip
COUNT = DigitalCount(7_000_000_000, {"net": 7_000_000_000}, 20_000_000, 200_000_000, 1_100_000, 784)


def with_work(found):
    results = {
        label: replace(result, work=RUN if result.thermodynamic else COUNT) for label, result in found.results.items()
    }
    return replace(found, results=results)


def test_a_total_that_lacks_contributions_is_a_lower_bound():
    (table,) = ledger_tables([comparison(2).results["machine.number_0"]], "modelled")
    lines = {line[0]: line[1:] for line in table.rows}
    assert table.header[1:] == ["ideal", "dtca"]
    assert lines["static bias current"] == ["-", "unavailable"]
    assert lines["**total**"] == ["1.3e-16 [1.2e-16 to 9e-15]", "at least 3.4e-08 [1e-09 to 1e-06]"]
    assert lines["Landauer bound, a scale, in no total"] == ["2.25e-18", "2.25e-18"]


def test_no_table_mixes_kinds():
    results = list(comparison(2).results.values())
    (measured,) = ledger_tables(results, "measured")
    assert "measured" in measured.caption and "modelled" not in measured.caption
    assert [line[1] for line in measured.rows] == ["2.75", "1.75"]
    modelled = list(ledger_tables(results, "modelled"))
    assert len(modelled) == 2 and not [row for table in modelled for row in table.rows if "2.75" in row]


def test_every_pair_of_scenarios_has_its_ratio():
    blocks = list(ratios(sides_of(comparison(2), {})))
    (table,) = [block for block in blocks if isinstance(block, Table)]
    assert [line[0] for line in table.rows] == ["45 nm fp32", "A100 fp32"] and table.header[1:] == ["ideal", "dtca"]
    assert table.rows[1][1] == f"{0.156 / 1.3e-16:.1e} [{0.07 / 9e-15:.0e} to {40 / 1.2e-16:.0e}]"
    assert table.caption.endswith("the totals of dtca without static bias current")
    assert all(line[2].startswith("at most ") and "most" not in line[1] for line in table.rows)
    (said,) = [block.items for block in blocks if isinstance(block, Bullets)]
    quoted = [item for item in said if item.startswith("The kind that papers quote")]
    assert all("heat of the trajectory" in item and "without the way back to noise" in item for item in quoted)
    assert len(quoted) == 2 and f"{0.0175 / 1.3e-16:.1e}" in quoted[0]
    drawn = [item for item in said if item.startswith("Drawn by this machine")]
    assert len(drawn) == 1 and f"= {1.75 / 2.75:.1e}" in drawn[0] and drawn[0].count("measured") == 2


def test_a_machine_that_cools_its_bath_has_no_ratio_to_heat_and_no_bar(drawn):
    found = with_work(comparison(2))
    device = found.results["machine.number_0"]
    cold = Ledger(device.label, "ideal", (line(Line.TRAJECTORY, -1e-18), line("read-out", 5e-18), BOUND))
    device = replace(device, ledgers=(cold,), work=replace(RUN, heat=-1e9, preparation=0.0, drive=-1e9))
    sides = sides_of(replace(found, results={**found.results, device.label: device}), {})
    blocks = list(ratios(sides))
    assert not [block for block in blocks if isinstance(block, Bullets)]
    (table,) = [block for block in blocks if isinstance(block, Table)]
    assert table.rows[0][1].startswith(f"{0.0285 / 4e-18:.1e}")
    (gallery,) = energy_figures(sides, "modelled")
    assert "-1e-18 J, not on this axis" in gallery.pictures[1].alt


@pytest.mark.parametrize("label", ["machine.number_0", "digital.mnist, ddim 10"])
def test_a_side_that_was_only_measured_has_no_table_of_modelled_ratios(label):
    found = comparison(2)
    measured = (Ledger(label, "somewhere", (line("heat", 2.5, kind="measured"),)),)
    changed = replace(found, results={**found.results, label: replace(found.results[label], ledgers=measured)})
    made = list(ratios(sides_of(changed, {})))
    assert made and not [block for block in made if isinstance(block, Table)]


@pytest.mark.parametrize("models", [1, 0])
def test_one_side_has_no_ratio(models):
    assert list(ratios(sides_of(comparison(2, models), {}))) == []


def test_the_sensitivity_lists_what_moves_the_ratio_the_strongest_first():
    found = with_work(comparison(2))
    tables = [
        block for block in ratios(sides_of(found, {})) if isinstance(block, Table) and "What moves" in block.caption
    ]
    assert len(tables) == 2
    above, below = energy.hardware_class("A100 fp32"), energy.device("rc_analog")
    effects = energy.sensitivity(energy.Side("a", above, COUNT), energy.Side("b", below, RUN))
    first = tables[0].rows[0]
    assert first[0].strip("*").replace(" ", "_") == effects[0].name and effects[0].decisive
    assert first[0].startswith("**") and first[3] == f"× {effects[0].at_low:.2g}"
    assert len(tables[0].rows) == sum(effect.factor >= 1.5 for effect in effects)


def test_the_figures_say_in_words_what_they_show():
    (gallery,) = energy_figures(sides_of(comparison(2), {}), "modelled")
    assert "Bars start at Landauer's bound" in gallery.caption
    first = gallery.pictures[0]
    assert "ideal 1.3e-16 J" in first.alt and "dtca at least 3.4e-08 J" in first.alt and "A100 fp32 0.16 J" in first.alt
    for picture in gallery.pictures:
        assert picture.data.startswith(b"<?xml") and b"<dc:date>" not in picture.data


@pytest.mark.parametrize("scale", [3e-18, None])
def test_the_dotted_line_is_at_the_bound_if_there_is_one(scale):
    figure = Figure()
    _draw(figure, [("it", [("heat", line("heat", 1e-15))])], ["#336699"], _Axis(1e-20, 1e-10, scale))
    dotted = [drawn for drawn in figure.axes[0].lines if drawn.get_linestyle() == ":"]
    assert [list(drawn.get_xdata()) for drawn in dotted] == ([[scale] * 2] if scale else [])


def test_a_bar_is_as_long_as_the_orders_of_magnitude_above_the_scale():
    found = comparison(2).results["machine.number_0"]
    (gallery,) = energy_figures(sides_of(replace(comparison(2), results={found.label: found}), {}), "modelled")
    bars = []
    for path in re.findall(
        r'<path d="M ([^"]+)z\s*" clip-path[^>]+style="fill: #003959', gallery.pictures[0].data.decode()
    ):
        xs = [float(pair.split()[0]) for pair in re.split(r"[ML]", path) if pair.strip()]
        bars.append(max(xs) - min(xs))
    ideal, dtca = (math.log10(joule / 2.25e-18) for joule in (1.3e-16, 3.4e-8))
    assert bars[1] / bars[0] == pytest.approx(dtca / ideal, rel=1e-3)


def test_the_axis_runs_from_a_power_of_ten_below_everything_to_room_for_the_numbers():
    ledger = Ledger("it", "ideal", (line("heat", 3e-15, 2e-15, 5e-12), line("none", 0.0), line("gain", -1e-9), BOUND))
    axis = _axis([ledger])
    assert (axis.lowest, axis.scale) == (1e-18, 2.25e-18)
    assert math.log10(axis.highest) == pytest.approx(math.log10(5e-12) + 0.28 * (math.log10(5e-12) + 18 + 1))
    without = _axis([Ledger("it", "ideal", (line("heat", 3e-15, 2e-15, 5e-12),))])
    assert (without.lowest, without.scale) == (1e-15, None)
    assert _axis([Ledger("it", "ideal", (line("heat", 0.0), line("other", None), BOUND))]) is None


@pytest.mark.parametrize(("low", "whisker"), [(1e-16, 1e-16), (1e-22, 1e-20)])
def test_a_bar_begins_at_the_scale_and_its_whisker_ends_with_the_range_or_the_axis(low, whisker):
    axes = Figure().subplots()
    _bar(axes, 2.0, line("heat", 1e-15, low, 1e-13), "#336699", _Axis(1e-20, 1e-10, 3e-18))
    (bar,) = axes.patches
    assert (bar.get_x(), bar.get_x() + bar.get_width()) == (3e-18, close(1e-15))
    (segment,) = axes.collections[0].get_segments()
    assert segment.tolist() == [[close(whisker), 2.0], [close(1e-13), 2.0]]
    (text,) = axes.texts
    assert text.get_text() == "1e-15 J" and text.xy == (1e-13, 2.0)
    _bar(axes, 3.0, line("heat", 1e-15), "#336699", _Axis(1e-20, 1e-10, None))
    assert axes.patches[1].get_x() == 1e-20 and len(axes.collections) == 1
    for value, words in ((None, "unavailable"), (0.0, "0"), (-2e-9, "-2e-09 J, not on this axis")):
        _bar(axes, 4.0, line("heat", value), "#336699", _Axis(1e-20, 1e-10, 3e-18))
        assert axes.texts[-1].get_text() == words and axes.texts[-1].xy == (3e-18, 4.0)
    assert len(axes.patches) == 2


def test_a_total_is_half_as_light_as_its_parts_and_of_an_incomplete_one_the_text_says_so():
    assert _darker("#ff8001") == "#7f4000"
    figure, part = Figure(), line("heat", 1e-15)
    lacking = Ledger("it", "x", (part, line("other", None))).total
    _draw(figure, [("it", [("heat", part), ("total", lacking)])], ["#336699"], _Axis(1e-20, 1e-10, None))
    assert [to_hex(bar.get_facecolor()) for bar in figure.axes[0].patches] == ["#336699", "#19334c"]
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["it", "1e-15 J", "at least 1e-15 J"]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["heat", "total"]


def effect(name, at_low, at_high, **quantity):
    fields = {"value": 2.0, "low": 1.0, "high": 4.0, "unit": "V", "source": "a sheet", **quantity}
    return Effect("a model", f"scenario of {name}", name, Quantity(**fields), at_low, at_high)


def test_every_effect_from_one_and_a_half_on_has_a_line_with_what_was_varied(monkeypatch):
    """Three quantities are listed, one just so, and two are counted."""
    effects = (
        effect("joule_per_step", 0.05, 3.0, source="assumption: nobody knows"), effect("bits", 1.0, 1.5, unit=""),
        effect("supply", 0.5, 1.25), effect("wire", 0.67, 1.49), effect("clock", 1.0, 1.0),
    )  # fmt: skip
    asked = []
    monkeypatch.setattr(energy, "sensitivity", lambda above, below: asked.append((above, below)) or effects)
    found = with_work(comparison(2))
    tables = [block for block in ratios(sides_of(found, {})) if isinstance(block, Table) and "moves" in block.caption]
    pairs = [("A100 fp32", "rc_analog"), ("45 nm fp32", "ideal")]
    for table, (above, below), (hardware, device) in zip(tables, asked, pairs, strict=True):
        assert above == energy.Side("digital.mnist, ddim 10", energy.hardware_class(hardware), COUNT)
        assert below == energy.Side("machine.number_0", energy.device(device), RUN)
        assert table.caption == (
            f"What moves the ratio of digital.mnist, ddim 10 ({hardware}) over machine.number_0 ({device}), one "
            "quantity at a time; in bold what changes it tenfold; 2 others change it by less than 1.5"
        )
        assert [dict(zip(table.header, row, strict=True)) for row in table.rows] == [
            {"quantity": name, "value": "2", "range": "1 to 4", "ratio at its low": low, "ratio at its high": high,
             "of": f"scenario of {name.strip('*').replace(' ', '_')}", "unit": unit, "from": source}
            for name, low, high, unit, source in (
                ("**joule per step**", "× 0.05", "× 3", "V", "assumption"), ("bits", "× 1", "× 1.5", "-", "a sheet"),
                ("supply", "× 0.5", "× 1.2", "V", "a sheet"),
            )
        ]  # fmt: skip
        assert (tuple(table.right), tuple(table.fine)) == ((1, 2, 3, 4), (5, 6, 7))
    monkeypatch.setattr(energy, "sensitivity", lambda above, below: effects[3:])
    assert not [block for block in ratios(sides_of(found, {})) if isinstance(block, Table) and "moves" in block.caption]


def test_sides_without_a_positive_total_take_part_in_no_ratio():
    """A device of which nothing is known, and a digital model without arithmetic on one class of hardware."""
    found = comparison(3)
    unknown = replace(found.results["machine.number_2"], ledgers=(Ledger("it", "ideal", (line("heat", None),)),))
    digital = found.results["digital.mnist, ddim 10"]
    idle = Ledger(digital.label, "45 nm fp32", (line(ARITHMETIC_LINE, 0.0), line("DRAM traffic", 0.011), BOUND))
    digital = replace(digital, ledgers=(idle, *digital.ledgers[1:]))
    found = replace(found, results={**found.results, unknown.label: unknown, digital.label: digital})
    blocks = list(ratios(sides_of(found, {})))
    (table,) = [block for block in blocks if isinstance(block, Table)]
    assert "machine.number_2" not in table.caption and table.header == ["hardware \\ device", "ideal", "dtca"]
    (said,) = [block.items for block in blocks if isinstance(block, Bullets)]
    assert sum(item.startswith("The kind that papers quote") for item in said) == 1, "of the A100 alone"


def test_what_totals_lack_is_named_side_by_side():
    found = comparison(2)
    digital = found.results["digital.mnist, ddim 10"]
    lacking = Ledger(digital.label, "45 nm fp32", (line("arithmetic", 1.0), line("DRAM", None), line("fans", None)))
    found = replace(found, results={**found.results, digital.label: replace(digital, ledgers=(lacking,))})
    (table,) = [block for block in ratios(sides_of(found, {})) if isinstance(block, Table)]
    assert table.caption == (
        "Total of digital.mnist, ddim 10 (lines) over total of machine.number_0 (columns), both modelled; the totals "
        "of 45 nm fp32 without DRAM, fans; dtca without static bias current"
    )
    assert tuple(table.right) == (1, 2)


def test_models_of_one_ledger_each_share_a_table_with_a_line_for_each():
    """Of more contributions than models, where a table of one model would have a line for each contribution."""
    found = comparison(4)
    parts = tuple(line(name, joule) for name, joule in (("a", 1.0), ("b", 2.0), ("c", 4.0), ("d", 8.0)))
    results = [replace(result, ledgers=(Ledger(result.label, "all", (*parts, BOUND)),))
               for result in list(found.results.values())[:2]]  # fmt: skip
    (table,) = ledger_tables(results, "modelled")
    assert table.header == ["J per sample", "a", "b", "c", "d", "**total**", f"{LANDAUER}, a scale, in no total"]
    assert table.rows == [[f"{result.label} (all)", "1", "2", "4", "8", "15", "2.25e-18"] for result in results]
    assert table.caption == "Ledgers, modelled, joule per sample, with the range of the assumptions in brackets"
    assert tuple(table.right) == (1, 2, 3, 4, 5, 6)
    (alone,) = ledger_tables([replace(results[0], ledgers=(*results[0].ledgers, Ledger("it", "x", parts)))], "modelled")
    assert alone.header == ["J per sample", "all", "x"] and alone.caption.startswith(
        "machine.number_0, modelled, joule"
    )


def test_a_model_is_represented_by_the_first_way_of_sampling_it_that_was_reached():
    found = comparison(4)
    reached = {label: result for label, result in found.results.items() if label != "digital.mnist, ddim 10"}
    tables = [block for block in ratios(sides_of(replace(found, results=reached), {})) if isinstance(block, Table)]
    assert len(tables) == 2 and all("Total of digital.mnist, ddim 30 (lines)" in table.caption for table in tables)
