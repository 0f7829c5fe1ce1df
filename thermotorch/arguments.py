"""Checks of common arguments, one for each kind, so that a bad value has the same message everywhere.

An integer is a value that `operator.index` accepts and a number one that `float` accepts, whether of Python, numpy or
torch. Booleans and strings are neither.
"""

import operator
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from thermotorch.transforms import values_hidden

SEEDS = 1 << 64
SAMPLES = 1 << 34  # sample // 4 is one 32-bit word of the noise counter
STEPS = 1 << 56
COUNTS = 1 << 48


def integer(name: str, value: Any) -> int:
    """Return an integer of Python, numpy or torch (a tensor of one) as a plain int; TypeError for anything else."""
    if type(value) is int:
        return value
    try:
        if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
            raise TypeError
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be an integer, got {value!r}") from None


def integer_in(name: str, value: Any, low: int, high: int) -> int:
    """Return an integer low <= value < high as a plain int; TypeError for no integer, ValueError out of range."""
    number = integer(name, value)
    if not low <= number < high:
        raise ValueError(f"{name} must lie in [{low}, {high}), got {number}")
    return number


def count_of(name: str, value: Any, least: float = 1) -> int:
    """Return an integer of at least `least` as a plain int; TypeError for no integer, ValueError for a smaller one."""
    number = integer(name, value)
    if number >= COUNTS:
        raise ValueError(f"{name}: expected less than 2^48, got {'more than all floats' if number > 1e300 else number}")
    if number < least:
        raise ValueError(f"{name}: expected at least {least}, found {number}")
    return number


def counts_of(name: str, value: Any, least: float = 1, length: int | None = None) -> list[int]:
    """Return a sequence of counts as plain ints; ValueError for another length than a given one."""
    counts = [count_of(f"{name}[{k}]", entry, least) for k, entry in enumerate(entries_of(name, value, "integers"))]
    if length is not None and len(counts) != length:
        raise ValueError(f"{name}: expected {length} numbers, found {counts}")
    return counts


def entries_of(name: str, value: Any, kind: str = "numbers") -> list[Any]:
    """Return the entries of a sequence as a list; TypeError for no sequence, such as a text or a dict."""
    unsuitable = isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__")
    if unsuitable or getattr(value, "ndim", 1) == 0:
        raise TypeError(f"{name} must be a sequence of {kind}, got {value!r}")
    return list(value)


