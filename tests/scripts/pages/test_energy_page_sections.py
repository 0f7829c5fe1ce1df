"""Each part of the page of energy says what the ledgers, counts and ratios say."""

import re
from dataclasses import replace

import pytest

from scripts.pages import energy_page
from scripts.pages.claims import Claim
from scripts.pages.energy_tables import quantities_table
from tests.evaluation.energy.test_devices import RUN
from tests.evaluation.report.test_energy_tables import cells
from thermotorch.evaluation.energy.digital_count import DigitalCount
from thermotorch.evaluation.energy.digital_hardware import HARDWARE_CLASSES, hardware_class
from thermotorch.evaluation.energy.quantity import Quantity, quantities
from thermotorch.evaluation.energy.ratio import ratio
from thermotorch.evaluation.energy.sensitivity import Side, sensitivity
from thermotorch.evaluation.energy.thermodynamic import DEVICES, device

WORK = DigitalCount(1000, {"down.0.a.x": 100, "down.0.a.y": 500, "down.0.b.x": 300, "": 100}, 7, 11, 5, 3)


def test_shares_are_of_what_is_known_of_the_total():
    said = {re.match(r"- `(\w+)`", line)[1]: line for line in energy_page._shares("it", RUN)}
    assert list(said) == [model.name for model in DEVICES]
    for model in DEVICES:
        ledger = model.ledger("it", RUN)
        known = [line for line in ledger.contributions if line.joule is not None]
        largest, total = max(known, key=lambda line: line.joule), ledger.total.joule
        words = " ".join(said[model.name].split())
        whole = "what is known of the total" if ledger.missing else "the total"
        assert words == (
            f"- `{model.name}`: the heat of the trajectory is {known[0].joule / total:.2g} of {whole}, "
            f"{largest.contribution} {largest.joule / total:.2g}."
        )


def test_operations_are_listed_by_block_the_most_first_and_add_up_to_all():
    header, _, *rows = cells(energy_page._layers(WORK))
    assert header == ["operations by block", "for a sample", "of all"]
    assert rows == [
        ["down.0.a", "600", "60.0 %"], ["down.0.b", "300", "30.0 %"], ["outside the network", "100", "10.0 %"],
    ]  # fmt: skip
    assert energy_page.by_block(WORK, 2) == {"down.0": 900, "": 100}


def test_ratios_have_a_line_for_each_class_of_hardware_and_a_column_for_each_device():
    header, _, *rows = cells(energy_page._ratios("digital", WORK, "machine", RUN))
    below = [model.ledger("machine", RUN) for model in DEVICES]
    assert header == ["digital over", *(f"{each.scenario}{' (at most)' if each.missing else ''}" for each in below)]
    assert "(at most)" in header[3] and "(at most)" not in header[1]
    for kind, row in zip(HARDWARE_CLASSES, rows, strict=True):
        found = [ratio(kind.ledger("digital", WORK), each) for each in below]
        assert row == [kind.name, *(f"{each.value:.0e} ({each.low:.0e} to {each.high:.0e})" for each in found)]


def test_sensitivities_are_of_three_pairs_without_what_does_not_move_them():
    parts = list(energy_page._sensitivities("digital", WORK, "machine", RUN))
    pairs = [("A100 fp32", "rc_analog"), ("A100 fp32", "dtca"), ("45 nm fp32", "ideal")]
    assert parts[::2] == [f"{above} over {below}:" for above, below in pairs]
    for (above, below), text in zip(pairs, parts[1::2], strict=True):
        effects = sensitivity(Side("digital", hardware_class(above), WORK), Side("machine", device(below), RUN))
        expected = [effect for effect in effects if effect.factor > 1.005]
        header, _, *rows = cells(text)
        assert [row[0].strip("*") for row in rows] == [f"{effect.name} ({effect.scenario})" for effect in expected]
        assert [row[4] for row in rows] == [f"{effect.factor:.2g}" for effect in expected]
        assert header == ["quantity", "value (range)", "ratio at its low", "ratio at its high", "factor", "kind"]


def test_claims_stand_beside_the_same_kind_of_estimate():
    header, _, row = cells(energy_page._claims((Claim("a paper", "1e10", "this over that", "ours", 2.5e7),)))
    assert row == ["a paper", "1e10", "this over that", "ours", "2e+07"]
    assert header == ["paper", "ratio", "what is divided by what", "the same kind here", "ratio"]


def test_every_quantity_of_every_device_and_class_is_listed():
    text = energy_page.quantities_section()
    header, _, *rows = cells(text)
    assert header == ["of", "quantity", "value (range)", "source"]
    for hardware in (*DEVICES, *HARDWARE_CLASSES):
        for name, quantity in quantities(hardware):
            (row,) = [row for row in rows if row[1] == name and hardware.name in row[0].split(", ")]
            assert row[3] == quantity.source.replace("|", "\\|")
    shown = cells(quantities_table([("a", "wire", Quantity(1.23456, 1.0, 2.0, "", "sheet"))]))[2]
    assert shown[2] == "1.235 (1 to 2)"


def test_numbers_of_the_machine_and_the_digital_model_are_those_of_the_run_and_the_count(monkeypatch):
    asked = []
    monkeypatch.setattr(
        energy_page, "machine_run", lambda model, count, seed: asked.append((model, count, seed)) or RUN
    )
    monkeypatch.setattr(energy_page, "count", lambda model, run: asked.append((model, run())) or WORK)
    made = type("Digital", (), {"generate": lambda self, count, **given: (count, given)})()
    steps = []
    text = energy_page.energy_page("a machine", "machine", "digital", made, "classifier", 1e5, command="typed",
                                   num_samples=8, seed=5, progress=steps.append, sampler="ddim", steps=4)  # fmt: skip
    assert asked == [("machine", 8, 5), (made, (1, {"seed": 5, "sampler": "ddim", "steps": 4}))]
    assert steps == ["8 samples of a machine", "operations of digital"]
    words = " ".join(text.split())
    assert "Modelled, 8 samples, seed 5. Work of switching on" in words
    for name, value in (("on", RUN.work_on), ("off", RUN.work_off), ("preparation", RUN.preparation)):
        assert f"{name} {energy_page.number(value)} kT" in words
    assert f"heat {energy_page.number(RUN.heat, RUN.heat_stderr)} kT" in words
    assert "## a machine" in text and "## digital, sampler ddim, steps 4" in text
    assert "1,000 operations for a sample in batch one; 18 numbers read or written by them, of which 7 weights; at " \
        "least 5 (each weight once, and the sample)." in words  # fmt: skip
    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert heads == [
        "How a machine is priced", "a machine", "Lines that a circuit has checked", "digital, sampler ddim, steps 4",
        "Ratios", "Which assumption changes the ratio by ten", "The claims of the papers",
        "Quantities and their sources",
    ]  # fmt: skip
    bare = energy_page.energy_page("a machine", "machine", "digital", made, "classifier", 1e5, command="typed")
    assert "## digital\n" in bare and "256 samples, seed 0" in bare


@pytest.mark.parametrize("heat", [1e5, 2e5])
def test_the_claim_about_the_classifier_is_of_its_own_heat(heat):
    from scripts.pages.claims import claims

    prl, pnas, extropic = claims("digital", WORK, "machine", replace(RUN, heat=RUN.heat), "classifier", heat)
    assert pnas.value == pytest.approx(2 * 26_432 * 2.3e-12 / (heat * 1.380649e-23 * 300), rel=1e-6)
    assert "classifier (ideal)" in pnas.here and "digital (45 nm fp32)" in prl.here and "machine (dtca" in extropic.here
