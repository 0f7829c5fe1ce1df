"""Checks of arguments that many functions take."""

import operator


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


def whole_number(name: str, value: int, least: int) -> int:
    """Return `value` as an int: Python's own, numpy's, or a tensor of one integer.

    Raises:
        TypeError: no integer; truth values are none.
        ValueError: less than `least`.
    """
    try:
        if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
            raise TypeError
        number = operator.index(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected an integer of at least {least}, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {number}")
    return number
