"""The verdict names the better one only where there is one, and says by how much."""

from dataclasses import replace

from tests.evaluation.report.comparisons import FRECHET, comparison, line, row
from thermotorch.evaluation.energy.contribution import Line
from thermotorch.evaluation.energy.ledger import Ledger
from thermotorch.evaluation.report.markdown import number
from thermotorch.evaluation.report.verdict import same, verdict

DEVICE, DIGITAL = "machine.number_0", "digital.mnist, ddim 10"


def answer(title, found) -> list[str]:
    table = verdict(found, list(found.results.values()))
    (line,) = [cells for cells in table.rows if cells[0].startswith(title)]
    return line


def with_row(metric, stderr=0.02, unit="", **values):
    found = comparison(2)
    results = {}
    for (label, result), value in zip(found.results.items(), values.values(), strict=True):
        rows = [other for other in result.rows if other.metric != metric]
        results[label] = replace(result, rows=[*rows, row(metric, value, unit, stderr=stderr)])
    return replace(found, results=results)


def test_a_difference_beyond_two_standard_errors_has_a_winner():
    found = answer("Most often recognised", with_row("recognised fraction", device=0.5, digital=0.9))
    assert found[1] == f"**{DIGITAL}**: 40.0 ± 2.8 % more of its samples are recognised than of those of {DEVICE}"
    assert found[2] == f"{DIGITAL} 0.900 ± 0.020; {DEVICE} 0.500 ± 0.020"
    assert found[3:] == ["measured", "40", "3"]


def test_a_difference_within_two_standard_errors_has_none():
    found = answer("Most often recognised", with_row("recognised fraction", device=0.5, digital=0.55))
    assert found[1] == f"no difference beyond two standard errors between {DIGITAL} and {DEVICE}"


def test_two_errors_add_up_as_squares():
    assert not same(row("it", 0.0, stderr=3.0), row("it", 10.1, stderr=4.0))  # 2 x 5 is the limit, 2 x 7 is not
    assert same(row("it", 9.9, stderr=3.0), row("it", 0.0, stderr=4.0))
    assert not same(row("it", 1.0, stderr=3.0), row("it", 1.1, stderr=None)), "without an error only equals agree"


def test_less_is_better_for_a_distance_and_the_factor_has_the_errors_of_both():
    found = answer("Closest", with_row(FRECHET, device=2.0, digital=1.0, stderr=0.1))
    # 2 x sqrt(0.05^2 + 0.1^2) = 0.22
    assert found[1] == f"**{DIGITAL}**: the Frechet distance of {DEVICE} is 2.00 ± 0.22 times as large"
    assert found[2].endswith("as many real images 1.062 ± 0.037")


def test_a_number_without_an_error_says_so():
    found = answer("Fastest", with_row("time", stderr=None, unit="s per sample", device=0.5, digital=2.0))
    assert found[1] == f"**{DEVICE}**: {DIGITAL} takes 4 (error not known) times as long"
    assert answer("Fastest", with_row("time", stderr=None, device=0.5, digital=0.5))[1].startswith("no difference")


def test_one_model_has_no_verdict():
    assert verdict(comparison(1), list(comparison(1).results.values())) is None


def test_of_many_models_those_alike_share_the_place():
    found = comparison(3)
    values = {label: value for label, value in zip(found.results, (0.9, 0.905, 0.5), strict=True)}
    results = {
        label: replace(result, rows=[row("recognised fraction", values[label], stderr=0.02)])
        for label, result in found.results.items()
    }
    text = answer("Most often", replace(found, results=results))[1]
    assert text.startswith(f"**{DIGITAL}** and **{DEVICE}**: 40.5 ± 2.8 % more") and "machine.number_2" in text
    assert text.endswith("differ by less than two standard errors")


def test_energy_names_both_sides_with_their_scenarios_at_both_ends():
    found = answer("Least energy for a sample, devices", comparison(2))
    assert found[1].startswith("**the thermodynamic model** in every scenario")
    least = 0.0285 / 3.4e-8  # the least digital total over the most of the device
    most = 0.156 / 1.3e-16
    assert f"{DIGITAL} (45 nm fp32) takes at most {least:.1e} times the energy of {DEVICE} (dtca)" in found[1]
    assert f"{DIGITAL} (A100 fp32) takes {most:.1e} times the energy of {DEVICE} (ideal)" in found[1]
    assert "order may be the other" not in found[1]
    assert found[1].endswith(f"this leaves out what is not known of {DEVICE} (dtca)")
    assert f"{DEVICE} 1.3e-16 J (ideal) to at least 3.4e-08 J (dtca)" in found[2]
    assert found[3:] == ["modelled", "40", "3"]
    low = f"{DIGITAL} (45 nm fp32) takes at most {least:.1e} times the energy of {DEVICE} (dtca)"
    high = f"{DIGITAL} (A100 fp32) takes {most:.1e} times the energy of {DEVICE} (ideal)"
    assert f"at one end {low}, at the other {high}; this leaves out" in found[1]
    table = verdict(comparison(2), list(comparison(2).results.values()))
    assert list(table.header) == ["question", "answer", "values", "kind", "samples", "seed"]
    assert tuple(table.fine) == (3, 4, 5) and table.words
    assert table.caption.endswith("± is one standard error")


