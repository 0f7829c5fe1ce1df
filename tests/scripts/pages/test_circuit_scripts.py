"""The scripts behind docs/circuit.md: what they draw agrees with `simulate` where both apply, and tables add up."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from matplotlib.figure import Figure

from scripts.pages import circuit_cell, circuit_digits, circuit_energy, circuit_mismatch, circuit_pairs, circuit_table
from thermotorch import simulate
from thermotorch.circuit.cell import CELL_SCALE, CellCurve
from thermotorch.evaluation.energy.machine_run import machine_run
from thermotorch.evaluation.energy.rc_analog import RCAnalog
from thermotorch.evaluation.report.markdown import number
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.zoo.rows import Row

PAGE = Path(__file__).resolve().parents[3] / "docs" / "energy.md"
DT = circuit_pairs.DT


def machine(temperature: float, couplings: float = 0.3, **settings) -> ThermodynamicGenerator:
    """Four pixels, three hidden units and ten classes, read as the mean of the last quarter."""
    torch.manual_seed(0)
    found = ThermodynamicGenerator(
        (1, 2, 2), hidden=3, num_classes=10, temperature=temperature, t_final=20 * DT, dt=DT, visible_bias=True,
        **{"readout_time": 5 * DT, "display_range": (-4.0, 4.0), **settings},
    )  # fmt: skip
    with torch.no_grad():
        for bonds in found.potential.couplings.parameters():
            bonds.normal_(std=couplings)
        found.potential.bias[: found.hidden.stop].normal_(std=couplings)
    return found


def told(found: ThermodynamicGenerator, count: int) -> torch.Tensor:
    """Units at rest, and the classes in turn on the labels."""
    state = torch.zeros(count, found.potential.num_units)
    state[:, found.hidden.stop :] = torch.eye(10)[torch.arange(count) % 10]
    return state


def by_simulate(found: ThermodynamicGenerator, integrator: str) -> torch.Tensor:
    """Images of twelve samples without noise: nothing moves before the couplings are on."""
    run = simulate(found.potential, told(found, 12), steps=20, dt=DT, temperature=0.0, clamp=found.held(),
                   integrator=integrator, record=1, seed=0)  # fmt: skip
    return found.to_images(run.states[-5:].mean(0)).detach()


@pytest.fixture
def twelve(monkeypatch):
    for module in (circuit_pairs, circuit_mismatch, circuit_cell):
        monkeypatch.setattr(module, "SAMPLES", 12)


def test_the_loop_of_the_pairs_is_heun_s_scheme_where_couplings_are_linear(twelve):
    cold = machine(0.0)
    wells = cold.potential.on_site_gradient
    images = circuit_pairs.drawn(cold, wells, lambda x: x, seed=0)
    torch.testing.assert_close(images, by_simulate(cold, "heun"), rtol=1e-5, atol=1e-6)
    half = circuit_pairs.drawn(cold, wells, lambda x: x / 2, seed=0)
    with torch.no_grad():
        for bonds in cold.potential.couplings.parameters():
            bonds /= 2
    torch.testing.assert_close(half, by_simulate(cold, "heun"), rtol=1e-5, atol=1e-6)


def test_equal_capacitors_are_the_machine_itself_by_euler_maruyama(twelve):
    cold = machine(0.0)
    images = circuit_mismatch.with_capacitors(cold, 0.0, device=0)
    torch.testing.assert_close(images, by_simulate(cold, "euler_maruyama"), rtol=1e-5, atol=1e-6)
    others = [circuit_mismatch.with_capacitors(cold, 0.2, device=device) for device in (0, 1)]
    assert not torch.equal(others[0], images) and not torch.equal(*others)


def mean_square(j2: float, j4: float, temperature: float) -> float:
    x = torch.linspace(-8, 8, 4001).double()
    weight = torch.exp(-(j2 * x**2 + j4 * x**4) / temperature)
    return ((x**2 * weight).sum() / weight.sum()).item()


@pytest.mark.parametrize("by", ["pairs", "capacitors"])
def test_units_without_couplings_come_to_the_equilibrium_of_their_wells(by, monkeypatch):
    """The noise has the size of the machine's temperature: <x^2> of 2,400 pixels against the integral."""
    monkeypatch.setattr(circuit_pairs, "SAMPLES", 600)
    monkeypatch.setattr(circuit_mismatch, "SAMPLES", 600)
    warm = machine(0.5, couplings=0.0, readout_time=DT)
    warm.config["t_final"] = warm.t_final = 60 * DT
    if by == "pairs":
        images = circuit_pairs.drawn(warm, warm.potential.on_site_gradient, lambda x: x, seed=1)
    else:
        images = circuit_mismatch.with_capacitors(warm, 0.0, device=0)
    found = (warm.to_state(images) ** 2).mean().item()
    assert found == pytest.approx(mean_square(1.0, 1.0, 0.5), rel=0.1)


