"""Closed forms of the device models, each by hand."""

from dataclasses import replace

import pytest
import torch

from tests.evaluation.energy.joules import close
from thermotorch.evaluation.energy.contribution import CONTRIBUTIONS
from thermotorch.evaluation.energy.dtca import DTCA
from thermotorch.evaluation.energy.ideal_device import IdealDevice
from thermotorch.evaluation.energy.ledger import LANDAUER
from thermotorch.evaluation.energy.machine_run import MachineRun, machine_run
from thermotorch.evaluation.energy.quantity import with_value
from thermotorch.evaluation.energy.rc_analog import RCAnalog
from thermotorch.evaluation.energy.spu_board import SPUBoard
from thermotorch.evaluation.energy.thermodynamic import DEVICES, device, thermodynamic_ledgers
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.units import landauer_bound

KT = 1.380649e-23 * 300
RUN = MachineRun(
    heat=1000.0, heat_stderr=10.0, preparation=400.0, work_on=-50.0, work_off=1450.0, returned=60.0, units=20,
    read_units=9, inputs=2, couplings=100, biases=20, temperature=0.1, run_time=5.0, noise_time=5.0,
    drive=9000.0, stored=300.0, coupling_slope=30.0, well_slope=80.0, coupling_loss=12.0, num_samples=64, seed=0,
)  # fmt: skip


def lines(device, run=RUN):
    return {line.contribution: line for line in device.ledger("machine", run).lines}


def joule(device, contribution, run=RUN):
    return lines(device, run)[contribution].joule


@pytest.mark.parametrize("model", DEVICES, ids=lambda model: model.name)
def test_every_device_prices_every_contribution_and_ends_with_the_scale(model):
    ledger = model.ledger("machine", RUN)
    assert [line.contribution for line in ledger.lines] == [*CONTRIBUTIONS, LANDAUER]
    assert ledger.lines[-1].joule == close(landauer_bound(9))
    assert (ledger.kind, ledger.model, ledger.scenario) == ("modelled", "machine", model.name)
    assert all(line.source for line in ledger.lines)


def test_heat_of_the_ideal_device_is_the_mean_heat_in_kT():
    heat = lines(IdealDevice())["heat of the trajectory"]
    assert heat.joule == close(1000 * KT)
    assert (heat.low, heat.high) == (close(980.4 * KT), close(1019.6 * KT))
    assert joule(IdealDevice(), "preparation of the noise") == close(400 * KT)


def test_work_is_counted_once_as_the_heat_it_becomes():
    """First law: heat + preparation = work on + work off; a switching line with the work would count it twice."""
    switching = lines(IdealDevice())["switching the potential on"]
    assert (switching.joule, switching.high) == (0.0, close(60 * KT))
    moved = joule(IdealDevice(), "heat of the trajectory") + joule(IdealDevice(), "preparation of the noise")
    assert moved == close((RUN.work_on + RUN.work_off) * KT)


def test_memory_of_the_ideal_device_costs_a_landauer_bound_for_each_bit():
    one = landauer_bound(1)
    assert joule(IdealDevice(), "read-out") == close(9 * 8 * one)
    assert joule(IdealDevice(), "input and programming") == close((120 * 8 / 1e4 + 2) * one)


def test_heat_absorbed_is_a_gain_and_has_no_broken_range():
    cold = replace(RUN, heat=-3.0, heat_stderr=1.0, preparation=-40.0)
    heat = lines(IdealDevice(), cold)["heat of the trajectory"]
    assert (heat.low, heat.joule, heat.high) == close((-4.96 * KT, -3 * KT, -1.04 * KT))
    warm = lines(RCAnalog(), replace(RUN, stored=-40.0))["preparation of the noise"]
    assert (warm.low, warm.joule, warm.high) == close((-40e4 * KT, -40 * KT, -40 * KT))


def test_voltage_of_a_thermal_node():
    """kT / C: at 1 pF and 300 K the noise of a node is 64.4 microvolt, the textbook number."""
    node = with_value(RCAnalog(), "capacitance", 1e-12)
    assert node.voltage(replace(RUN, temperature=1.0)) == close(64.4e-6, rel=1e-3)
    assert node.voltage(replace(RUN, temperature=0.25)) == close(2 * 64.4e-6, rel=1e-3)
    hot = with_value(node, "noise_ratio", 100.0)
    assert hot.voltage(replace(RUN, temperature=1.0)) == close(644e-6, rel=1e-3)


