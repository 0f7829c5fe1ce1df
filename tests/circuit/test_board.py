"""The board as a netlist, read back without a simulator."""

import re

import pytest
import torch

from thermotorch.circuit.board import board_netlist
from thermotorch.linear_algebra.board.circuit import Circuit

MAXWELL = torch.tensor([[3.0, -0.5, 0.0], [-0.5, 2.0, 0.4], [0.0, 0.4, 2.5]]).double() * 1e-9


def board(**changed) -> Circuit:
    values = {
        "inductance": torch.tensor([1e-3, 2e-3, 3e-3], dtype=torch.float64),
        "resistance": torch.tensor([50.0, 60.0, 70.0], dtype=torch.float64),
        "capacitance": MAXWELL,
        "noise": 3e-12,
    }
    return Circuit(**{**values, **changed})


def test_components_are_those_of_the_board():
    """The charge on a cell is C v by the sum over its capacitors: its own, and those to other cells."""
    circuit = board()
    text = board_netlist(circuit, 2e-3, 1e-7, reltol=3e-5)
    found = torch.zeros(3, 3).double()
    for one, other, farad in re.findall(r"^C\S+ x(\d) (\w+) (\S+) ic=0$", text, re.MULTILINE):
        i, value = int(one), float(farad)
        found[i, i] += value
        if other != "0":
            j = int(other[1])
            found[j, j] += value
            found[i, j] -= value
            found[j, i] -= value
    torch.testing.assert_close(found, MAXWELL, rtol=1e-9, atol=1e-20)  # farad; some are zero
    assert len(re.findall(r"^C\d_\d ", text, re.MULTILINE)) == 2  # none where nothing couples
    assert re.findall(r"^L(\d) x(\d) 0 (\S+) ic=0$", text, re.MULTILINE) == [
        ("0", "0", "0.001"), ("1", "1", "0.002"), ("2", "2", "0.003"),
    ]  # fmt: skip
    assert re.findall(r"^R(\d) x(\d) 0 (\S+)$", text, re.MULTILINE) == [
        ("0", "0", "50"), ("1", "1", "60"), ("2", "2", "70"),
    ]  # fmt: skip
    noise = re.findall(r"^I(\d) 0 x(\d) dc 0 trnoise\((\S+) (\S+) 0 0\)$", text, re.MULTILINE)
    assert [line[:2] for line in noise] == [("0", "0"), ("1", "1"), ("2", "2")]
    assert [float(value) for line in noise for value in line[2:]] == pytest.approx([(6e-12 / 1e-7) ** 0.5, 1e-7] * 3)
    assert "tran 1e-07 0.002 0 1e-07 uic" in text and "write waveform.raw" in text and "echo unit x > read.txt" in text
    # tolerances follow the units: 10 parts in a million of a volt sqrt(kT / C), one of an ampere sqrt(kT / L)
    volt, ampere = (3e-12 * 60 / 2.5e-9) ** 0.5, (3e-12 * 60 / 2e-3) ** 0.5
    assert f".options reltol=3e-05 vntol={1e-5 * volt:.3g} abstol={1e-6 * ampere:.3g}" in text


def test_boards_without_a_netlist_are_refused():
    for circuit in (board(bandwidth=1e6), board(capacitance=MAXWELL.expand(2, 3, 3))):
        with pytest.raises(ValueError, match="circuit: expected one board with white noise"):
            board_netlist(circuit, 1e-3, 1e-7)
    second = (2e-3 * 2.5e-9) ** 0.5
    board_netlist(board(), 1e-3, 0.099 * second)
    with pytest.raises(ValueError, match="step: expected at most"):
        board_netlist(board(), 1e-3, 0.101 * second)