def mapping_of(name: str, value: Any) -> dict[str, Any]:
    """Return a mapping as a dict; TypeError for anything else."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict, got {value!r}")
    return dict(value)


def seed_of(value: Any, name: str = "seed") -> int:
    """Return a seed, 0 <= seed < 2^64, as a plain int; TypeError for no integer, ValueError out of range."""
    return integer_in(name, value, 0, SEEDS)


def number_of(name: str, value: Any, *, positive: bool = False, signed: bool = False) -> float:
    """Return a finite number as a plain float: not negative, or positive, or of any sign.

    Raises:
        TypeError: no number, or a tensor that requires a gradient, which a float would silently lose.
        ValueError: not finite, or of the wrong sign.
    """
    _refuse_gradient(name, value)
    try:
        if isinstance(value, bool | str | bytes) or "bool" in str(getattr(value, "dtype", "")):
            raise TypeError
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be finite, got an integer beyond the range of floats") from None
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not isfinite(number) or (not signed and number < 0) or (positive and number == 0):
        raise ValueError(f"{name} must be {_sign(positive, signed)}, got {value}")
    return number


def whole_steps(name: str, time: float, dt: float) -> int:
    """Return the number of steps of length `dt` > 0 in `time` >= 0, in the same unit.

    ValueError for a time that is no multiple of dt; the message gives the two nearest. The tolerance is one part in
    2^22, for time, dt and quotient rounded to float32, and at most a hundredth of a step.
    """
    time, dt = number_of(name, time), number_of("dt", dt, positive=True)
    quotient = time / dt
    if quotient >= STEPS:
        raise ValueError(f"{name}: {time:g} takes 2^56 or more steps of dt={dt:g}")
    steps = round(quotient)
    if abs(quotient - steps) > min(0.01, 2.0**-22 * max(1.0, abs(quotient))):
        below = int(quotient // 1)
        nearest = " or ".join(f"{k * dt:.12g}" for k in (below, below + 1))
        raise ValueError(f"{name}: {time:g} is not a whole number of steps of dt={dt:g}; write {nearest}")
    return steps


def steps_until(t_final: float, dt: float, name: str = "t_final") -> int:
    """Return `whole_steps` until an observation time, at least one; ValueError for a step longer than the time."""
    t_final, dt = number_of(name, t_final, positive=True), number_of("dt", dt, positive=True)
    if dt > t_final:
        raise ValueError(f"dt must be positive and at most {name}={t_final}, got {dt}")
    return whole_steps(name, t_final, dt)


def integers(name: str, value: Any, shape: Sequence[int]) -> Tensor:
    """Return a tensor, an array or a list of integers as int64; ValueError for another shape or other numbers."""
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        tensor = None
    if tensor is not None and not tensor.numel() and not isinstance(value, Tensor):
        tensor = tensor.long()  # an empty list has no type
    whole = tensor is not None and not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
    if tensor is None or not whole or tensor.shape != tuple(shape):
        actual = type(value).__name__ if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}"
        raise ValueError(f"{name}: expected an int64 tensor of shape {tuple(shape)}, got {actual}")
    return tensor.long()


def sample_numbers(value: Any, shape: Sequence[int], device: torch.device | None = None) -> Tensor:
    """Return `sample_ids`, the noise streams, as int64 of a shape; None counts from 0, ValueError outside [0, 2^34)."""
    if value is None:
        return torch.arange(torch.Size(shape).numel(), device=device).view(tuple(shape))
    ids = integers("sample_ids", value, shape)
    if ids.numel() and not values_hidden() and not 0 <= int(ids.min()) <= int(ids.max()) < SAMPLES:
        raise ValueError(f"sample_ids: each must lie in [0, 2^34), got {int(ids.min())} to {int(ids.max())}")
    return ids if device is None else ids.to(device)


def flags(name: str, value: Any, shape: Sequence[int], meaning: str = "") -> Tensor:
    """Return a bool tensor of the given shape unchanged; ValueError for anything else."""
    if not isinstance(value, Tensor) or value.dtype != torch.bool or value.shape != tuple(shape):
        actual = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name}: expected a bool tensor of shape {tuple(shape)}{meaning}, got {actual}")
    return value


def real(name: str, value: Any) -> Tensor:
    """Return a tensor of finite real numbers unchanged.

    Raises:
        TypeError: no tensor, or one of complex numbers, integers or booleans.
        ValueError: a number that is not finite.
    """
    if not isinstance(value, Tensor) or not value.is_floating_point():
        actual = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name}: expected a tensor of real numbers, got {actual}")
    if not (value.is_meta or values_hidden() or torch.isfinite(value).all()):
        raise ValueError(f"{name}: every entry must be finite")
    return value


def per_unit(
    name: str, value: Any, num_units: int, like: Tensor, *, positive: bool = False, signed: bool = False
) -> Tensor:
    """Return one number, or one for each unit, as a tensor [] or [unit] with the dtype and device of `like`.

    Raises:
        TypeError: no real numbers.
        ValueError: another shape, or a number that is not finite or of the wrong sign.
    """
    _refuse_gradient(name, value)
    try:
        if isinstance(value, bool | str | bytes):
            raise TypeError
        tensor = torch.as_tensor(value)
        if tensor.is_complex() or tensor.dtype == torch.bool:
            raise TypeError
        tensor = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number or a tensor of shape ({num_units},), got {value!r}") from None
    if tensor.shape not in ((), (num_units,)):
        raise ValueError(
            f"{name} must be a number or a tensor of shape ({num_units},), got shape {tuple(tensor.shape)}"
        )
    if tensor.is_meta or values_hidden():  # without values
        return tensor
    if not torch.isfinite(tensor).all() or not signed and bool((tensor <= 0 if positive else tensor < 0).any()):
        raise ValueError(f"{name} must be {_sign(positive, signed)}, got {value}")
    return tensor


def _sign(positive: bool, signed: bool) -> str:
    return "finite" if signed else f"finite and {'positive' if positive else 'not negative'}"


def _refuse_gradient(name: str, value: Any) -> None:
    if getattr(value, "requires_grad", False) and torch.is_grad_enabled():
        raise TypeError(f"{name}: no gradient reaches it; write {name}.detach()")