def test_wells_that_were_measured_as_quartic_change_nothing(twelve, monkeypatch):
    monkeypatch.setattr(circuit_cell, "DT", DT)
    cold = machine(0.0, j2={"visible": 0.5, "hidden": -0.5})
    x = torch.linspace(-circuit_cell.REACH, circuit_cell.REACH, 3001).double()
    force = torch.stack([2 * j2 * x + 4 * x**3 for _, j2 in circuit_cell.WELLS.values()])
    other = circuit_cell.with_wells(cold, force)
    assert (other.config["integrator"], other.config["dt"]) == ("heun", DT)
    states = torch.linspace(-1.2, 1.2, 5)[:, None].expand(5, cold.potential.num_units)
    moving = slice(0, cold.hidden.stop)
    torch.testing.assert_close(other.potential.gradient(states)[:, moving], cold.potential.gradient(states)[:, moving],
                               rtol=1e-3, atol=1e-3)  # fmt: skip
    plain, tabulated = (circuit_cell.sampled(cold, wells, seed=2) for wells in (None, force))
    assert len(plain) == 12
    torch.testing.assert_close(tabulated, plain, rtol=1e-2, atol=1e-3)


def test_a_broken_line_goes_through_its_points_and_stays_at_its_ends():
    state, value = torch.tensor([-1.0, 0.0, 1.0, 2.0]), torch.tensor([3.0, 0.0, 1.0, 5.0])
    look_up = circuit_pairs.table(state, value)
    x = torch.tensor([-9.0, -1.0, -0.5, 0.0, 0.25, 1.0, 1.5, 9.0])
    torch.testing.assert_close(look_up(x), torch.tensor([3.0, 3.0, 1.5, 0.0, 0.25, 1.0, 3.0, 5.0]), rtol=0, atol=5e-3)


def test_the_judge_learns_the_first_digits_and_asks_for_the_classes_in_turn(capsys, digits8x8):
    images, labels = digits8x8
    judge = circuit_digits.judge()
    said = float(capsys.readouterr().out.split()[1])
    rest = slice(circuit_digits.TRAINING, None)
    right = torch.as_tensor(judge.predict(images[rest].flatten(1).numpy())) == labels[rest]
    assert said == pytest.approx(right.float().mean().item(), abs=5e-4) and said > 0.9
    known = torch.as_tensor(judge.predict(images.flatten(1).numpy()))  # by the judge, right or wrong
    in_turn = torch.stack([images[known == number % 10][0] for number in range(20)])
    assert circuit_digits.obeyed(judge, in_turn) == 1.0
    in_turn[:5] = images[known == 7][0]
    assert circuit_digits.obeyed(judge, in_turn) == pytest.approx(0.75)


def test_means_have_the_standard_error_of_their_runs():
    found = circuit_energy.averaged([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 2.0}, {"a": 5.0, "b": 2.0}])
    assert found == {"a": [3.0, pytest.approx(2 / 3**0.5)], "b": [2.0, 0.0]}
    assert circuit_energy.averaged([{"a": 4.0}]) == {"a": [4.0, 0.0]}


