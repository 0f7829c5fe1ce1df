"""The tests of `kernels/` on Triton's interpreter, in a process of their own, and every kernel through the compiler.

Interpretation is decided when a kernel is decorated, and would change how everything else in this process runs.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

triton = pytest.importorskip("triton")
ROOT = Path(__file__).resolve().parent.parent.parent


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="already interpreting")
@pytest.mark.skipif(
    version(triton.__version__) < (3, 7) and version(numpy.__version__) >= (2, 4),
    reason="the interpreter of this Triton cannot loop with this numpy",
)
def test_kernels_on_the_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/dynamics/cuda"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16"])
def test_kernels_compile_for_compute_capability_9(precision):
    """The interpreter checks no types, layouts or sizes of tiles; this needs no GPU."""
    from scripts import kernel_resources as resources

    batch = f"large batch, {precision}"
    wanted = {
        *(f"trajectory, 64+32 units, {name}, {precision}" for name in ("euler_maruyama", "heun")),
        f"retrace, 64+32 units, heun, {precision}", f"advance, euler_maruyama, {batch}", f"flows, {batch}",
        f"retreat, heun, {batch}", f"residual, {batch}", f"half_step, {batch}", f"half_back, {batch}",
    }  # fmt: skip
    chosen = {variant.name: variant for variant in resources.variants(all_options=True) if variant.name in wanted}
    assert chosen.keys() == wanted
    for variant in chosen.values():
        found = resources.compiled(variant)
        assert found.shared <= 227 * 1024, variant.name
        # Some in a kernel of one launch per step; none inside the loop of a resident one, but for the guesses of Heun,
        # and none in tiles that were made narrow for it.
        some = ("M" in variant.constants or "heun" in variant.name) and not variant.name.startswith("half_")
        allowed = 700 if some else 0
        assert found.spilled <= allowed, f"{variant.name} spills {found.spilled} bytes"


@pytest.mark.slow
def test_every_launch_binds_and_compiles():
    """The arguments as they are passed, with what Triton makes of their values and addresses."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.dynamics.cuda.compile_launches"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kernels = {
        "trajectory", "retrace", "advance", "retreat", "flows", "residual", "half_step", "half_back", "coefficients",
    }  # fmt: skip
    assert all(f"'{name}'" in done.stdout for name in kernels), done.stdout
