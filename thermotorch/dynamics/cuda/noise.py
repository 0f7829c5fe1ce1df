"""The noise of `thermotorch.dynamics.noise` inside kernels: same counters, same words, normals equal to 1e-6.

One Philox block serves the four samples of a group. In this Box-Muller transform the angle is reduced to an octant in
integer arithmetic, so that two short polynomials give its sine and cosine to 3e-8. It costs 0.5 special-function
instructions per normal and no stack, unlike a library sine with its slow path.
"""

import triton
import triton.language as tl

# Minimax on |f| <= 1/8 turn, in powers of f^2: sin(2 pi f) / f to 2e-8, cos(2 pi f) to 5e-11.
_S0, _S1, _S2, _S3 = (tl.constexpr(c) for c in (6.28318529, -41.34166263, 81.59255354, -75.40206792))
_C1, _C2, _C3, _C4 = (tl.constexpr(c) for c in (-19.73920865, 64.93931621, -85.44285212, 59.22040727))


@triton.jit
def box_muller(word, angle_word, FAST: tl.constexpr):
    """Return two normals from two uint32 words: sqrt(-2 ln u) times cosine and sine of 2 pi angle_word / 2^32.

    FAST uses the special-function units for logarithm and root (PTX only): normals equal to 1e-6 in the mean square, a
    tail next to zero to 1e-3.
    """
    u = (word.to(tl.float32) + 0.5) * 2.3283064365386963e-10
    if FAST:
        angle = angle_word.to(tl.int32, bitcast=True).to(tl.float32) * 1.4629180792671596e-09  # 2 pi / 2^32
        square = _special("lg2", u) * -1.3862943611198906  # -2 ln 2
        radius = _special("sqrt", square)
        return radius * _special("cos", angle), radius * _special("sin", angle)
    radius = tl.sqrt(-2.0 * tl.log(u))
    # angle = quarter x pi/2 + 2 pi f: the two top bits after rounding, and the rest of the word, |f| <= 1/8.
    turned = angle_word + 0x20000000
    quarter = turned >> 30
    f = ((turned & 0x3FFFFFFF).to(tl.int32) - 0x20000000).to(tl.float32) * 2.3283064365386963e-10
    s = f * f
    sine = f * (_S0 + s * (_S1 + s * (_S2 + s * _S3)))
    cosine = 1.0 + s * (_C1 + s * (_C2 + s * (_C3 + s * _C4)))
    swap = (quarter & 1) != 0
    across = tl.where(swap, sine, cosine)
    along = tl.where(swap, cosine, sine)
    # The cosine is negative in quarters 1 and 2, the sine in 2 and 3: flip the sign bits.
    across = (across.to(tl.uint32, bitcast=True) ^ (((quarter + 1) & 2) << 30)).to(tl.float32, bitcast=True)
    along = (along.to(tl.uint32, bitcast=True) ^ ((quarter & 2) << 30)).to(tl.float32, bitcast=True)
    return radius * across, radius * along


@triton.jit
def _special(name: tl.constexpr, x):
    """Return the function `name` of x by one instruction of the special-function unit."""
    return tl.inline_asm_elementwise(
        name + ".approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
    )


@triton.jit
def words(unit, group, step, stream, key_low, key_high):
    """Return Philox4x32-10 of the counter (unit, group, step low, step high | stream << 24), four uint32 tensors.

    `unit` and `group` are int32 or int64 tensors, `step` an int64 scalar, key words and `stream` scalars.
    """
    zero = (unit + group).to(tl.uint32) * 0
    c0 = zero + unit.to(tl.uint32)
    c1 = zero + group.to(tl.uint32)
    c2 = zero + (step & 0xFFFFFFFF).to(tl.uint32)
    c3 = zero + ((step >> 32) | (stream.to(tl.int64) << 24)).to(tl.uint32)
    k0, k1 = key_low.to(tl.uint32), key_high.to(tl.uint32)
    for _ in tl.static_range(10):
        # One wide multiplication gives both halves; tl.philox takes two narrow ones.
        p0 = c0.to(tl.uint64) * 0xD2511F53
        p1 = c2.to(tl.uint64) * 0xCD9E8D57
        c0 = (p1 >> 32).to(tl.uint32) ^ c1 ^ k0
        c2 = (p0 >> 32).to(tl.uint32) ^ c3 ^ k1
        c1 = p1.to(tl.uint32)
        c3 = p0.to(tl.uint32)
        k0 = k0 + 0x9E3779B9
        k1 = k1 + 0xBB67AE85
    return c0, c1, c2, c3


@triton.jit
def one_normal(unit, sample, step, stream, key_low, key_high, FAST: tl.constexpr):
    """Return the normal of each sample from a block of its own, at four times the cost of `tiles.tile_normals`."""
    w0, w1, w2, w3 = words(unit, sample >> 2, step, stream, key_low, key_high)
    lane = tl.broadcast_to((sample & 3).to(tl.int32), w0.shape)
    z0, z1 = box_muller(tl.where(lane < 2, w0, w2), tl.where(lane < 2, w1, w3), FAST)
    return tl.where((lane & 1) == 0, z0, z1)