def test_two_units_are_a_single_and_a_double_well_that_pull_at_each_other():
    apart, coupled = circuit_energy.small(0.0), circuit_energy.small(-1.0)
    assert apart.potential.couplings.matrix().tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert coupled.potential.couplings.matrix().tolist() == [[0.0, -1.0], [-1.0, 0.0]]
    for found in (apart, coupled):
        assert found.potential.bias.tolist() == [-0.5, 0.0] and found.potential.j2.tolist() == [0.5, -0.5]
        assert (found.temperature, found.t_final, found.dt) == (0.03, 5.0, circuit_energy.STEP)
    priced = circuit_energy.in_cells()
    assert (priced.supply.value, priced.capacitance.value) == (CELL_SCALE.supply, CELL_SCALE.farad)
    assert priced.gm_over_current.value == pytest.approx(5.0)


def test_energies_of_a_run_leave_out_its_preparation(monkeypatch):
    """Meters that ngspice reads at five times, of which the first two are of the preparation, in a scale of 2 s."""
    waves = {"time": [0.0, 5.0, 6.0, 8.0, 9.0], "wells": [0.0, 1.0, 2.0, 5.0, 9.0], "noise": [0.0, 0.5, 1.0, 1.5, 3.0],
             "bonds": [0.0, 0.0, 0.5, 1.0, 4.0], "stored": [0.0, 7.0, 8.0, 9.0, 10.0],
             "heat": [1.0, 1.0, 3.0, 4.0, 8.0]}  # fmt: skip
    waves = {name if name == "time" else f"v(m_{name})": torch.tensor(wave) for name, wave in waves.items()}
    found = SimpleNamespace(run=SimpleNamespace(waveforms=waves), residual=0.25, supply=100.0, kT=3.0)
    asked = {}
    monkeypatch.setattr(circuit_energy, "circuit_energies", lambda machine, **given: asked.update(given) or found)
    monkeypatch.setattr(circuit_energy, "Scale", lambda temperature: SimpleNamespace(second=2.0 * temperature))
    machine = SimpleNamespace(program=[SimpleNamespace(time=3.0)], temperature=1.0)
    assert circuit_energy.ideal(machine) == {
        "heat": (9.0 - 2.0) - (3.0 - 1.0), "drive": -(4.0 - 0.5), "stored": 10.0 - 8.0, "fall of V": 8.0 - 3.0,
        "residual": 0.25, "bias currents": 300.0,
    }  # fmt: skip
    assert asked["step"] == circuit_energy.STEP


def test_what_ngspice_integrates_stands_beside_what_the_ledger_says(monkeypatch):
    model, seen = circuit_energy.small(-1.0), []
    cells = {
        None: SimpleNamespace(wells=2.0, bonds=0.0),
        circuit_energy.OVERDRIVE: SimpleNamespace(wells=9.0, bonds=8.0),
    }
    monkeypatch.setattr(circuit_energy, "analog_machine", lambda model, label: seen.append(label) or "machine")
    monkeypatch.setattr(circuit_energy, "ideal", lambda machine: {"heat": 1.0})
    monkeypatch.setattr(circuit_energy, "cell_energies", lambda machine, pairs=None, **_: cells[pairs])
    found = dict(circuit_energy.measured("two", model, 3, 2))
    run, priced = machine_run(model, 256), circuit_energy.in_cells()
    assert seen == [None] * 3 and found["runs"] == 3
    assert found["ideal"] == {"heat": [1.0, 0.0]} and found["cells"] == {"wells": [2.0, 0.0]}
    static = RCAnalog().static(run)
    assert found["ideal, ledger"] == {
        "heat": run.drive - run.stored, "drive": run.drive, "stored": run.stored, "fall of V": run.heat,
        "bias currents": [static.value, static.low, static.high],
    }  # fmt: skip
    without_overhead = circuit_energy.with_value(priced, "well_overhead", 1.0)
    whole = without_overhead.static(run).value
    couplings = found["pairs, ledger"]["couplings"]
    assert found["cells, slope alone"]["wells"] + couplings == pytest.approx(whole, rel=1e-9)
    assert couplings == pytest.approx(run.coupling_slope * run.run_time * 1.8 * CELL_SCALE.farad * 0.2, rel=1e-9)
    assert found["pairs"] == {"couplings": [pytest.approx(8.0 * run.run_time / (run.run_time + run.noise_time)), 0.0]}
    assert "pairs" not in dict(circuit_energy.measured("two", model, 1, 0))


