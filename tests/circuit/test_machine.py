"""The plain numbers of a model, against its potential and settings; no simulator is needed."""

from dataclasses import replace

import pytest
import torch

import thermotorch as tt
from thermotorch.circuit import AnalogMachine, Segment, analog_machine, from_potential
from thermotorch.circuit.machine import mismatched_capacitors
from thermotorch.models.imperfections import realise


def slope(machine: AnalogMachine, x: torch.Tensor) -> torch.Tensor:
    """Return the derivative of the machine's energy at a state with all couplings on."""
    x = x.double()
    wells = 2 * machine.j2 * x + 3 * machine.j3 * x**2 + 4 * machine.j4 * x**3
    return wells + machine.bias + machine.couplings @ x


def test_a_potential_has_its_slope_and_the_defaults_of_a_run(three_units):
    machine = from_potential(three_units, 2.0, 0.25, 0.3)
    x = torch.tensor([0.3, -0.7, 0.9]).double()
    torch.testing.assert_close(slope(machine, x), three_units.gradient(x))
    assert machine.program == (Segment(2.0, 0.3, 1.0),)
    assert (machine.dt, machine.time, machine.temperature) == (0.25, 2.0, 0.3)
    assert machine.groups == (("unit", 3),) and machine.read == (0, 1, 2) and machine.units == 3
    assert machine.mobility.eq(1).all() and machine.start.eq(0).all() and not machine.held.any()
    assert machine.readout_time == 0.0 and machine.full_scale == (-1.0, 1.0) and machine.sizes.eq(1).all()
    assert not machine.switched and not machine.heated
    driven = from_potential(
        three_units, 2.0, 0.25, 0.3, drive=torch.tensor([0.5, 0.0, -0.2]), mobility=torch.tensor([1.0, 2.0, 3.0]),
        start=x, held=torch.tensor([True, False, False]), read=[2],
    )  # fmt: skip
    torch.testing.assert_close(driven.bias, machine.bias - torch.tensor([0.5, 0.0, -0.2]))
    assert driven.mobility.tolist() == [1.0, 2.0, 3.0] and driven.held.tolist() == [True, False, False]
    assert torch.equal(driven.start, x) and driven.read == (2,)
    assert all(value.dtype == torch.float64 for value in (driven.j2, driven.bias, driven.start, driven.couplings))
    for number, value in {"time": 0.0, "dt": -0.1, "temperature": -1.0}.items():
        with pytest.raises(ValueError, match=number):
            from_potential(three_units, **{"time": 1.0, "dt": 0.1, "temperature": 0.1, number: value})


def test_a_program_has_the_sum_of_its_times_and_the_highest_temperature(three_units):
    machine = replace(
        from_potential(three_units, 1.0, 0.1, 0.3), program=(Segment(1.0), Segment(0.5, 0.3, 0.5), Segment(2.0, 0.1))
    )
    assert (machine.time, machine.temperature, machine.switched, machine.heated) == (3.5, 0.3, True, True)
    assert not replace(machine, program=(Segment(1.0, 0.2, 0.5), Segment(1.0, 0.2))).heated


def test_features_of_a_layer_are_held_units_before_its_own():
    """Their couplings are less the input weights, so that they push with W u."""
    torch.manual_seed(0)
    layer = tt.ThermodynamicLayer(2, 3, hidden=4, t_final=0.6, dt=0.1, temperature=0.3, j3=0.2, mobility=1.5)
    torch.nn.init.normal_(layer.potential.bias)
    features, x = torch.tensor([0.7, -1.2]), torch.randn(7)
    machine = analog_machine(layer, inputs=features)
    expected = layer.potential.gradient(x) - layer.input(features)
    found = slope(machine, torch.cat([features, x]))[2:]
    torch.testing.assert_close(found, expected.detach().double(), rtol=1e-5, atol=1e-6)  # of float32
    torch.testing.assert_close(machine.couplings, machine.couplings.T)
    assert machine.couplings[:2, :2].eq(0).all() and machine.held.tolist() == [True] * 2 + [False] * 7
    assert machine.groups == (("input", 2), ("hidden", 4), ("output", 3)) and machine.read == (6, 7, 8)
    torch.testing.assert_close(machine.start, torch.cat([features, torch.zeros(7)]).double())
    assert machine.mobility.tolist() == [0.0] * 2 + [1.5] * 7 and machine.j4.tolist() == [0.0] * 2 + [1.0] * 7
    assert machine.program[0] == pytest.approx((0.6, 0.3, 1.0)) and machine.dt == pytest.approx(0.1)


