from dataclasses import replace

import pytest

from tests.evaluation.report.comparisons import comparison
from thermotorch.evaluation.energy.ledger import LANDAUER, Ledger, LedgerLine
from thermotorch.evaluation.report.energy_tables import ledger_notes, ledgers_table, ledgers_tables, ledgers_text


def line(contribution, joule, low=None, high=None, kind="modelled"):
    return LedgerLine(contribution, joule, low, high, "unavailable" if joule is None else kind, "a source", "a note")


IDEAL = Ledger("machine", "ideal", (line("heat", 3e-17, 2.5e-17, 4e-17), line("read-out", 0.0), line(LANDAUER, 2e-18)))
BOARD = Ledger("machine", "board", (line("heat", 3e-6), line("read-out", None), line(LANDAUER, 2e-18)))
MEASURED = Ledger("machine", "this machine", (line("GPU board, above idle", 0.5, 0.5, 0.75, "measured"),))


def cells(text):
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines() if row.startswith("|")]


def test_contributions_down_and_scenarios_across():
    header, _, *rows = cells(ledgers_table([IDEAL, BOARD]))
    assert header == ["J per sample of machine (modelled)", "ideal", "board"]
    assert rows == [
        ["heat", "3.0e-17 (2.5e-17 to 4.0e-17)", "3.0e-06"],
        ["read-out", "0", "unavailable"],
        ["**total**", "3.0e-17 (2.5e-17 to 4.0e-17)", "at least 3.0e-06"],
        [f"{LANDAUER}, a scale", "2.0e-18", "2.0e-18"],
    ]


def test_scenarios_down_when_there_are_more_of_them():
    header, _, *rows = cells(ledgers_table([MEASURED, Ledger("machine", "another machine", MEASURED.lines)]))
    assert header[1:3] == ["GPU board, above idle", "**total**"]
    assert [row[:2] for row in rows] == [
        ["this machine", "5.0e-01 (5.0e-01 to 7.5e-01)"], ["another machine", "5.0e-01 (5.0e-01 to 7.5e-01)"]
    ]  # fmt: skip


def test_modelled_and_measured_never_share_a_table():
    with pytest.raises(ValueError, match="make a table for each"):
        ledgers_table([IDEAL, MEASURED])
    assert ledgers_tables([IDEAL, MEASURED]) == f"{ledgers_table([IDEAL])}\n\n{ledgers_table([MEASURED])}"
    assert ledgers_tables([BOARD]) == ledgers_table([BOARD]) and ledgers_tables([MEASURED]) == ledgers_table([MEASURED])
    text = ledgers_text([IDEAL, BOARD, MEASURED])
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 2
    assert "this machine" not in tables[0] and "ideal" not in tables[1]
    assert "- ideal, heat: a note; a source." in text


def test_what_could_not_be_read_shares_the_table_of_what_could():
    unread = Ledger("machine", "another machine", (line("GPU board, above idle", None),))
    header, _, *rows = cells(ledgers_table([MEASURED, unread]))
    assert header[0] == "J per sample of machine (measured)"
    assert [row[1] for row in rows] == ["5.0e-01 (5.0e-01 to 7.5e-01)", "unavailable"]
    header, *_ = cells(ledgers_table([unread]))
    assert header[0] == "J per sample of machine (unavailable)"


def test_sources_are_told_once_for_the_scenarios_that_share_them_and_what_a_total_lacks():
    def of(name, joule, source, note):
        kind = "unavailable" if joule is None else "modelled"
        return LedgerLine(name, joule, None, None, kind, source, note)

    shared = of("heat", 1.0, "a run", "half of it lost")
    ledgers = (
        Ledger("machine", "ideal", (shared, of("read-out", 1.0, "a sheet", ""))),
        Ledger(
            "machine", "board", (shared, of("read-out", None, "another sheet", ""), of("fans", None, "", "who knows"))
        ),
    )
    results = [replace(comparison(1).results["machine.number_0"], ledgers=ledgers)]
    assert ledger_notes(results).items == [
        "heat, ideal, board: a run; half of it lost", "read-out, ideal: a sheet", "read-out, board: another sheet",
        "fans, board: who knows", "total, board: lower bound: without read-out, fans",
    ]  # fmt: skip
    assert not ledger_notes([])


def test_the_text_of_ledgers_says_the_scale_and_the_source_of_every_line():
    text = ledgers_text([BOARD, IDEAL, MEASURED])
    scale = IDEAL.line(LANDAUER)
    assert f"\n\n{LANDAUER}: 2.0e-18 J, {scale.note}.\n\n" in text
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        f"- {scenario}, {name}: a note; a source."
        for scenario, name in (("board", "heat"), ("board", "read-out"), ("ideal", "heat"), ("ideal", "read-out"),
                               ("this machine", "GPU board, above idle"))
    ]  # fmt: skip
    assert text.index("(modelled)") < text.index("(measured)") and text.endswith(".\n")
    assert f"{LANDAUER}:" not in ledgers_text([MEASURED]), "no counter knows it"


def test_ledgers_of_two_models_share_no_table():
    other = Ledger("another", "ideal", IDEAL.lines)
    with pytest.raises(ValueError, match="expected modelled or measured ones, not both, of one model"):
        ledgers_table([IDEAL, other])
    assert cells(ledgers_table([IDEAL, Ledger("machine", "again", IDEAL.lines)]))[0][1:] == ["ideal", "again"]