def test_the_table_of_the_page_is_that_of_the_record():
    section = circuit_table.checked_section()
    assert section in PAGE.read_text(encoding="utf-8"), "run: python -m scripts.pages.energy_page"
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    assert lines[0] == ["machine", "energy of a run", "ngspice", "ledger", "ratio"]
    record = json.loads(circuit_table.RECORD.read_text(encoding="utf-8"))
    assert {line[0] for line in lines[2:]} == set(record)
    expected = []
    for name, found in record.items():
        heat, said = found["ideal"]["heat"], found["ideal, ledger"]["heat"]
        row = [name, "v i of conductances less noise, ideal", f"{number(*heat)} kT", f"{number(said)} kT"]
        expected.append([*row, f"{heat[0] / said:.2f}"])
        assert expected[-1] in lines
        (currents, error), ends = found["ideal"]["bias currents"], found["ideal, ledger"]["bias currents"]
        (row,) = [line for line in lines if line[:2] == [name, "bias currents, ideal"]]
        assert row[2] == f"{number(currents, error)} J" and row[3].startswith(number(ends[0]))
        assert f"({ends[1]:.1e} to {ends[2]:.1e}) J" in row[3] and row[4] == f"{currents / ends[0]:.2f}"
        assert any(line[:2] == [name, "couplings, pairs"] for line in lines) == ("pairs" in found)
    assert all(math.isfinite(float(line[4])) for line in lines[2:])


@pytest.fixture
def judged(monkeypatch):
    """Scripts whose classifier is a name, and whose machine is small; how often images obey is what `told` holds."""
    told = []
    for module in (circuit_cell, circuit_digits, circuit_mismatch, circuit_pairs):
        monkeypatch.setattr(module, "judge", lambda: "classifier")
        monkeypatch.setattr(module, "obeyed", lambda classifier, images: told.append(images) or 0.75)
        if hasattr(module, "load_checkpoint"):
            monkeypatch.setattr(module, "load_checkpoint", lambda name: machine(0.0))
    return told


def test_a_thousand_digits_are_judged_and_the_card_gets_the_row(judged, monkeypatch, capsys):
    asked, recorded = [], []
    monkeypatch.setattr(
        ThermodynamicGenerator, "generate", lambda self, count, seed: asked.append((count, seed)) or torch.zeros(count)
    )
    monkeypatch.setattr(circuit_digits, "record_rows", lambda name, metrics: recorded.append((name, metrics)))
    monkeypatch.setattr("sys.argv", ["circuit_digits.py"])
    circuit_digits.main()
    assert asked == [(1000, 0)] and capsys.readouterr().out == "simulate: 0.750 of 1000\n"
    ((name, (row,)),) = recorded
    found = Row.from_dict(row)
    assert (name, found.metric, found.value) == ("generator.digits8x8", "class-conditional accuracy", 0.75)
    assert found.stderr == pytest.approx((0.75 * 0.25 / 1000) ** 0.5)
    assert (found.num_samples, found.seed, found.kind) == (1000, 0, "measured")
    assert found.command == "python scripts/pages/circuit_digits.py"
    drawn = []
    monkeypatch.setattr(circuit_digits, "by_ngspice", lambda machine: torch.ones(50))
    monkeypatch.setattr(circuit_digits, "draw", drawn.append)
    monkeypatch.setattr("sys.argv", ["circuit_digits.py", "--ngspice"])
    circuit_digits.main()
    assert capsys.readouterr().out.splitlines()[1] == "ngspice: 0.75 of 50"
    ((simulated, exported),) = [list(rows.values()) for rows in drawn]
    assert torch.equal(simulated, torch.zeros(50)) and torch.equal(exported, torch.ones(50))


