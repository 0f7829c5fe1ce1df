import pytest

from thermotorch.evaluation.energy.ledger import LANDAUER, Ledger, LedgerLine
from thermotorch.evaluation.report.energy_tables import ledgers_table, ledgers_text


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
