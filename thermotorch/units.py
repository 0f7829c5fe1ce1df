"""Reduced units and SI: the only file that holds physical constants.

| symbol | name here | reduced unit | SI |
| --- | --- | --- | --- |
| k_B T | `temperature` | the potential's energy unit | `kT_to_joule(1.0, kelvin)` |
| V, Q, W | energy, heat, work | the potential's energy unit | value / temperature * k_B T |
| t | time, `dt`, `t_final` | 1 / (mobility x energy unit) | `time_to_second(t, mobility_time)` |

Whitelam's machines are quoted with 1/mu of a microsecond (electrical circuits) to a nanosecond (Josephson junctions).
"""

from dataclasses import dataclass
from math import log, sqrt

BOLTZMANN = 1.380649e-23  # joule per kelvin, exact in the 2019 SI
ROOM_TEMPERATURE = 300.0  # kelvin, at which the field quotes its energies


def kT_to_joule(value: float, kelvin: float = ROOM_TEMPERATURE) -> float:
    """Convert an energy from multiples of k_B T to joule: `value * k_B * kelvin`."""
    return value * BOLTZMANN * _positive("kelvin", kelvin)


def energy_to_joule(energy: float, temperature: float, kelvin: float = ROOM_TEMPERATURE) -> float:
    """Convert an energy from the potential's unit to joule, for a machine whose kT is `temperature` in that unit."""
    return kT_to_joule(energy / _positive("temperature", temperature), kelvin)


def time_to_second(time: float, mobility_time: float = 1e-6) -> float:
    """Convert a reduced time to seconds; one reduced time unit, 1/(mu x energy unit), lasts `mobility_time` seconds."""
    return time * _positive("mobility_time", mobility_time)


def landauer_bound(bits: float, kelvin: float = ROOM_TEMPERATURE) -> float:
    """Return the least heat of erasing `bits` bits, in joule: `bits * k_B * kelvin * ln 2` (Landauer 1961)."""
    return kT_to_joule(bits * log(2.0), kelvin)


def johnson_noise(resistance: float, kelvin: float = ROOM_TEMPERATURE) -> float:
    """Return kappa0 = k_B T / R of a resistor in ampere^2 second, half the two-sided spectrum of its current noise."""
    return kT_to_joule(1.0, kelvin) / _positive("resistance", resistance)


def noise_temperature(noise: float, resistance: float) -> float:
    """Return the kelvin at which a resistance (ohm) has the current noise kappa0 (ampere^2 second)."""
    return noise * _positive("resistance", resistance) / BOLTZMANN


@dataclass(frozen=True)
class CircuitUnits:
    """The units in which an LC cell of `henry`, `farad` and mean energy `joule` has the numbers 1, 1 and 1."""

    henry: float
    farad: float
    joule: float

    @property
    def second(self) -> float:
        return sqrt(self.henry * self.farad)

    @property
    def volt(self) -> float:
        return sqrt(self.joule / self.farad)

    @property
    def ampere(self) -> float:
        return sqrt(self.joule / self.henry)

    @property
    def ohm(self) -> float:
        return self.volt / self.ampere


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return value
