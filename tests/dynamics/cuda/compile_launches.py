"""Every launch through Triton's own front end and compiler for compute capability 9.0, and not a step further.

A program, run by `tests/dynamics/test_kernels.py`: a stand-in for the driver names the device, and a kernel is compiled
from the very arguments it would be launched with. Prints how many variants of each kernel there were.
"""

from collections import Counter

import torch
import triton.runtime.jit
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from tests.dynamics.cuda import test_flows
from tests.dynamics.cuda.cases import Case
from thermotorch.dynamics import cuda as kernels
from thermotorch.dynamics.cuda import action


class Driver:
    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)


def langevin(case: Case, small: bool = True) -> None:
    kernels.resident.MAX_UNITS = 128 if small else 0
    arguments = case.arguments("cpu")
    end, recorded, kept = kernels.langevin(*arguments)
    kernels.langevin_backward(*arguments, end, recorded, kept, True, case.force is not None)


def main() -> None:
    driver.set_active(Driver())
    variants = Counter()
    launch = triton.runtime.jit.JITFunction.run

    def compile_only(self, *arguments, grid, warmup, **options):
        known = sum(len(caches[0]) for caches in self.device_caches.values())
        launch(self, *arguments, grid=grid, warmup=True, **options)
        variants[self.fn.__name__] += sum(len(caches[0]) for caches in self.device_caches.values()) - known

    triton.runtime.jit.JITFunction.run = compile_only
    langevin(Case(1, 1, 3))
    langevin(Case(1, 1, 3), small=False)
    langevin(Case(20, 9, 3, "heun", record=1, keep=2, drive="step and sample", seed=2**64 - 7, start_step=2**33 + 1))
    langevin(Case(33, 9, 5, "heun", record=2, keep=2, drive="step", precision="bf16"), small=False)
    pair = {"integrator": "alternating", "pairs": ((0, 1),)}
    langevin(Case(2, 1, 3, groups=(1, 1), **pair))
    langevin(Case(33, 9, 5, groups=(20, 13), record=2, keep=2, drive="step and sample", precision="bf16", **pair))
    langevin(Case(7, 3, 2, "alternating", groups=(7,), precision="tf32"))
    exact = test_flows.random_arguments(True, (5, test_flows.BATCH))
    arguments = test_flows.of_operator(exact, "cpu", 2, 2, "tf32")
    end, recorded, kept = kernels.splitting(*arguments)
    kernels.splitting_backward(*arguments, end, recorded, kept, True)
    path, matrix, weights = torch.randn(4, 3, 33), torch.randn(33, 33), torch.ones(3, 3)
    units = [torch.ones(33)] * 5
    action.path_action(path, matrix, *units, 1e-2, 0.5, True, "bf16", weights, True)
    action.path_action(path, matrix, *units, 1e-2, 0.5, True, "ieee", residuals=torch.empty(3, 3, 33))
    print(dict(variants))


if __name__ == "__main__":
    main()