def test_a_classifier_holds_the_features_of_its_image():
    torch.manual_seed(0)
    model = tt.create_model("classifier", image_shape=[1, 2, 2], num_classes=3, hidden=2)
    image = torch.rand(1, 2, 2)
    machine = analog_machine(model, image=image)
    torch.testing.assert_close(machine.start[:4], model.features(image[None])[0].double())
    assert machine.read == (6, 7, 8)


def test_a_generator_makes_its_noise_first_and_holds_its_label():
    model = tt.create_model(
        "generator", image_shape=[1, 2, 2], hidden=3, num_classes=3, temperature=0.2, t_final=2.0, dt=0.1,
        readout_time=0.4, display_range=[-0.3, 0.8], mobility={"visible": 2.0, "hidden": 0.5},
        schedule={"gain": [0.5, 1.0], "temperature": [2.0, 1.0]},
    )  # fmt: skip
    machine = analog_machine(model, label=1)
    assert [tuple(part) for part in machine.program] == [
        pytest.approx((2.0, 0.2, 0.0)), pytest.approx((1.0, 0.4, 0.5)), pytest.approx((1.0, 0.2, 1.0)),
    ]  # fmt: skip
    assert machine.start.tolist() == [0.0] * 8 + [1.0, 0.0] and machine.held.tolist() == [False] * 7 + [True] * 3
    assert analog_machine(model).start.tolist() == [0.0] * 7 + [1.0, 0.0, 0.0]
    assert machine.read == (0, 1, 2, 3) and machine.full_scale == (-0.3, 0.8)
    assert machine.readout_time == pytest.approx(0.4) and machine.mobility[:7].tolist() == [2.0] * 4 + [0.5] * 3


def test_a_layered_computer_takes_its_number_as_a_bias_current():
    torch.manual_seed(0)
    model = tt.create_model("layered", layers=[3, 2, 1])
    number = torch.tensor([0.7])
    machine = analog_machine(model, inputs=number)
    x = torch.randn(6)
    expected = model.potential.gradient(x) - model.drive(number)[0]
    torch.testing.assert_close(slope(machine, x), expected.detach().double(), rtol=1e-5, atol=1e-6)  # of float32
    assert machine.read == (5,) and machine.program[0] == pytest.approx((model.t_final, model.temperature, 1.0))
    assert machine.dt == pytest.approx(model.dt)


@pytest.mark.parametrize("inputs", [None, torch.ones(3)])
def test_inputs_of_another_size_are_refused(inputs):
    with pytest.raises(ValueError, match=r"inputs: a layer needs its features, \[2\]"):
        analog_machine(tt.ThermodynamicLayer(2, 3, hidden=2), inputs=inputs)
    with pytest.raises(ValueError, match=r"inputs: a layered computer needs its number, \[1\]"):
        analog_machine(tt.create_model("layered", layers=[3, 2, 1]), inputs=inputs)


def test_capacitors_miss_their_values_independently_of_conductances(three_units):
    """One device and one seed; what is drawn for a unit's capacitor is none of the draws for its biases and bonds."""
    nominal = torch.cat([three_units.bias, three_units.couplings.bonds]).clone()
    machine = replace(from_potential(three_units, 1.0, 1e-2, 0.1), capacitance=torch.tensor([2.0, 1.0, 0.5]).double())
    drawn = (mismatched_capacitors(machine, 0.1, seed=3, device_id=2).sizes / machine.sizes - 1) / 0.1
    again = (mismatched_capacitors(machine, 0.2, seed=3, device_id=2).sizes / machine.sizes - 1) / 0.2
    torch.testing.assert_close(again, drawn)
    device = realise(three_units, mismatch=0.1, seed=3, device_id=2)
    others = (torch.cat([device.bias, device.couplings.bonds]) / nominal - 1) / 0.1
    assert others.abs().min() > 1e-3 and (others[:, None] - drawn).abs().min() > 1e-3
