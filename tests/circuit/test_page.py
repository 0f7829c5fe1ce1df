"""docs/circuit.md prints a netlist, which is the one that its Python block writes."""

import re
from pathlib import Path

from thermotorch.circuit import run_netlist

PAGE = (Path(__file__).parents[2] / "docs/circuit.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def test_the_printed_netlist_is_that_of_the_block_above():
    names: dict = {}
    exec(compile(block("python"), "docs/circuit.md", "exec"), names)
    assert names["text"] == block("spice")


def test_the_printed_netlist_runs(ngspice):
    found = run_netlist(block("spice")).read
    assert found.shape == (3,) and (found != 0).all() and found.abs().max() < 2  # noisy, and held by the wells
