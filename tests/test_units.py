"""Joules are far below `approx`'s default absolute tolerance of 1e-12: every comparison here is relative."""

import pytest

from thermotorch import units


def test_boltzmann_constant_is_that_of_codata_2018():
    assert units.BOLTZMANN == 1.380649e-23


def test_kT_at_room_temperature():
    assert units.kT_to_joule(1.0) == pytest.approx(4.141947e-21, rel=1e-9, abs=0)
    assert units.kT_to_joule(2.0, kelvin=1.0) == 2 * 1.380649e-23


def test_heat_of_the_published_generator_in_joule():
    """2.9e3 kT per sample (Whitelam 2026) is 1.20e-17 J at 300 K; the machine's kT is 0.1 energy units."""
    assert units.energy_to_joule(290.0, temperature=0.1) == pytest.approx(1.20e-17, rel=2e-3, abs=0)
    assert units.energy_to_joule(6.0, temperature=1.5, kelvin=77.0) == pytest.approx(4 * 77 * 1.380649e-23, abs=0)


def test_landauer_bound_of_one_bit():
    assert units.landauer_bound(1.0) == pytest.approx(2.870979e-21, rel=1e-6, abs=0)
    assert units.landauer_bound(8.0, kelvin=600.0) == pytest.approx(16 * units.landauer_bound(1.0), rel=1e-12, abs=0)


def test_observation_time_of_the_published_generator_in_seconds():
    assert units.time_to_second(2.5) == pytest.approx(2.5e-6, rel=1e-12, abs=0)
    assert units.time_to_second(2.5, mobility_time=1e-9) == pytest.approx(2.5e-9, rel=1e-12, abs=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: units.kT_to_joule(1.0, kelvin=0.0),
        lambda: units.energy_to_joule(1.0, temperature=-1.0),
        lambda: units.time_to_second(1.0, mobility_time=0.0),
        lambda: units.landauer_bound(1.0, kelvin=float("nan")),
        lambda: units.johnson_noise(0.0),
        lambda: units.noise_temperature(1e-25, -330.0),
    ],
)
def test_what_must_be_positive_is_checked(call):
    with pytest.raises(ValueError, match="must be positive"):
        call()


def test_circuit_units_make_a_cell_of_ones():
    """L = C = kT = 1: the resonance is at one, charges and currents have unit variance, ohm is sqrt(L/C)."""
    unit = units.CircuitUnits(henry=1e-3, farad=1e-8, joule=1e-10)
    assert unit.second == pytest.approx((1e-3 * 1e-8) ** 0.5, rel=1e-12)
    assert 1e-8 * unit.volt**2 == pytest.approx(1e-10, rel=1e-12)
    assert 1e-3 * unit.ampere**2 == pytest.approx(1e-10, rel=1e-12)
    assert unit.ohm == pytest.approx((1e-3 / 1e-8) ** 0.5, rel=1e-12)
    assert unit.volt * unit.ampere * unit.second == pytest.approx(1e-10, rel=1e-12)


def test_noise_has_the_temperature_of_its_resistor():
    noise = units.johnson_noise(330.0, kelvin=290.0)
    assert units.johnson_noise(330.0) == pytest.approx(1.380649e-23 * 300 / 330, rel=1e-12, abs=0)
    assert noise * 330.0 == pytest.approx(units.kT_to_joule(1.0, 290.0), rel=1e-12, abs=0)
    assert units.noise_temperature(noise, 330.0) == pytest.approx(290.0, rel=1e-12)