def test_ngspice_draws_the_classes_in_turn_and_what_is_read_are_the_images(monkeypatch):
    cold, labels = machine(0.0), []
    monkeypatch.setattr(circuit_digits, "DRAWN", 12)
    monkeypatch.setattr(circuit_digits, "analog_machine", lambda model, label: labels.append(label) or label)
    monkeypatch.setattr(circuit_digits, "netlist", lambda machine, **given: (machine, given))
    monkeypatch.setattr(
        circuit_digits, "run_netlist", lambda circuit: SimpleNamespace(read=torch.full((4,), circuit[0] / 10).double())
    )
    images = circuit_digits.by_ngspice(cold)
    assert labels == [k % 10 for k in range(12)]
    assert torch.equal(images, cold.to_images(torch.tensor(labels)[:, None].expand(12, 4) / 10))


def test_the_figure_of_the_digits_has_a_sheet_for_each_way(monkeypatch, tmp_path):
    from PIL import Image

    monkeypatch.setattr(circuit_digits, "FIGURE", tmp_path / "digits.png")
    circuit_digits.draw({"one": torch.rand(50, 1, 8, 8), "two": torch.rand(50, 1, 8, 8)})
    with Image.open(tmp_path / "digits.png") as picture:
        assert picture.size == (550, 616)


def test_devices_of_every_mismatch_are_judged_with_their_mean_and_their_worst(judged, monkeypatch, capsys):
    realised, capacitors = [], []
    images = SimpleNamespace(generate=lambda count, seed: (count, seed))
    monkeypatch.setattr(circuit_mismatch, "realise", lambda model, **given: realised.append(given) or images)
    monkeypatch.setattr(circuit_mismatch, "with_capacitors", lambda model, *given: capacitors.append(given))
    circuit_mismatch.main()
    assert realised == [
        {"mismatch": mismatch, "seed": 0, "device_id": device}
        for mismatch in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3) for device in range(5)
    ]  # fmt: skip
    assert capacitors == [(mismatch, device) for mismatch in (0.0, 0.1, 0.2) for device in range(3)]
    assert judged[0] == (1000, 0)
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "transconductors 0.02: mean 0.750, worst 0.750 of 5 devices"
    assert said[-1] == "capacitors 0.2: mean 0.750, worst 0.750 of 3 devices"
    circuit_mismatch.show("wires", 0.5, [0.5, 0.75, 1.0, 0.25])
    assert capsys.readouterr().out == "wires 0.5: mean 0.625, worst 0.250 of 4 devices\n"


def test_the_cell_is_compared_with_its_quartic_well_within_growing_reaches(judged, monkeypatch, capsys, tmp_path):
    """Wells whose force is a tenth of |x| too large; the supply is told at rest."""
    x = torch.linspace(-1.5, 1.5, 61, dtype=torch.float64)

    def measure(elements, reach):
        (j2,) = [j2 for cell, j2 in circuit_cell.WELLS.values() if list(circuit_cell.well(cell, 0)) == elements]
        assert reach == 1.5
        return CellCurve(x, 2 * j2 * x + 4 * x**3 + x.abs() / 10, torch.where(x.abs() < 0.01, 3e-6, 9e-6))

    wells = []
    monkeypatch.setattr(circuit_cell, "measure", measure)
    monkeypatch.setattr(circuit_cell, "FIGURE", tmp_path / "cell.png")
    monkeypatch.setattr(circuit_cell, "sampled", lambda machine, force, seed: wells.append((force, seed)))
    circuit_cell.main()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"x = 1 is {CELL_SCALE.volt * 1e3:.1f} mV"
    away = "0.050 within 0.5, 0.075 within 0.75, 0.100 within 1.0, 0.120 within 1.2, 0.150 within 1.5"
    assert said[1:3] == [f"{name}: {away}; supply 3.0 uA" for name in ("single", "double")]
    assert said[3] == "quartic, Heun, step 0.0125: 0.750 (seed 0), 0.750 (seed 1) of 1000"
    assert [seed for _, seed in wells] == [0, 1] * 3 and wells[0][0] is None
    quartic = torch.stack([2 * j2 * x + 4 * x**3 for j2 in (0.5, -0.5)])
    torch.testing.assert_close(wells[2][0], quartic, rtol=1e-6, atol=1e-5)  # its states are float32 at first
    torch.testing.assert_close(wells[4][0], quartic + x.abs() / 10)
    assert (tmp_path / "cell.png").stat().st_size > 5000


