from dataclasses import dataclass

import pytest

from thermotorch.evaluation.energy.digital_count import DigitalCount
from thermotorch.evaluation.energy.digital_hardware import hardware_class
from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.evaluation.energy.quantity import Interval, Quantity
from thermotorch.evaluation.energy.sensitivity import Side, sensitivity


@dataclass(frozen=True)
class Product:
    """Energy = a b / c + d."""

    name = "product"
    a: Quantity = Quantity(2.0, 1.0, 30.0, "J", "assumption: a test of the method")
    b: Quantity = Quantity(3.0, 2.0, 4.0, "", "assumption: a test of the method")
    c: Quantity = Quantity(5.0, 0.5, 10.0, "", "some table")
    d: Quantity = Quantity(0.0, 0.0, 1.2, "J", "assumption: a test of the method")

    def ledger(self, label, work):
        joule: Interval = self.a * self.b / self.c * work + self.d
        return Ledger(label, self.name, (LedgerLine("all", joule.value, joule.low, joule.high, "modelled", "here"),))


@dataclass(frozen=True)
class Unit:
    name = "unit"

    def ledger(self, label, work):
        return Ledger(label, self.name, (LedgerLine("all", 1.0, 1.0, 1.0, "modelled", "here"),))


def test_effect_on_a_product_is_exactly_the_quantity_over_its_value():
    effects = {effect.name: effect for effect in sensitivity(Side("x", Product(), 1.0), Side("y", Unit(), None))}
    assert (effects["a"].at_low, effects["a"].at_high) == pytest.approx((1 / 2, 30 / 2))
    assert (effects["b"].at_low, effects["b"].at_high) == pytest.approx((2 / 3, 4 / 3))
    assert (effects["c"].at_low, effects["c"].at_high) == pytest.approx((5 / 0.5, 5 / 10))
    assert effects["d"].at_high == pytest.approx((1.2 + 1.2) / 1.2)


def test_the_strongest_comes_first_and_a_factor_of_ten_is_decisive():
    effects = sensitivity(Side("x", Product(), 1.0), Side("y", Unit(), None))
    assert [(effect.name, effect.decisive) for effect in effects] == [
        ("a", True), ("c", True), ("d", False), ("b", False)
    ]  # fmt: skip
    assert effects[0].factor == pytest.approx(15.0)
    assert [effect.quantity.assumed for effect in effects] == [True, False, True, True]


def test_below_the_line_an_effect_is_inverted():
    (a, *_) = sensitivity(Side("y", Unit(), None), Side("x", Product(), 1.0))
    assert (a.name, a.label, a.scenario) == ("a", "x", "product")
    assert (a.at_low, a.at_high) == pytest.approx((2.0, 2 / 30))
    assert a.factor == pytest.approx(15.0)


def test_a_single_contribution_does_not_move_with_the_others():
    work = DigitalCount(10**9, {"": 10**9}, 10**7, 10**7, 10**6, 784)
    side = Side("digital", hardware_class("45 nm fp32"), work, "arithmetic")
    effects = {effect.name: effect.factor for effect in sensitivity(side, Side("y", Unit(), None))}
    assert effects["instruction_overhead"] == pytest.approx(1 + 35e-12 / 2.3e-12)
    assert effects["joule_per_byte"] == effects["dram_joule_per_byte"] == 1.0


def test_either_side_may_be_a_single_contribution():
    """Instructions move arithmetic alone, whether it is above the line or below it."""
    work = DigitalCount(10**9, {"": 10**9}, 10**7, 10**7, 10**6, 784)
    for sides in ((True, False), (False, True)):
        one = Side("digital", hardware_class("45 nm fp32"), work, "arithmetic")
        above, below = (one if mine else Side("y", Unit(), None, "all") for mine in sides)
        effects = {effect.name: effect.factor for effect in sensitivity(above, below)}
        assert effects["dram_joule_per_byte"] == 1.0 < effects["instruction_overhead"]