def test_energy_scale_of_a_node_is_that_of_its_voltage():
    """The energy unit C u^2 holds 1 / T of the machine's kT: one kT of heat is T C u^2, whatever the noise ratio."""
    hot = with_value(RCAnalog(), "noise_ratio", 7.0)
    for analog in (RCAnalog(), hot):
        unit = analog.capacitance.value * analog.voltage(RUN) ** 2
        assert joule(analog, "heat of the trajectory") == close(8700 * RUN.temperature * unit)
    assert joule(RCAnalog(), "heat of the trajectory") == close(8700 * KT)


def test_heat_of_a_circuit_is_what_its_couplings_give_over_a_cycle():
    """9,000 kT of v i into the nodes: 8,700 become heat in the run, the 300 of the capacitors on the way back."""
    both = ("heat of the trajectory", "preparation of the noise")
    assert [joule(RCAnalog(), line) for line in both] == close([8700 * KT, 300 * KT])
    assert [joule(IdealDevice(), line) for line in both] == close([1000 * KT, 400 * KT])  # the fall of V


def test_static_bias_current_by_hand():
    """At C = 1 pF and tau = 1 us a unit slope is 1 uS, which takes 50 nA at g_m / I = 20 / V: 40 nW from 0.8 V."""
    analog = with_value(RCAnalog(), "capacitance", 1e-12)
    micro = 40e-9 * 1e-6  # joule for a unit slope in a unit of time
    expected = micro * (30 * 5 + 1.7 * 80 * 10)  # devices of a well take 1.7 times as much as its slope
    assert joule(analog, "static bias current") == close(expected)
    for seconds in (1e-9, 1e-6):  # a faster machine draws more for a shorter time
        assert joule(with_value(analog, "mobility_time", seconds), "static bias current") == close(expected)


def test_devices_of_a_well_take_more_than_its_slope():
    wells = replace(RUN, coupling_slope=0.0)
    static = [joule(with_value(RCAnalog(), "well_overhead", times), "static bias current", wells) for times in (1, 3)]
    assert static[1] == close(3 * static[0])
    none = replace(RUN, well_slope=0.0)
    static = [joule(with_value(RCAnalog(), "well_overhead", times), "static bias current", none) for times in (1, 3)]
    assert static[1] == close(static[0])


def test_the_least_static_dissipation_is_that_of_resistors():
    """G u^2 (x_i - x_j)^2 of each bond for the run: 12 energy units a unit of time for 5, at kT / T each."""
    assert lines(RCAnalog())["static bias current"].low == close(12 * 5 * KT / 0.1)


def test_gates_converters_and_memory_of_the_analog_circuit_by_hand():
    assert joule(RCAnalog(), "switching the potential on") == close(120 * 1e-15 * 0.8**2)
    assert joule(RCAnalog(), "read-out") == close(9 * 256 * 10e-15)
    per_bit = 10e-12 / 64
    assert joule(RCAnalog(), "input and programming") == close((120 / 1e4 + 2) * 8 * per_bit)


def test_programming_is_shared_by_the_samples_drawn_from_it():
    once = with_value(RCAnalog(), "samples_per_program", 1.0)
    free = replace(RUN, inputs=0)
    thousand = with_value(RCAnalog(), "samples_per_program", 1000.0)
    assert joule(once, "input and programming", free) == close(1000 * joule(thousand, "input and programming", free))


def test_kT_of_the_board_is_the_energy_of_its_injected_noise():
    assert joule(SPUBoard(), "heat of the trajectory") == close(1000 * 10e-9 * 0.1**2)
    assert joule(SPUBoard(), "read-out") == close(9 * 1e-8), "a conversion for each unit that is read"
    ledger = SPUBoard().ledger("machine", RUN)
    assert ledger.missing == ("switching the potential on", "input and programming", "static bias current")
    assert ledger.total.note.startswith("lower bound")


def test_cells_of_the_digital_thermodynamic_computer():
    plain = replace(RUN, couplings=60)  # 2 x 60 / 12 = 10 cells would hold the couplings, 20 are there
    assert DTCA().cells(plain).value == 20
    dense = replace(RUN, couplings=600)  # 100 cells are needed
    assert DTCA().cells(dense).value == 100
    assert joule(DTCA(), "heat of the trajectory", dense) == close(100 * 5 * 10 * 2e-15)
    assert joule(DTCA(), "read-out", dense) == close(9 * 1.692e-12)
    assert joule(DTCA(), "input and programming", dense) == close((100 / 1e4 + 2) * 153.6e-12)


