"""Checks of arguments that many functions take."""

import operator
from typing import Any


def whole_steps(name: str, time: float, dt: float) -> int:
    """Return the number of steps of length `dt` in `time`.

    Args:
        name: the argument that holds the time, for the message.
        time, dt: in the same unit, dt > 0.

    Raises:
        ValueError: a time that is no multiple of dt, with the two nearest ones that are. Two decimal numbers and their
            quotient may each have been rounded to float32, one part in 2^24: three of those are less than one part in
            2^22, and never more than a hundredth of a step is forgiven.
    """
    quotient = time / dt
    steps = round(quotient)
    if abs(quotient - steps) > min(0.01, 2.0**-22 * max(1.0, abs(quotient))):
        below = int(quotient // 1)
        nearest = " or ".join(f"{k * dt:.12g}" for k in (below, below + 1))
        raise ValueError(f"{name}: {time:g} is not a whole number of steps of dt={dt:g}; write {nearest}")
    return steps


def integer(value: Any) -> int:
    """Return as an int whatever Python takes for an index: its own, numpy's, or a tensor of one integer.

    Raises:
        TypeError: no integer; truth values are none.
    """
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        raise TypeError("expected an integer, found a truth value")
    return operator.index(value)


def count_of(name: str, value: Any, least: int = 1) -> int:
    """Return an integer argument, of Python, numpy or torch, as a plain int.

    Raises:
        TypeError: no integer.
        ValueError: an integer below `least`, or True or False.
    """
    if isinstance(value, bool):
        raise ValueError(f"{name}: expected at least {least}, found {value!r}")
    try:
        number = integer(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected an integer, found {value!r}") from None
    if number < least:
        raise ValueError(f"{name}: expected at least {least}, found {value!r}")
    return number