def test_pairs_are_compared_with_a_straight_line_less_their_offset(judged, monkeypatch, capsys):
    """Pairs that answer a tenth too much beyond an offset of 0.02."""
    x, asked = torch.linspace(-1.5, 1.5, 301).double(), []
    monkeypatch.setattr(circuit_pairs, "measure_pair", lambda overdrive: (x, 1.1 * x + 0.02))
    monkeypatch.setattr(
        circuit_pairs, "measure", lambda elements, reach: SimpleNamespace(force=torch.zeros(301).double())
    )
    monkeypatch.setattr(
        circuit_pairs, "with_wells",
        lambda machine, force: SimpleNamespace(potential=SimpleNamespace(on_site_gradient="cells")),
    )  # fmt: skip
    monkeypatch.setattr(
        circuit_pairs, "drawn",
        lambda machine, wells, answer, seed: asked.append((wells == "cells", answer(torch.tensor(0.5)).item(), seed)),
    )  # fmt: skip
    circuit_pairs.main()
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        f"V_ov {overdrive}: offset 0.0200, from linear {{0.5: 0.1, 1.0: 0.1, 1.5: 0.1}}"
        for overdrive in (0.2, 0.1, 0.05)
    ]
    linear, pairs = pytest.approx(0.5), pytest.approx(0.55, abs=1e-5)
    kinds = [(False, linear), (False, pairs), (False, pairs), (False, pairs), (True, linear), (True, pairs)]
    assert asked == [(*kind, seed) for kind in kinds for seed in (0, 1)]
    assert said[3] == "quartic wells, linear: 0.750, 0.750 of 1000" and said[-1].startswith("cells wells, pairs 0.2: ")


def test_the_record_of_energies_is_of_three_machines(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(circuit_energy, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr(circuit_energy, "load_checkpoint", lambda name: machine(0.1))
    monkeypatch.setattr(
        circuit_energy, "measured", lambda name, *given: asked.append((name, *given[1:])) or [("runs", given[1])]
    )
    circuit_energy.main()
    assert asked == [("two units apart", 20, 0), ("two coupled units", 20, 20), ("generator.digits8x8", 2, 1)]
    assert json.loads((tmp_path / "record.json").read_text()) == {name: {"runs": runs} for name, runs, _ in asked}


def test_the_figure_of_the_cell_shows_forces_and_what_they_lack_of_the_quartic(monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, dpi: figures.append(self))
    x = torch.linspace(-1.5, 1.5, 7, dtype=torch.float64)
    ideal = {name: 2 * j2 * x + 4 * x**3 for name, (_, j2) in circuit_cell.WELLS.items()}
    circuit_cell.draw({name: CellCurve(x, force + 0.1 * x**2, x) for name, force in ideal.items()})
    left, right = figures[0].axes
    shown = [torch.tensor(line.get_xydata()) for line in left.get_lines()]
    for (devices, quartic), away, force in zip(
        zip(shown[::2], shown[1::2], strict=True), right.get_lines(), ideal.values(), strict=True
    ):
        torch.testing.assert_close(devices, torch.stack([x, force + 0.1 * x**2], 1))
        torch.testing.assert_close(quartic, torch.stack([x, force], 1))
        torch.testing.assert_close(torch.tensor(away.get_xydata()), torch.stack([x, 0.1 * x**2], 1))
    named = [text.get_text() for text in left.get_legend().get_texts()]
    assert named == ["single well, devices", "quartic", "double well, devices"]
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in (left, right)] == [
        ("x", "dV/dx"), ("x", "devices less quartic"),
    ]  # fmt: skip