def test_the_published_sample_of_the_digital_thermodynamic_computer():
    """T = 8 steps of 70 x 70 cells and 250 sweeps at 2 fJ: 19.6 nJ by the short formula of the paper."""
    published = replace(RUN, units=4900, couplings=4900 * 6, run_time=8 * 25.0)  # degree 12, ten sweeps a unit of time
    assert joule(DTCA(), "heat of the trajectory", published) == close(8 * 4900 * 250 * 2e-15)
    assert joule(DTCA(), "heat of the trajectory", published) == close(19.6e-9)


def test_devices_by_name():
    assert device("rc_analog") == RCAnalog()
    with pytest.raises(ValueError, match="rc_analog"):
        device("rc_analogue")


def test_of_a_machine_that_is_no_generator_only_the_heat_is_priced():
    (ledger,) = thermodynamic_ledgers("other", torch.nn.Linear(2, 2), torch.tensor([10.0, 30.0]))
    assert ledger.total.joule == close(20 * KT)
    assert ledger.missing == CONTRIBUTIONS[1:]
    with pytest.raises(ValueError, match="its heat must be given"):
        thermodynamic_ledgers("other", torch.nn.Linear(2, 2))


@pytest.mark.parametrize("heat", [None, torch.tensor([10.0, 30.0])])
def test_a_machine_is_priced_on_every_device_by_the_run_that_was_asked_for(heat):
    torch.manual_seed(0)
    model = ThermodynamicGenerator(image_shape=[1, 2, 2], hidden=2, t_final=0.2, dt=0.02)
    run = machine_run(model, 5, 3, heat)
    expected = tuple(device.ledger("mine", run) for device in DEVICES)
    assert thermodynamic_ledgers("mine", model, heat, num_samples=5, seed=3) == expected
    assert run.heat != machine_run(model, 5, 4).heat


@pytest.mark.parametrize("model", DEVICES, ids=lambda model: model.name)
def test_the_source_of_a_number_is_not_that_of_one_run(model):
    """Words about the run at hand are a note; a source can be looked up."""
    other = replace(RUN, heat=7.0, work_on=3.0, work_off=5.0, read_units=4, couplings=11, biases=3, units=13, inputs=1,
                    drive=8.0, stored=2.0, well_slope=9.0, run_time=2.0)  # fmt: skip
    mine, others = (model.ledger("machine", run).lines[:-1] for run in (RUN, other))
    assert [line.source for line in mine] == [line.source for line in others]
    assert any(one.note != another.note for one, another in zip(mine, others, strict=True))


def test_lines_that_are_in_others_are_zero_and_notes_are_numbers_of_the_run():
    for model in (IdealDevice(), DTCA()):
        assert joule(model, "static bias current") == 0.0
    assert lines(IdealDevice())["static bias current"].note == ""
    assert lines(SPUBoard())["switching the potential on"].note == ""
    volt = (KT / (2e-13 * RUN.temperature)) ** 0.5
    assert f"{volt * 1e3:.2g} mV for x = 1 on 200 fF" in lines(RCAnalog())["heat of the trajectory"].note
    assert "from 64 runs" in lines(IdealDevice())["preparation of the noise"].note
    assert lines(DTCA())["preparation of the noise"].note.startswith("20 cells for 20 units, 10 updates")


def test_what_another_machine_prices_says_where_its_number_is_from():
    (ledger,) = thermodynamic_ledgers("other", torch.nn.Linear(2, 2), torch.tensor([10.0, 30.0]))
    heat = ledger.lines[0]
    assert (heat.source, heat.note) == ("thermodynamics of the simulated run", "20 kT")
    error = 1.96 * 10.0 * KT
    assert (heat.low, heat.high) == (close(20 * KT - error), close(20 * KT + error))


def test_without_a_number_of_samples_it_is_64_of_seed_0():
    torch.manual_seed(0)
    model = ThermodynamicGenerator(image_shape=[1, 2, 2], hidden=2, t_final=0.04, dt=0.02)
    assert machine_run(model) == machine_run(model, 64, 0)
    expected = tuple(device.ledger("mine", machine_run(model, 64, 0)) for device in DEVICES)
    assert thermodynamic_ledgers("mine", model) == expected
