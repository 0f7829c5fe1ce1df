"""The one voltage scale and the one time scale of an exported machine, those of the device model `rc_analog`."""

from dataclasses import dataclass
from math import sqrt

from thermotorch.arguments import number_of
from thermotorch.evaluation.energy.rc_analog import RCAnalog
from thermotorch.units import ROOM_TEMPERATURE, kT_to_joule

DEVICE = RCAnalog()


@dataclass(frozen=True)
class Scale:
    """Reduced units in SI: x = 1 is `volt`, one reduced time unit is `second`.

        C u^2 T = k_B x kelvin,   G0 = C / second

    Args:
        temperature: T, kT of the machine in its energy unit. A machine at T = 0 takes the scale of T = 1.
        farad: C of a unit of mobility one.
        second: one reduced time unit.
        kelvin: temperature whose Johnson noise in G0 is the noise of the machine.
        supply: V_dd; voltages must stay within half of it on either side of the middle.

    Raises:
        ValueError: a number that is not positive.
    """

    temperature: float
    farad: float = DEVICE.capacitance.value
    second: float = DEVICE.mobility_time.value
    kelvin: float = ROOM_TEMPERATURE
    supply: float = DEVICE.supply.value

    def __post_init__(self) -> None:
        number_of("temperature", self.temperature)
        for name in ("farad", "second", "kelvin", "supply"):
            number_of(name, getattr(self, name), positive=True)

    @property
    def volt(self) -> float:
        return sqrt(kT_to_joule(1.0, self.kelvin) / (self.farad * (self.temperature or 1.0)))

    @property
    def siemens(self) -> float:
        return self.farad / self.second

    @property
    def joule(self) -> float:
        """Return the machine's unit of energy."""
        return self.farad * self.volt**2
