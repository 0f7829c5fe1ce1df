import pytest

from thermotorch.evaluation.energy.ledger import LANDAUER, Ledger, LedgerLine
from thermotorch.evaluation.energy.ratio import ratio


def ledger(model, scenario, *joules, kind="modelled", spread=1.0):
    lines = [
        LedgerLine(f"part {k}", joule, joule / spread, joule * spread, kind, "here") for k, joule in enumerate(joules)
    ]
    return Ledger(model, scenario, tuple(lines))


DIGITAL, DEVICE = ledger("ddpm", "A100", 6.0, 4.0), ledger("machine", "ideal", 2.0, 3.0, spread=2.0)
MEASURED = ledger("ddpm", "this machine", 20.0, kind="measured")


def test_a_ratio_names_both_sides_and_their_scenario():
    found = ratio(DIGITAL, DEVICE)
    assert (found.value, found.low, found.high) == (2.0, 1.0, 4.0)
    assert "total of ddpm (modelled, A100) over total of machine (modelled, ideal) = 2.0e+00" in found.words


def test_single_contributions_compare_too():
    found = ratio(DIGITAL, DEVICE, above_line="part 0", below_line="part 1")
    assert found.value == 2.0
    assert "part 0 of ddpm (modelled, A100) over part 1 of machine" in found.words
    with pytest.raises(ValueError, match="part 1"):
        ratio(DIGITAL, DEVICE, above_line="part 7")


@pytest.mark.parametrize(("above", "below"), [(MEASURED, DEVICE), (DEVICE, MEASURED)])
def test_modelled_over_measured_is_refused_and_if_wanted_says_so(above, below):
    with pytest.raises(ValueError, match="not divided by each other"):
        ratio(above, below)
    assert ratio(above, below, mixed=True).words.startswith("a modelled number divided by a measured one")


def test_measured_over_measured_is_no_mixture():
    assert not ratio(MEASURED, MEASURED, mixed=True).words.startswith("a modelled")


def lacking(complete):
    unknown = LedgerLine("read-out", None, None, None, "unavailable", "?")
    return Ledger(complete.model, complete.scenario, (*complete.lines, unknown))


def test_a_side_that_lacks_a_contribution_makes_the_ratio_a_bound_and_says_so():
    partial = ratio(DIGITAL, lacking(DEVICE))
    assert partial.bound == "at most"
    assert partial.words.endswith("= at most 2.0e+00 (1e+00 to 4e+00); machine lacks read-out")
    assert ratio(lacking(DIGITAL), DEVICE).bound == "at least"
    assert ratio(lacking(DIGITAL), lacking(DEVICE)).bound == "about"
    single = ratio(DIGITAL, lacking(DEVICE), below_line="part 0")
    assert single.bound == "" and "lacks" not in single.words


def test_the_scale_is_no_side_of_a_ratio():
    scaled = Ledger("machine", "ideal", (*DEVICE.lines, LedgerLine(LANDAUER, 1.0, 1.0, 1.0, "modelled", "Landauer")))
    assert ratio(DIGITAL, scaled).value == 2.0
    with pytest.raises(ValueError, match="contribution of ideal"):
        ratio(DIGITAL, scaled, below_line=LANDAUER)


def test_nothing_is_divided_by_nothing():
    with pytest.raises(ValueError, match="no positive energy"):
        ratio(DIGITAL, ledger("machine", "ideal", 0.0))


def test_a_denominator_that_may_be_nothing_leaves_no_upper_bound():
    may_be_nothing = Ledger("machine", "ideal", (LedgerLine("part 0", 2.0, 0.0, 4.0, "modelled", "here"),))
    found = ratio(DIGITAL, may_be_nothing)
    assert (found.value, found.low, found.high) == (5.0, 2.5, float("inf"))


def test_a_contribution_nobody_knows_is_no_side_of_a_ratio():
    for sides in (
        (lacking(DIGITAL), DEVICE, {"above_line": "read-out"}),
        (DIGITAL, lacking(DEVICE), {"below_line": "read-out"}),
    ):
        with pytest.raises(ValueError, match="read-out of .*: no positive energy to compare"):
            ratio(sides[0], sides[1], **sides[2])
