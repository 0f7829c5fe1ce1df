"""Free-energy differences from the work of driven machines: Jarzynski, Bennett.

A machine in equilibrium is taken from potential A to potential B at any speed, with the work W. Then

    <exp(-W / kT)> = exp(-dF / kT)                    Jarzynski, PRL 78, 2690 (1997), Eq. 2
    P_forward(W) / P_reverse(-W) = exp((W - dF)/kT)   Crooks, PRE 60, 2721 (1999), Eq. 2; reverse: from equilibrium in B
    <W> - dF = kT KL(P_forward || P_reverse) >= 0     Kawai, Parrondo and Van den Broeck, PRL 98, 080602 (2007)

The last is the second law. All three are exact for steps that keep the Boltzmann law of the current potential, such as
those of "alternating" with quadratic units, and hold up to the time step for others.

`simulate` holds V fixed: a protocol is a sequence of runs, and changing V at a state x takes the work V_next(x) - V(x)
(see `models/generator/schedule.py`). In a fixed V driven by a force, `trajectory.work` obeys <exp(-work / kT)> = 1
(Bochkov and Kuzovlev, Sov. Phys. JETP 45, 125 (1977)), and the work that counts -f.x as energy obeys Jarzynski's
equality.
"""

from math import log

import torch
from torch import Tensor

from thermotorch.arguments import number_of
from thermotorch.evaluation.estimate import Estimate


def jarzynski(work: Tensor, temperature: float) -> Estimate:
    """Return the free-energy difference dF = -kT ln <exp(-W / kT)>, its error to first order in 1 / path.

    Trust it only if the work spreads over a few kT. Otherwise the mean rests on few rare paths: the estimate is too
    high, and its standard error too low (Jarzynski, PRE 73, 046105 (2006)).

    Args:
        work: [path], work of paths from equilibrium.
        temperature: kT in the same unit.

    Raises:
        ValueError: fewer than two paths, or work that is not finite.
    """
    exponent = -_checked("work", work) / temperature
    weight = torch.exp(exponent - exponent.max())
    value = -temperature * (exponent.max() + weight.mean().log())
    return Estimate(value.item(), (temperature * weight.std() / (weight.mean() * len(weight) ** 0.5)).item())


def bennett(forward: Tensor, reverse: Tensor, temperature: float) -> Estimate:
    """Return F(B) - F(A) by Bennett's acceptance ratio, the estimate of least variance from work in both directions.

        sum over forward of 1 / (1 + exp(M + (W - dF) / kT)) = sum over reverse of 1 / (1 + exp(-M + (W + dF) / kT)),
        M = ln(number forward / number reverse)

    Args:
        forward, reverse: [path], work of independent paths from equilibrium in A, and of the reversed protocol from
            equilibrium in B; their numbers may differ.
        temperature: kT in the same unit.

    Raises:
        ValueError: fewer than two paths in a direction, work that is not finite, or work in the two directions that
            does not overlap, so that only -<reverse> <= dF <= <forward> is known.

    Source: Bennett, J. Comput. Phys. 22, 245 (1976); Crooks, PRE 61, 2361 (2000), for work instead of energies.
    """
    temperature = number_of("temperature", temperature, positive=True)
    there, back = (work / temperature for work in _overlapping(forward, reverse))
    shift = log(len(there) / len(back))

    def accepted(guess: Tensor) -> tuple[Tensor, Tensor]:
        return torch.sigmoid(guess - shift - there), torch.sigmoid(shift - guess - back)

    low, high = torch.minimum(there.min(), -back.max()) - 60, torch.maximum(there.max(), -back.min()) + 60
    low, high = low - abs(shift), high + abs(shift)
    for _ in range(200):  # the difference of the two sums increases with the guess
        middle = (low + high) / 2
        first, second = accepted(middle)
        low, high = (low, middle) if first.sum() > second.sum() else (middle, high)
    spread = sum(f.var(correction=0) / (f.mean() ** 2 * len(f)) for f in accepted(middle))
    return Estimate(temperature * middle.item(), temperature * float(spread) ** 0.5)


def _overlapping(forward: Tensor, reverse: Tensor) -> tuple[Tensor, Tensor]:
    there, back = _checked("forward", forward), _checked("reverse", reverse)
    if there.min() > -back.min() or there.max() < -back.max():
        raise ValueError("forward and reverse: no work in one direction is like any in the other; drive more slowly")
    return there, back


def _checked(name: str, work: Tensor) -> Tensor:
    if work.dim() != 1 or len(work) < 2:
        raise ValueError(f"{name}: expected work of at least two paths, [path], got shape {tuple(work.shape)}")
    if not torch.isfinite(work).all():
        raise ValueError(f"{name}: every value must be finite")
    return work.detach().double()
