"""Integrate the energies of three machines in ngspice and write them to scripts/pages/circuit_energy.json.

python -m scripts.pages.circuit_energy        # 20 minutes, most of it 19,000 transistors of one sample

`python -m scripts.pages.energy_page` prints them beside the ledger. The machines are a single and a double
well, alone and coupled, and generator.digits8x8, in the ideal rendering at 0.8 V and in cells of devices at 1.8 V.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import torch

from thermotorch.circuit import Scale, analog_machine, circuit_energies
from thermotorch.circuit.cell import CELL_SCALE
from thermotorch.circuit.cell_netlist import cell_energies
from thermotorch.circuit.machine import AnalogMachine
from thermotorch.evaluation.energy.machine_run import machine_run
from thermotorch.evaluation.energy.quantity import with_value
from thermotorch.evaluation.energy.rc_analog import RCAnalog
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.zoo import load_checkpoint

RECORD, DIGITS = Path(__file__).with_suffix(".json"), "generator.digits8x8"
OVERDRIVE, STEP = 0.2, 0.0125  # volt; noise step, reduced


def small(coupling: float) -> ThermodynamicGenerator:
    """Return a single and a double well."""
    model = ThermodynamicGenerator(
        (1, 1, 1), hidden=1, temperature=0.03, t_final=5.0, dt=STEP, j2={"visible": 0.5, "hidden": -0.5},
        visible_bias=True, hidden_hidden=False,
    )  # fmt: skip
    with torch.no_grad():
        model.potential.bias.copy_(torch.tensor([-0.5, 0.0]))
        for bond in model.potential.couplings.parameters():
            bond.fill_(coupling)
    return model


def in_cells() -> RCAnalog:
    """Return the device model at the supply of the cells, with pairs of their overdrive: g_m/I = 1 / V_ov."""
    priced = with_value(RCAnalog(), "supply", CELL_SCALE.supply)
    return with_value(with_value(priced, "capacitance", CELL_SCALE.farad), "gm_over_current", 1 / OVERDRIVE)


def ideal(machine: AnalogMachine) -> dict[str, float]:
    """Return the energies of the run, without its preparation, in kT; and all bias currents in joule."""
    found = circuit_energies(machine, step=STEP, reltol=1e-5)
    prepared = int((found.run.waveforms["time"] < machine.program[0].time * Scale(machine.temperature).second).sum())

    def of_run(meter: str) -> float:
        wave = found.run.waveforms[f"v(m_{meter})"]
        return (wave[-1] - wave[prepared]).item()

    return {
        "heat": of_run("wells") - of_run("noise"), "drive": -of_run("bonds"), "stored": of_run("stored"),
        "fall of V": of_run("heat"), "residual": found.residual, "bias currents": found.supply * found.kT,
    }  # fmt: skip


def averaged(found: list[dict[str, float]]) -> dict[str, list[float]]:
    """Return mean and standard error of each value."""
    columns = {name: torch.tensor([each[name] for each in found]).double() for name in found[0]}
    error = len(found) ** 0.5
    return {
        name: [value.mean().item(), value.std().item() / error if len(found) > 1 else 0.0]
        for name, value in columns.items()
    }


def measured(name: str, model: ThermodynamicGenerator, runs: int, pair_runs: int) -> Iterator[tuple[str, object]]:
    """Yield what ngspice integrates and what the ledger says, by rendering."""
    run = machine_run(model, 256)
    machines = [analog_machine(model, label=number % 10 if model.num_classes else None) for number in range(runs)]
    yield "runs", runs
    yield "ideal", averaged([ideal(machine) for machine in machines])
    expected = {"heat": run.drive - run.stored, "drive": run.drive, "stored": run.stored, "fall of V": run.heat}
    static = RCAnalog().static(run)
    yield "ideal, ledger", {**expected, "bias currents": [static.value, static.low, static.high]}
    cells = [cell_energies(machine, step=STEP, reltol=1e-3) for machine in machines]
    yield "cells", averaged([{"wells": each.wells} for each in cells])
    device, time = in_cells(), run.run_time + run.noise_time
    unit = (device.supply * device.capacitance / device.gm_over_current).value
    yield "cells, slope alone", {"wells": unit * run.well_slope * time}
    if pair_runs:
        pairs = [
            cell_energies(machine, pairs=OVERDRIVE, step=STEP, reltol=1e-3).bonds for machine in machines[:pair_runs]
        ]
        share = run.run_time / time  # tails are on in the preparation too
        yield "pairs", averaged([{"couplings": joule * share} for joule in pairs])
        yield "pairs, ledger", {"couplings": unit * run.coupling_slope * run.run_time}


def main() -> None:
    machines = {
        "two units apart": (small(0.0), 20, 0), "two coupled units": (small(-1.0), 20, 20),
        DIGITS: (load_checkpoint(DIGITS), 2, 1),
    }  # fmt: skip
    record = {}
    for name, (model, runs, pair_runs) in machines.items():
        assert isinstance(model, ThermodynamicGenerator)
        record[name] = dict(measured(name, model, runs, pair_runs))
        print(name, json.dumps(record[name], indent=1), flush=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
