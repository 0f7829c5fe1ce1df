"""Operations of kernels on a tile [samples, units]: load, store, product with the couplings, noise."""

import triton
import triton.language as tl

from thermotorch.dynamics.cuda.noise import box_muller, one_normal, words


@triton.jit
def take(pointer, row, unit, rows, units):
    """Load a tile of a [rows, units] tensor, zero outside. Rows are int64, so that no offset overflows."""
    inside = (row[:, None] < rows) & (unit[None, :] < units)
    return tl.load(pointer + row[:, None] * units + unit[None, :], mask=inside, other=0.0)


@triton.jit
def put(pointer, x, row, unit, rows, units):
    inside = (row[:, None] < rows) & (unit[None, :] < units)
    tl.store(pointer + row[:, None] * units + unit[None, :], x, mask=inside)


@triton.jit
def take_units(pointer, unit, units):
    """Load one number for each unit, [1, units]."""
    return tl.load(pointer + unit, mask=unit < units, other=0.0)[None, :]


@triton.jit
def split(x):
    """Return high and low with x = high + low, high of 11 significant bits: products of a tensor core are exact."""
    high = (x.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)
    return high, x - high


@triton.jit
def rounded(x):
    """Return x rounded to the nearest number of 11 significant bits; a tensor core would truncate towards zero."""
    return ((x.to(tl.int32, bitcast=True) + 4096) & -8192).to(tl.float32, bitcast=True)


@triton.jit
def take_couplings(matrix, row0, column0, scale, units, N: tl.constexpr, M: tl.constexpr, PRECISION: tl.constexpr):
    """Load the [N, M] piece of the couplings at (row0, column0), columns times `scale`, as operands of `product`."""
    row, column = row0 + tl.arange(0, N)[:, None], column0 + tl.arange(0, M)[None, :]
    piece = scale * tl.load(matrix + row * units + column, mask=(row < units) & (column < units), other=0.0)
    if PRECISION == "bf16":
        high = piece.to(tl.bfloat16)
        low = high
    elif PRECISION == "tf32":
        high = rounded(piece)
        low = high
    else:
        high, low = split(piece)
    return high, low


@triton.jit
def product(x, high, low, PRECISION: tl.constexpr):
    """Return x @ couplings by tensor cores, summed in float32; "ieee" takes three tf32 products, exact to 2^-21."""
    if PRECISION == "bf16":
        field = tl.dot(x.to(tl.bfloat16), high)
    elif PRECISION == "tf32":
        field = tl.dot(rounded(x), high, input_precision="tf32")
    else:
        x_high, x_low = split(x)
        field = tl.dot(x_low, high, input_precision="tf32")
        field = tl.dot(x_high, low, field, input_precision="tf32")
        field = tl.dot(x_high, high, field, input_precision="tf32")
    return field


@triton.jit
def on_site(x, a2, a3, a4):
    """Return 2 j2 x + 3 j3 x^2 + 4 j4 x^3 with coefficients a2 = 2 j2, a3 = 3 j3, a4 = 4 j4."""
    return x * (a2 + x * (a3 + x * a4))


@triton.jit
def place_in_tile(t, SHARED: tl.constexpr):
    """Return the row of the tensor, counted from the tile's first, that tile row t holds; see `rows_of_tile`."""
    return (t & (-8 * SHARED)) + SHARED * (t & 7) + ((t >> 3) & (SHARED - 1))


@triton.jit
def rows_of_tile(ids, first_row, rows, ROWS: tl.constexpr, SHARED: tl.constexpr):
    """Return the rows of a [rows, units] tensor in a tile, their samples, the first sample, and a flag of their order.

    A thread of a tensor core's accumulator owns tile rows t and t + 8, one of a loaded tile (32 rows, 4 warps) t + 16
    and t + 24 as well. SHARED of them hold neighbouring rows, which can share one block of noise: tile row t holds row
    SHARED (t mod 8) + t div 8 of each 8 SHARED. The flag is set if the samples count up from a multiple of four, as by
    default, so that they can be computed instead of loaded.
    """
    row = first_row + place_in_tile(tl.arange(0, ROWS), SHARED)
    sample = tl.load(ids + row, mask=row < rows, other=0)
    first_sample = tl.load(ids + first_row)
    counting = ((sample == first_sample + (row - first_row)) & ((first_sample & 3) == 0)) | (row >= rows)
    return row, sample, first_sample, tl.min(counting.to(tl.int32), 0) == 1


@triton.jit
def tile_normals(
    like, sample, first_sample, counting, unit, step, stream, key_low, key_high,
    ROWS: tl.constexpr, SHARED: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Return normals [ROWS, units] for a tile of `rows_of_tile`, in the layout of `like`.

    The code is elementwise, but for samples that count up the compiler sees that rows of a tile that are multiples of 8
    apart have the same counter, and computes one block for all of them that a thread owns. Sharing it among four rows
    where a thread owns two would need shared memory and its barriers.
    """
    t = tl.arange(0, ROWS)[:, None]
    # A zero that Triton takes for a function of `like`, so that the following tensors have its layout.
    zero = ((like.to(tl.uint32, bitcast=True) >> 16) >> 16).to(tl.int32)
    here, t = unit[None, :] + zero, t + zero
    if counting:
        index = place_in_tile(t, SHARED)
        group = ((first_sample >> 2).to(tl.int32) + (index >> 2)).to(tl.uint32)
        w0, w1, w2, w3 = words(here, group, step, stream, key_low, key_high)
        upper = (index & 2) == 0
        z0, z1 = box_muller(tl.where(upper, w0, w2), tl.where(upper, w1, w3), FAST)
        z = tl.where((index & 1) == 0, z0, z1)
    else:
        z = one_normal(here, sample[:, None] + zero, step, stream, key_low, key_high, FAST)
    return z


@triton.jit
def matrix_product(
    operand, couplings, couplings_low, row, column, pitch, M: tl.constexpr, N: tl.constexpr, BK: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Return rows of `operand` [samples, pitch] times rows of `couplings` [units, pitch], summed over the pitch."""
    k = tl.arange(0, BK)
    a = operand + row[:, None] * pitch + k[None, :]
    b = couplings + column[None, :].to(tl.int64) * pitch + k[:, None]
    b_low = couplings_low + column[None, :].to(tl.int64) * pitch + k[:, None]
    total = tl.zeros((M, N), tl.float32)
    for _ in range(0, pitch, BK):
        if PRECISION == "ieee":
            high, low = split(tl.load(a))
            b_high = tl.load(b)
            total = tl.dot(low, b_high, total, input_precision="tf32")
            total = tl.dot(high, tl.load(b_low), total, input_precision="tf32")
            total = tl.dot(high, b_high, total, input_precision="tf32")
            b_low += BK
        else:
            total = tl.dot(tl.load(a), tl.load(b), total, input_precision="tf32")
        a += BK
        b += BK
    return total


@triton.jit
def place(pid, batch, units, M: tl.constexpr, N: tl.constexpr, GROUP: tl.constexpr):
    """Return a program's tile: GROUP rows of tiles at a time, column by column, so that neighbours share operands."""
    tile_rows, tile_columns = tl.cdiv(batch, M), tl.cdiv(units, N)
    first = pid // (GROUP * tile_columns) * GROUP
    height = tl.minimum(tile_rows - first, GROUP)
    within = pid % (GROUP * tile_columns)
    return first + within % height, within // height
