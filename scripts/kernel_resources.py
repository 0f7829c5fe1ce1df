"""Resources of every compiled kernel: registers, spilled bytes, shared memory. Needs no GPU, only Triton.

    python scripts/kernel_resources.py [compute capability, default 90]

A kernel of `warps` warps may use 65536 / (32 x warps) registers per thread, at most 255; the rest is spilled to local
memory. Shared memory per processor is 227 KB on compute capability 9.0.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from thermotorch.dynamics.cuda import action, adjoint, alternating, alternating_adjoint, flows, resident, streamed
from thermotorch.dynamics.cuda.pipeline import Tile, tile_for
from thermotorch.dynamics.cuda.run import SCHEMES
from thermotorch.dynamics.operators.arguments import PRECISIONS

FORCED = tuple(name for name in SCHEMES if name != "alternating")  # the schemes that are based on forces
LARGE, SMALL = 4096, 256  # batches that choose the large and the small tile
# Types of arguments that are not float32 tensors; operands have the precision's type.
_TYPES = {
    **dict.fromkeys(("ids", "clock", "places"), "*i64"),
    **dict.fromkeys(("dt", "noise_scale", "inverse_weight", "inverse_push"), "fp32"),
    **dict.fromkeys((
        "batch", "rows", "units", "pitch", "steps", "offset", "done", "key_low", "key_high", "start_low", "start_high",
        "stream", "first_record", "push_step", "push_row", "out_pitch", "product_pitch", "record", "keep", "drive_step",
        "drive_row", "own_pitch",
    ), "i32"),
}  # fmt: skip
_WHOLE_LOADS = {"units", "pitch", "own_pitch", "out_pitch", "product_pitch"}  # of tiled kernels, multiples of 16
_OPERANDS = {
    "operand", "couplings", "couplings_low", "out_operand", "own_operand", "transposed_low", "next_operand", "pushes",
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A kernel with its compile-time arguments."""

    name: str
    kernel: Any
    constants: dict[str, Any]
    warps: int
    stages: int


@dataclass(frozen=True)
class Resources:
    registers: int
    spilled: int  # bytes
    shared: int  # bytes


def variants(all_options: bool = False) -> Iterator[Variant]:
    """Yield every kernel in every precision; with `all_options` also with recording, forces of each step, and so on."""
    for precision in PRECISIONS:
        fast = precision != "ieee"
        for units in (16, 32, 64, 80, 128):
            first, second = resident.column_blocks(units)
            shape = {"FIRST": first, "SECOND": second, "ROWS": resident.ROWS}
            warps, name = resident.num_warps(first), f"{first}+{second}" if second else str(first)
            for integrator in FORCED:
                for full in (False, True) if all_options else (False,):
                    yield Variant(f"trajectory, {name} units, {integrator}, {precision}", resident.trajectory, {
                        "SCHEME": integrator, "PRECISION": precision, "FAST": fast, "DRIVE": 2 if full else 1,
                        "RECORD": full, "KEEP": full, "GUESS": full and integrator == "heun", **shape,
                    }, warps, 3)  # fmt: skip
            for heun in (False, True):
                scheme = "heun" if heun else "euler_maruyama"
                yield Variant(f"retrace, {name} units, {scheme}, {precision}", adjoint.retrace, {
                    "HEUN": heun, "PRECISION": precision, "RECORD": all_options, **shape,
                }, warps, 3)  # fmt: skip
        for batch in (SMALL, LARGE):
            yield from _tiled(batch, precision, fast, all_options)


def _tiled(batch: int, precision: str, fast: bool, all_options: bool) -> Iterator[Variant]:
    size = "small" if batch == SMALL else "large"

    def variant(what: str, kernel: Any, tile: Tile, **constants: Any) -> Variant:
        constants |= {"PRECISION": precision, "M": tile.m, "N": tile.n, "BK": tile.k}
        return Variant(f"{what}, {size} batch, {precision}", kernel, constants, tile.warps, tile.stages)

    tile, narrow = tile_for(batch, precision), tile_for(batch, precision, True)
    for stage in FORCED:
        shape = narrow if stage == "leimkuhler_matthews" else tile
        for drive in (False, True) if all_options else (False,):
            options = {"STAGE": stage, "FAST": fast, "PRODUCT": True, "DRIVE": drive}
            yield variant(f"advance, {stage}", streamed.advance, shape, **options)
    if batch == LARGE:
        options = {"STAGE": "euler_maruyama", "FAST": fast, "PRODUCT": False, "DRIVE": all_options}
        yield variant("advance without product", streamed.advance, streamed.POINTWISE, **options)
    for flow in (True, False) if all_options else (True,):
        yield variant("flows", flows.flows, tile, FLOW=flow, SEEN=False, KICKED=True, COUPLED=True, FAST=fast)
    for full in (False, True) if all_options else (False,):
        yield variant("half_step", alternating.half_step, narrow, COUPLED=True, FAST=fast, DRIVE=full, TRAIL=full)
    options = {"PULLED": True, "ENTERS": all_options, "MOVED": True}
    yield variant("half_back", alternating_adjoint.half_back, narrow, **options)
    for half in (False, True):
        options = {"HALF": half, "PLUS": half, "ENTERS": half, "NEXT_HALF": half}
        yield variant(f"retreat, {'heun' if half else 'euler_maruyama'}", adjoint.retreat, tile, **options)
    yield variant("residual", action.residual, tile, REVERSE=True, GRADIENT=True, RESIDUAL=False, WEIGHTED=True)


def compiled(variant: Variant, capability: int = 90) -> Resources:
    """Compile a kernel ahead of time and return its resources; errors are those of Triton or ptxas."""
    low = "*bf16" if variant.constants["PRECISION"] == "bf16" else "*fp32"
    signature, attributes = {}, {}
    for position, name in enumerate(variant.kernel.arg_names):
        if name in variant.constants:
            signature[name] = "constexpr"
            continue
        tiled = "M" in variant.constants
        signature[name] = low if name in _OPERANDS or (name == "transposed" and tiled) else _TYPES.get(name, "*fp32")
        if signature[name].startswith("*") or (tiled and name in _WHOLE_LOADS):
            attributes[(position,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=variant.kernel, signature=signature, constexprs=variant.constants, attrs=attributes)
    options = {"num_warps": variant.warps, "num_stages": variant.stages}
    program = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(program.asm["cubin"])
        tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        usage = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    registers, stack = re.findall(r"REG:(\d+) STACK:(\d+)", usage)[0]
    return Resources(int(registers), int(stack), program.metadata.shared)


def main() -> None:
    capability = int(sys.argv[1]) if len(sys.argv) > 1 else 90
    cells: dict[str, dict[str, str]] = {}
    for variant in variants():
        used = compiled(variant, capability)
        name, precision = variant.name.rsplit(", ", 1)
        spilled = f" + {used.spilled} B" if used.spilled else ""
        cells.setdefault(name, {})[precision] = f"{used.registers}{spilled}, {used.shared / 1024:.0f} KB"
        print(f"{variant.name}: {used}", file=sys.stderr, flush=True)
    print(
        f"Triton {triton.__version__}, compute capability {capability / 10}: registers + spilled bytes, shared memory\n"
    )
    print(f"| kernel | {' | '.join(PRECISIONS)} |\n| --- |{' --- |' * len(PRECISIONS)}")
    for name, row in cells.items():
        print(f"| {name} | {' | '.join(row[precision] for precision in PRECISIONS)} |")


if __name__ == "__main__":
    main()
