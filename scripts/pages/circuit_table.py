"""The energies of scripts/pages/circuit_energy.json beside the ledger's, for docs/energy.md."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from thermotorch.evaluation.report.markdown import number, table

RECORD = Path(__file__).with_name("circuit_energy.json")

_LEAD = """## Lines that a circuit has checked

Machines exported as netlists, run in ngspice with integrals of v i (`python -m scripts.pages.circuit_energy`, noise
step 0.0125, not seeded; of any machine by `thermotorch-export model=generator.digits8x8 metered=true`). Twenty runs of
the small machines; of `generator.digits8x8` two in the ideal rendering (step 0.01), two of its cells, one of its
pairs. The ideal rendering is priced at 0.8 V and 300 K; cells and differential pairs of level-1 transistors at 1.8 V,
with an overdrive of 0.2 V, so that g_m/I is 5 per volt, and injected noise ([circuits](circuit.md)). The ledger's
column is without `well_overhead` in the row of the wells. Both columns are modelled: nothing was measured on a
device."""

_LINES = """- **Heat of the trajectory, preparation**: checked, and mended. The ledger had priced the fall of V, which
  no conductance dissipates; v i is many times as much, since couplings hold units up against their wells. It comes from
  the bias currents, of which it is a millionth at 300 K, and stands in both lines.
- **Static bias current, wells**: checked in devices, and mended by `well_overhead`. A cell draws its tail current
  whatever its state; relative to the slope of the well this is least where units are far out, as in
  `generator.digits8x8`, whose value the ledger takes. The ledger does not follow the slope along the path, as the row
  "bias currents" does, and so prices the preparation, where units are near zero, higher.
- **Static bias current, couplings**: checked in pairs. In weak inversion the same pair has g_m/I = 13 per volt (DC
  sweep, BSIM4 with its defaults, 1 uA); the ledger's 20 is nearer to that of one transistor, and its range holds both.
  Units that are held take no current, which the ledger now leaves out. Bias currents b G0 u are in no line.
- **Switching, read-out, programming**: not checked. Switches and converter of the netlist are ideal.
- **What makes the noise**: in no circuit and in no line.
- `ideal`: the fall of V is checked above. `spu_board` and `dtca`: not checked."""

_ROWS = (
    ("v i of conductances less noise, ideal", "kT", "ideal", "heat", "ideal, ledger"),
    ("charge of the nodes, ideal", "kT", "ideal", "stored", "ideal, ledger"),
    ("fall of V, ideal", "kT", "ideal", "fall of V", "ideal, ledger"),
    ("bias currents, ideal", "J", "ideal", "bias currents", "ideal, ledger"),
    ("wells, cells against their slope alone", "J", "cells", "wells", "cells, slope alone"),
    ("couplings, pairs", "J", "pairs", "couplings", "pairs, ledger"),
)


def checked_section() -> str:
    """Return the section of docs/energy.md on what ngspice integrated."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    rows = [row for name, found in record.items() for row in _rows(name, found)]
    header = ["machine", "energy of a run", "ngspice", "ledger", "ratio"]
    return "\n\n".join([_LEAD, table(header, rows, right=(2, 3, 4)), _LINES])


def _rows(name: str, found: Mapping[str, Any]) -> Iterator[list[str]]:
    for title, unit, rendering, key, ledger in _ROWS:
        if rendering not in found:
            continue
        (value, error), said = found[rendering][key], found[ledger][key]
        expected = said[0] if isinstance(said, list) else said
        ends = f" ({said[1]:.1e} to {said[2]:.1e})" if isinstance(said, list) else ""
        yield [
            name, title, f"{number(value, error)} {unit}", f"{number(expected)}{ends} {unit}",
            f"{value / expected:.2f}",
        ]  # fmt: skip
