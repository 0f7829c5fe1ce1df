"""A die made of thermal units, by which an autonomous machine draws its own class.

    V = sum_i (x_i^4 / (4 a^2) - x_i^2 / 2) + c (sum_i x_i + s)^2,    n units

With s = (n - 2) a the energy is least, and no force acts, where one unit is up, x = a, and the others are down, x = -a.
A smaller s during the preparation keeps all units near the edge of the lower well, out of which noise lifts one; the
sum then pushes the others back. All units are alike, so that each class is drawn equally often.

Pairs of units that push each other apart need no couplings of their own, which a two-coloured machine does not have:
n mediators y_i, in wells k y^2 and coupled by g y_i (x_i - mean of x), relax to y = -g (x_i - mean x) / (2 k) and leave

    -g^2 / (4 k) sum_i (x_i - mean x)^2 = c (sum_i x_i)^2 - n c sum_i x_i^2    for g^2 = 4 k n c

The last term is made up for in the wells of the units. Energies are in the unit of the potential, times in that of
1 / mobility.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import sqrt
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from thermotorch.arguments import count_of, number_of, whole_steps
from thermotorch.couplings import BlockCouplings
from thermotorch.dynamics import Stream, simulate
from thermotorch.potential import Potential

GROUPS = ("label", "mediator")


@dataclass(frozen=True)
class ClassDie:
    """Wells, couplings and clock of a die.

    Args:
        classes: number n of units, at least 3.
        amplitude: a, the state of the unit that is up; the others are at -a. The wells are a^2 / 4 deep, which must be
            large against kT and against what the rest of the machine does to the units.
        inhibition: c.
        threshold: s / a during the preparation. The default is for ten units with a^2 / kT from 3,000 to 10,000: a
            lower one lifts two units at once more often, a higher one takes longer.
        time: duration of the preparation from x = 0.

    Cost of a draw: time / dt steps of 2 n units.
    """

    classes: int
    amplitude: float
    inhibition: float = 0.1
    threshold: float = 4.2
    time: float = 400.0

    def __post_init__(self) -> None:
        count_of("num_classes", self.classes, 3)
        for name in ("amplitude", "inhibition", "threshold", "time"):
            number_of(f"die.{name}", getattr(self, name), positive=True)

    @property
    def settings(self) -> dict[str, float]:
        """Return the arguments but the number of classes."""
        return {name: float(value) for name, value in asdict(self).items() if name != "classes"}

    @property
    def j2(self) -> dict[str, float]:
        return {"label": self.classes * self.inhibition - 0.5, "mediator": self._stiffness}

    @property
    def j4(self) -> dict[str, float]:
        return {"label": 0.25 / self.amplitude**2, "mediator": 0.0}

    @property
    def bias(self) -> float:
        """Return the bias of every label unit in a run."""
        return 2 * self.inhibition * (self.classes - 2) * self.amplitude

    @property
    def preparing_bias(self) -> float:
        """Return their bias during the preparation."""
        return 2 * self.inhibition * self.threshold * self.amplitude

    def couplings(self) -> Tensor:
        """Return the block of couplings between label units and mediators, [class, mediator]."""
        n = self.classes
        return 2 * sqrt(self._stiffness * n * self.inhibition) * (torch.eye(n) - 1 / n)

    def potential(self) -> Potential:
        """Return the die alone, label units and mediators, as it is during the preparation."""
        n = self.classes
        couplings = BlockCouplings(dict.fromkeys(GROUPS, n), [GROUPS])
        with torch.no_grad():
            couplings.block(*GROUPS).copy_(self.couplings())
        j2, j4, bias = (
            torch.tensor(values).repeat_interleave(n)
            for values in (list(self.j2.values()), list(self.j4.values()), [self.preparing_bias, 0.0])
        )
        return Potential(couplings, j2, 0.0, j4, bias).requires_grad_(False)

    def joining(self, name: str, value: float | Mapping[str, float], groups: Mapping[str, slice]) -> dict[str, float]:
        """Return the coefficients `name`, "j2" or "j4", by group: `value` for the other groups of a machine."""
        others = dict(value) if isinstance(value, Mapping) else dict.fromkeys(groups, value)
        return {**others, **getattr(self, name)}

    def alone_in(self, potential: Potential) -> Potential:
        """Return the potential of a machine with no couplings and biases but those of its die, in its preparation."""
        own = cast(BlockCouplings, potential.couplings)
        couplings = BlockCouplings(own.groups, [GROUPS]).to(potential.bias)
        bias = torch.zeros_like(potential.bias)
        bias[own.slices["label"]] = self.preparing_bias
        with torch.no_grad():
            couplings.block(*GROUPS).copy_(own.block(*GROUPS))
        return Potential(couplings, potential.j2, potential.j3, potential.j4, bias).requires_grad_(False)

    def throw(self, like: Tensor, *, dt: float, **arguments: Any) -> Tensor:
        """Return label units and mediators after the preparation, [sample, 2 n].

        Args:
            like: tensor [sample, ...], whose number of samples, dtype and device they have.
            dt, arguments: arguments of `simulate`.
        """
        potential = self.potential().to(like)
        steps = whole_steps("die.time", self.time, dt)
        start = like.new_zeros(len(like), potential.num_units)
        return simulate(potential, start, steps=steps, dt=dt, stream=Stream.INITIAL, **arguments).state

    def told(self, labels: Tensor) -> Tensor:
        """Return the states of label units and mediators at rest in these classes, [sample] -> [sample, 2 n]."""
        up = F.one_hot(labels, self.classes).float()
        x = self.amplitude * (2 * up - 1)
        y = -(x @ self.couplings().to(x)) / (2 * self._stiffness)
        return torch.cat([x, y], 1)

    @property
    def _stiffness(self) -> float:
        return max(1.0, 4 * self.inhibition)


@torch.no_grad()
def relabel(target: Potential, source: Potential, now: ClassDie | None, before: ClassDie | None) -> None:
    """Copy couplings and biases between machines whose labels differ, so that these act on the others as before.

    Args:
        target, source: potentials of the machines.
        now, before: their dice; None for held labels.
    """
    new, own = (cast(BlockCouplings, potential.couplings) for potential in (target, source))
    for name, bonds in own.blocks.items():
        if name != "-".join(GROUPS):
            new.blocks[name].copy_(bonds)
    layer = next(first for first, second in own.pairs if second == "label")
    bias, hidden, labels = target.bias, own.slices[layer], new.block(layer, "label")
    units = own.slices["label"].start
    bias[:units] = source.bias[:units]
    # A label is 0 or 1, a unit of a die -a or a: x = (2 label - 1) a.
    if before:
        labels *= 2 * before.amplitude
        bias[hidden] -= labels.sum(1) / 2
    if now:
        bias[hidden] += labels.sum(1) / 2
        labels /= 2 * now.amplitude


def die_of(settings: Mapping[str, Any] | None, classes: int) -> ClassDie | None:
    """Return the die of these settings; None for none, ValueError for settings that it does not have."""
    if settings is None:
        return None
    known = [field.name for field in fields(ClassDie) if field.name != "classes"]
    if "amplitude" not in settings or set(settings) - set(known):
        raise ValueError(f"die: expected an amplitude, and some of {', '.join(known)}, got {dict(settings)}")
    return ClassDie(classes, **settings)
