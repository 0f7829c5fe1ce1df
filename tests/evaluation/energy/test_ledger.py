import json

import pytest

from thermotorch.evaluation.energy.ledger import LANDAUER, Ledger, LedgerLine


def line(contribution, joule, low=None, high=None, kind="modelled"):
    return LedgerLine(contribution, joule, low, high, kind, "here")


def unknown(contribution):
    return line(contribution, None, kind="unavailable")


def ledger(*lines):
    return Ledger("machine", "ideal", lines)


def test_total_adds_up_the_contributions_and_not_the_scale():
    total = ledger(line("heat", 3.0, 2.0, 5.0), line("read-out", 4.0), line(LANDAUER, 100.0)).total
    assert (total.joule, total.low, total.high, total.kind) == (7.0, 6.0, 9.0, "modelled")
    assert total.note == ""


def test_a_total_without_a_contribution_is_a_lower_bound_and_says_so():
    known = ledger(line("heat", 3.0), unknown("read-out"), line(LANDAUER, 100.0))
    assert known.missing == ("read-out",)
    assert (known.total.joule, known.total.note) == (3.0, "lower bound: without read-out")
    assert known.total.at_least and known.total.contribution == "total, at least"


def test_without_a_known_contribution_there_is_no_total():
    nothing = ledger(unknown("heat"), line(LANDAUER, 1.0))
    assert (nothing.total.joule, nothing.total.kind, nothing.kind) == (None, "unavailable", "unavailable")


def test_modelled_and_measured_never_share_a_ledger():
    with pytest.raises(ValueError, match="never share a ledger"):
        ledger(line("arithmetic", 1.0), line("drawn", 2.0, kind="measured"))
    with pytest.raises(ValueError, match="never share a ledger"):
        ledger(line("drawn", 2.0, kind="measured"), line(LANDAUER, 2.0))
    assert ledger(unknown("idle"), line("drawn", 2.0, kind="measured")).kind == "measured"


def test_the_scale_is_last_and_no_contribution_comes_twice():
    with pytest.raises(ValueError, match="comes last"):
        ledger(line(LANDAUER, 1.0), line("heat", 1.0))
    with pytest.raises(ValueError, match="heat more than once"):
        ledger(line("heat", 1.0), line("heat", 2.0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("heat", 1.0, None, None, "guessed"), "kind of ledger line 'heat'"),
        (("heat", None, None, None, "modelled"), "joule is None exactly when"),
        (("heat", 1.0, None, None, "unavailable"), "joule is None exactly when"),
        (("heat", 1.0, 0.5, None, "modelled"), "given together"),
        (("heat", None, 0.5, 1.0, "unavailable"), "given together"),
        (("heat", 1.0, 2.0, 3.0, "modelled"), "expected low <= joule <= high"),
        (("heat", float("nan"), None, None, "modelled"), "finite"),
        (("heat", 1.0, 0.0, float("inf"), "modelled"), "finite"),
    ],
)
def test_lines_that_contradict_themselves_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        LedgerLine(*fields, source="here")


def test_a_sum_has_one_scale_and_the_contributions_of_all_parts():
    """The scale is that of the image, which the parts make together."""
    parts = {
        name: ledger(line("heat", joule), unknown("idle"), line(LANDAUER, 7.0))
        for name, joule in (("a", 1.0), ("b", 2.0))
    }
    whole = Ledger.sum(parts)
    assert [(each.contribution, each.joule) for each in whole.lines] == [("heat", 3.0), ("idle", None), (LANDAUER, 7.0)]
    assert Ledger.sum({"a": ledger(line("heat", 1.0))}).line(LANDAUER) is None


def test_a_contribution_that_a_part_does_not_have_is_unknown_of_the_whole():
    whole = Ledger.sum({"a": ledger(line("heat", 1.0), line("idle", 2.0)), "b": ledger(line("heat", 3.0))})
    assert [(each.contribution, each.joule, each.kind) for each in whole.lines] == [
        ("heat", 4.0, "modelled"), ("idle", None, "unavailable")
    ]  # fmt: skip


def test_a_ledger_survives_json():
    before = ledger(line("heat", 1e-17, 1e-18, 2e-17), unknown("read-out"), line(LANDAUER, 2e-18))
    assert Ledger.from_dict(json.loads(json.dumps(before.to_dict()))) == before
