from dataclasses import dataclass

import pytest

from thermotorch.evaluation.energy.digital_hardware import HARDWARE_CLASSES, hardware_class
from thermotorch.evaluation.energy.quantity import Interval, Quantity, quantities, with_value
from thermotorch.evaluation.energy.thermodynamic import DEVICES, device

A, B = Interval(2.0, 1.0, 4.0), Interval(10.0, 5.0, 20.0)


def test_a_product_and_a_sum_reach_their_ends_together():
    assert A * B == Interval(20.0, 5.0, 80.0)
    assert A + B == Interval(12.0, 6.0, 24.0)
    assert 3 * A + 1 == Interval(7.0, 4.0, 13.0)


def test_a_quotient_is_least_where_its_divisor_is_greatest():
    assert A / B == Interval(0.2, 0.05, 0.8)
    assert 8 / A == Interval(4.0, 2.0, 8.0)


def test_unknown_hardware_is_named_with_what_is_close():
    with pytest.raises(ValueError, match="unknown device model 'rc_analogue'; did you mean 'rc_analog'"):
        device("rc_analogue")
    with pytest.raises(ValueError, match="unknown class of hardware 'A100 fp33'; did you mean 'A100 fp32'"):
        hardware_class("A100 fp33")


def test_a_power_of_two():
    assert Interval(8.0, 4.0, 10.0).exp2() == Interval(256.0, 16.0, 1024.0)


@pytest.mark.parametrize("numbers", [(1.0, 2.0, 3.0), (2.0, 1.0, 1.5), (0.0, -1.0, 1.0)])
def test_a_value_outside_its_range_is_refused(numbers):
    with pytest.raises(ValueError, match="low <= value <= high"):
        Interval(*numbers)


def test_one_quantity_is_replaced_and_the_others_stay():
    @dataclass(frozen=True)
    class Hardware:
        volt: Quantity = Quantity(1.0, 0.5, 2.0, "V", "assumption: a test")
        farad: Quantity = Quantity(3.0, 3.0, 3.0, "F", "a paper")
        name: str = "test"

    changed = with_value(Hardware(), "volt", 2.0)
    assert (changed.volt.value, changed.volt.low, changed.volt.high, changed.volt.unit) == (2.0, 2.0, 2.0, "V")
    assert changed.farad == Hardware().farad
    assert [(name, quantity.assumed) for name, quantity in quantities(changed)] == [("volt", True), ("farad", False)]


@pytest.mark.parametrize("hardware", [*DEVICES, *HARDWARE_CLASSES], ids=lambda hardware: hardware.name)
def test_every_quantity_of_every_device_has_a_source_and_a_range_only_with_a_reason(hardware):
    found = dict(quantities(hardware))
    assert found
    for name, quantity in found.items():
        assert len(quantity.source) > 20, name
        if quantity.assumed:
            assert quantity.low < quantity.high, f"{name}: an assumption without a range"
