"""A machine as plain numbers for a netlist: wells, couplings, clocks and read-out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from thermotorch.arguments import SAMPLES, integer_in, number_of
from thermotorch.dynamics import Stream, normals
from thermotorch.dynamics.noise import seed_or_fresh
from thermotorch.layer import ThermodynamicLayer
from thermotorch.models.classifier.layered import LayeredComputer
from thermotorch.models.classifier.machine import ThermodynamicClassifier
from thermotorch.models.drawing import class_labels
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.potential import Potential

_MISMATCH = 1 << 16  # beyond the numbers of the parameters in `imperfect_parameters`, whose draws these must not repeat


class Segment(NamedTuple):
    """A part of the run with constant knobs."""

    time: float  # duration, in reduced units
    temperature: float = 0.0
    gain: float = 1.0  # factor of couplings and biases


@dataclass(frozen=True)
class AnalogMachine:
    """A network of units for a circuit; tensors are float64 on the CPU.

        c_i dx_i = mu_i (-2 j2 x_i - 3 j3 x_i^2 - 4 j4 x_i^3 - gain (b_i + (J x)_i)) dt + sqrt(2 mu_i kT dt) xi_i

    Args:
        j2, j3, j4, bias, mobility, start: numbers of each unit, [unit].
        couplings: J [unit, unit], symmetric.
        held: bool [unit], units driven to their value in `start`.
        groups: name and number of units of each group, in order.
        program: the segments of the run, in order.
        dt: time step of the machine in `simulate`.
        read: numbers of the units that are read at the end.
        readout_time: the read-out averages over this last part of the run; 0 takes a sample.
        full_scale: values of x between which a converter reads.
        capacitance: c, capacitances in units of `Scale.farad`, [unit]; None for ones. A unit with c has the mobility
            mu / c and, since its noise is that of a conductance, the temperature kT / c.
    """

    j2: Tensor
    j3: Tensor
    j4: Tensor
    bias: Tensor
    mobility: Tensor
    start: Tensor
    couplings: Tensor
    held: Tensor
    groups: tuple[tuple[str, int], ...]
    program: tuple[Segment, ...]
    dt: float
    read: tuple[int, ...]
    readout_time: float = 0.0
    full_scale: tuple[float, float] = (-1.0, 1.0)
    capacitance: Tensor | None = None

    @property
    def sizes(self) -> Tensor:
        """Return the capacitances, [unit], in units of `Scale.farad`."""
        return torch.ones_like(self.mobility) if self.capacitance is None else self.capacitance

    @property
    def units(self) -> int:
        return len(self.start)

    @property
    def temperature(self) -> float:
        """Return the largest kT of the program."""
        return max(segment.temperature for segment in self.program)

    @property
    def switched(self) -> bool:
        """Return True if the gain changes during the run, so that currents of couplings and biases pass a switch."""
        return any(segment.gain != 1.0 for segment in self.program)

    @property
    def heated(self) -> bool:
        """Return True if the temperature changes during the run."""
        return len({segment.temperature for segment in self.program}) > 1

    @property
    def time(self) -> float:
        return sum(segment.time for segment in self.program)


def analog_machine(
    model: nn.Module, *, label: int | None = None, image: Tensor | None = None, inputs: Tensor | None = None
) -> AnalogMachine:
    """Return the circuit-level description of one run of a model.

    Args:
        model: a `ThermodynamicGenerator` (its run begins with the preparation of the noise), a
            `ThermodynamicClassifier` or `ThermodynamicLayer` (pixels or features are held units), or a
            `LayeredComputer` (its input is a bias current).
        label: class for a generator with label units to draw; 0 by default.
        image: input of a classifier, [channel, height, width] in [0, 1].
        inputs: features of a layer, [in_features], or the number that a layered computer takes, [1].

    Raises:
        ValueError: a model that cannot be exported, with the reason, or inputs of the wrong shape.
    """
    if type(model) is ThermodynamicGenerator:
        return _generator(model, label)
    if isinstance(model, ThermodynamicClassifier):
        if image is None:
            raise ValueError("image: a classifier needs an image, [channel, height, width]")
        return _layer(model.layer, model.features(image.unsqueeze(0))[0])
    if isinstance(model, ThermodynamicLayer):
        if inputs is None or inputs.shape != (model.in_features,):
            raise ValueError(f"inputs: a layer needs its features, [{model.in_features}]")
        return _layer(model, inputs)
    if isinstance(model, LayeredComputer):
        if inputs is None or inputs.shape != (1,):
            raise ValueError("inputs: a layered computer needs its number, [1]")
        return from_potential(
            model.potential, model.t_final, model.dt, model.temperature, drive=model.drive(inputs)[0],
            read=range(model.potential.num_units)[model.last],
        )  # fmt: skip
    raise ValueError(
        f"model: a {type(model).__name__} is no single network of thermodynamic units, so it has no netlist; expected "
        "a ThermodynamicGenerator, ThermodynamicClassifier, ThermodynamicLayer or LayeredComputer"
    )


@torch.no_grad()
def from_potential(
    potential: Potential,
    time: float,
    dt: float,
    temperature: float,
    *,
    start: Tensor | None = None,
    held: Tensor | None = None,
    drive: Tensor | None = None,
    mobility: float | Tensor = 1.0,
    read: Sequence[int] | None = None,
) -> AnalogMachine:
    """Return the description of `simulate` on a potential, with couplings on all the time.

    Args:
        potential: V.
        time, dt, temperature, mobility: as in `simulate`, with time = steps x dt.
        start: initial state, [unit], by default zero.
        held: units that do not move, bool [unit], as `clamp` of `simulate`.
        drive: constant force, [unit].
        read: numbers of the units that are read, by default all.

    Raises:
        ValueError: a potential with an energy of its own.
    """
    if not potential.quartic:
        raise ValueError(
            f"model: {type(potential).__name__} has an energy of its own, where the netlist has quartic wells and "
            "pairwise couplings"
        )
    n = potential.num_units

    def plain(value: float | Tensor) -> Tensor:
        return torch.as_tensor(value).detach().to("cpu", torch.float64).expand(n).clone()

    bias = plain(potential.bias) - (0.0 if drive is None else plain(drive))
    segment = Segment(number_of("time", time, positive=True), number_of("temperature", temperature))
    return AnalogMachine(
        plain(potential.j2), plain(potential.j3), plain(potential.j4), bias, plain(mobility),
        plain(0.0 if start is None else start), potential.couplings.matrix().detach().to("cpu", torch.float64),
        torch.zeros(n, dtype=torch.bool) if held is None else held.cpu(),
        tuple(getattr(potential.couplings, "groups", {"unit": n}).items()), (segment,), number_of("dt", dt),
        tuple(range(n) if read is None else read),
    )  # fmt: skip


def _generator(model: ThermodynamicGenerator, label: int | None) -> AnalogMachine:
    model = model.without_die()
    potential = model.potential
    labels = class_labels(None if label is None else [label], torch.zeros(1, dtype=torch.int64), model.num_classes)
    start = torch.zeros(potential.num_units)
    if model.num_classes:
        start[model.hidden.stop + int(labels[0])] = 1.0
    whole = from_potential(
        potential, model.t_final, model.dt, model.temperature, start=start, held=model.held(), mobility=model.mobility,
        read=range(model.visible.stop),
    )  # fmt: skip
    runs = (Segment((part.last - part.first) * model.dt, part.temperature, part.gain) for part in model.segments)
    return replace(
        whole, program=(Segment(model.t_final, model.temperature, 0.0), *runs),
        readout_time=model.readout_steps * model.dt, full_scale=(model.black, model.white),
    )  # fmt: skip


@torch.no_grad()
def _layer(layer: ThermodynamicLayer, features: Tensor) -> AnalogMachine:
    """Return the units of a layer with its features as held units before them."""
    inner = from_potential(layer.potential, layer.t_final, layer.dt, layer.temperature, mobility=layer.mobility)
    inputs, n = layer.in_features, inner.units
    couplings = torch.zeros(inputs + n, inputs + n, dtype=torch.float64)
    couplings[inputs:, inputs:] = inner.couplings
    couplings[inputs:, :inputs] = -layer.input.weight.double()
    couplings[:inputs, inputs:] = couplings[inputs:, :inputs].T.clone()

    def padded(values: Tensor) -> Tensor:
        return torch.cat([values.new_zeros(inputs), values])

    return replace(
        inner, j2=padded(inner.j2), j3=padded(inner.j3), j4=padded(inner.j4), bias=padded(inner.bias),
        mobility=padded(inner.mobility), start=torch.cat([features.detach().double(), inner.start]),
        couplings=couplings, held=torch.cat([torch.ones(inputs, dtype=torch.bool), inner.held]),
        groups=(("input", inputs), *inner.groups), read=tuple(range(inputs + layer.hidden, inputs + n)),
    )  # fmt: skip


def mismatched_capacitors(
    machine: AnalogMachine, mismatch: float, *, seed: int | None = None, device_id: int = 0
) -> AnalogMachine:
    """Return a machine whose capacitances are (1 + mismatch xi) times theirs, xi standard normal for each unit.

    In `simulate` this is a spread of mobilities, mobility / (1 + mismatch xi), and with noise also one of temperatures,
    kT / (1 + mismatch xi). Conductances are those of `realise` of `thermotorch.models.imperfections`.

    Args:
        machine: nominal machine.
        mismatch: relative standard deviation.
        seed: seed of the mismatch; None draws one from torch's global generator.
        device_id: number of the device.

    Raises:
        ValueError: a negative mismatch, or a draw without a capacitance left, with its number.
    """
    number_of("mismatch", mismatch)
    device = torch.tensor([integer_in("device_id", device_id, 0, SAMPLES)])
    xi = normals(seed_or_fresh(seed), device, _MISMATCH, 1, machine.units, Stream.HARDWARE).view(-1).double()
    drawn = machine.sizes * (1 + mismatch * xi)
    if not drawn.min() > 0:
        raise ValueError(f"mismatch: at {mismatch:g} unit {int(drawn.argmin())} has no capacitance left")
    return replace(machine, capacitance=drawn)