def with_device_ledgers(*ledgers):
    found = comparison(2)
    device = replace(found.results[DEVICE], ledgers=ledgers)
    return replace(found, results={**found.results, DEVICE: device})


def test_heat_without_the_rest_of_the_cycle_is_a_bound_and_not_the_energy():
    """A machine of which no more than its heat is known."""
    heat = Ledger(DEVICE, "ideal", (line(Line.TRAJECTORY, 1e-16), line("preparation of the noise", None)))
    found = answer("Least energy", with_device_ledgers(heat))
    assert f"{DEVICE} at least 1e-16 J (ideal)" in found[2]
    assert found[1].count("takes at most") == 2 and found[1].endswith(f"what is not known of {DEVICE} (ideal)")


def test_ranges_that_overlap_are_told():
    wide = Ledger(DEVICE, "wide", (line(Line.TRAJECTORY, 1e-8, 1e-9, 1.0),))
    assert answer("Least energy", with_device_ledgers(wide))[1].endswith("the order may be the other")


def test_energy_that_depends_on_the_scenario_is_not_decided():
    ledgers = [Ledger(DEVICE, name, (line(Line.TRAJECTORY, joule),)) for name, joule in (("low", 1e-9), ("high", 50.0))]
    text = answer("Least energy", with_device_ledgers(*ledgers))[1]
    assert text == (
        f"it depends on the scenario: at one end {DIGITAL} (A100 fp32) takes {0.156 / 1e-9:.1e} times the energy of "
        f"{DEVICE} (low), at the other {DEVICE} (high) takes {50 / 0.0285:.1e} times the energy of {DIGITAL} "
        "(45 nm fp32)"
    )


def test_measured_joules_are_compared_with_measured_ones_only():
    found = answer("Least energy for a sample drawn here", comparison(2))
    assert (
        found[1]
        == f"**the digital model**: {DEVICE} (this machine) takes 1.6 times the energy of {DIGITAL} (this machine)"
    )
    assert found[3] == "measured"


def test_a_ledger_that_adds_up_to_nothing_takes_no_part():
    empty = Ledger(DEVICE, "empty", (line(Line.TRAJECTORY, 0.0),))
    full = Ledger(DEVICE, "full", (line(Line.TRAJECTORY, 1e-9),))
    assert "empty" not in "".join(answer("Least energy", with_device_ledgers(empty, full)))


def test_values_of_which_one_has_no_error_are_alike_only_if_equal():
    def value(number, stderr):
        return row("recognised fraction", number, stderr=stderr)

    for one, other in ((None, 0.1), (0.1, None)):
        assert same(value(0.5, one), value(0.5, other))
        assert not same(value(0.5, one), value(0.51, other))
    assert same(value(0.5, 0.1), value(0.51, 0.1))


def test_of_many_models_the_best_three_the_number_of_the_others_and_the_last_are_listed():
    found = comparison(6)
    results = {
        label: replace(each, rows=[row("recognised fraction", k / 10, stderr=0.001)])
        for k, (label, each) in enumerate(found.results.items())
    }
    labels, values = list(results), answer("Most often", replace(found, results=results))[2].split("; ")
    assert values[3] == "2 others" and len(values) == 5
    for value, k in zip(values[:3] + values[4:], (5, 4, 3, 0), strict=True):
        assert value.startswith(f"{labels[k]} {number(k / 10, 0.001)}")


def test_a_factor_over_nothing_is_many_and_a_difference_without_errors_says_so():
    nothing = answer("Closest", with_row(FRECHET, device=0.0, digital=1.0, stderr=0.1))
    assert f"the Frechet distance of {DIGITAL} is many times as large" in nothing[1]
    bare = answer("Most often", with_row("recognised fraction", stderr=None, device=0.5, digital=0.75))
    assert f"**{DIGITAL}**: 25 % (error not known) more of its samples" in bare[1]


def test_more_than_four_models_have_their_energy_in_the_tables_below():
    found = comparison(6)
    values = answer("Least energy for a sample, devices", found)[2].split("; ")
    assert len(values) == 5 and values[-1] == "2 others in the tables below"
    assert values[0] == "machine.number_0 1.3e-16 J (ideal) to at least 3.4e-08 J (dtca)"
    four = answer("Least energy for a sample, devices", comparison(4))[2].split("; ")
    assert len(four) == 4 and "others" not in four[-1]


def test_factors_below_a_hundred_have_two_digits_and_above_a_power():
    for joule, words in ((2e-3, "14"), (2e-5, "1.4e+03")):
        text = answer("Least energy", with_device_ledgers(Ledger(DEVICE, "full", (line(Line.TRAJECTORY, joule),))))[1]
        assert f"(45 nm fp32) takes {words} times the energy of {DEVICE} (full)" in text
