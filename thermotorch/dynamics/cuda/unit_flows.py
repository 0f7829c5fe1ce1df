"""Exact flows of single units on CUDA: their coefficients in one launch, where torch takes fifty for so few numbers."""

import struct

import triton
import triton.language as tl
from torch import Tensor

from thermotorch.dynamics.cuda.run import Run

_BLOCK = 128


def unit_flows(run: Run, places: Tensor) -> Tensor:
    """Return bias, decay, gain, spread, stiffness and shift, [6, own], of the units at `places` [own].

    Equations as in `splitting.on_site_flows`, in float64, rounded once to float32.
    """
    out = run.state.new_empty(6, len(places))
    if len(places):
        coefficients[(triton.cdiv(len(places), _BLOCK),)](
            out, places, run.bias, run.j2, run.j3, run.j4, run.mobility, *_halves(run.dt), *_halves(run.temperature),
            len(places), BLOCK=_BLOCK,
        )  # fmt: skip
    return out


def _halves(number: float) -> tuple[float, float]:
    """Return two numbers of float32 with the sum `number` to 48 bits: arguments of kernels are in float32."""
    high = struct.unpack("f", struct.pack("f", number))[0]
    return high, number - high


@triton.jit
def decayed(x):
    """Return (1 - exp(-x)) / x, 1 at zero; the difference has digits enough for float32 beyond 1e-6."""
    small = tl.abs(x) < 1e-6
    return tl.where(small, 1.0 - 0.5 * x, (1.0 - tl.exp(-x)) / tl.where(small, 1.0, x))


@triton.jit(do_not_specialize=("units",))
def coefficients(
    out, places, bias, j2, j3, j4, mobility, dt, dt_rest, temperature, temperature_rest, units, BLOCK: tl.constexpr
):
    own = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = own < units
    unit = tl.load(places + own, mask=inside, other=0)
    b = tl.load(bias + unit, mask=inside, other=0.0).to(tl.float64)
    a2 = tl.load(j2 + unit, mask=inside, other=0.0).to(tl.float64)
    a3 = tl.load(j3 + unit, mask=inside, other=0.0).to(tl.float64)
    a4 = tl.load(j4 + unit, mask=inside, other=0.0).to(tl.float64)
    kt = tl.cast(temperature, tl.float64) + tl.cast(temperature_rest, tl.float64)
    rate = tl.load(mobility + unit, mask=inside, other=0.0).to(tl.float64)
    rate *= tl.cast(dt, tl.float64) + tl.cast(dt_rest, tl.float64)
    moves = (a4 > 0) & (rate > 0)
    shift = tl.where(moves, a3 / (4 * tl.where(moves, a4, 1.0)), 0.0)
    exponent = 2 * rate * (a2 - 6 * a4 * shift * shift)
    tl.store(out + own, (b - 4 * a4 * shift * shift * shift).to(tl.float32), mask=inside)
    tl.store(out + units + own, tl.exp(-exponent).to(tl.float32), mask=inside)
    tl.store(out + 2 * units + own, (rate * decayed(exponent)).to(tl.float32), mask=inside)
    tl.store(out + 3 * units + own, tl.sqrt(2 * kt * rate * decayed(2 * exponent)).to(tl.float32), mask=inside)
    tl.store(out + 4 * units + own, (4 * rate * a4).to(tl.float32), mask=inside)
    tl.store(out + 5 * units + own, shift.to(tl.float32), mask=inside)
