"""Launches of each path, so that a path that becomes bound by launches shows without a GPU.

A run of n steps launches a fixed number of kernels and so many more for each step. Kernels of torch (copies, products
of the library, sums) count too; views, allocations and reads by the host do not.
"""

from collections import Counter
from collections.abc import Callable

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from tests.dynamics.cuda.cases import Case
from tests.dynamics.cuda.conftest import INTERPRETED
from thermotorch.dynamics import cuda as kernels

pytestmark = pytest.mark.skipif(not INTERPRETED, reason="the interpreter counts the launches")
WITHOUT_KERNELS = {"empty", "new_empty", "empty_like", "set_", "detach", "_local_scalar_dense"}
KEEP = 4  # steps between the kept states, from which a backward pass runs again: a segment

# kernels of a step; kernels of a segment on the way back; kernels of torch of such a segment, at most
PATHS = {
    "resident": ({}, {"trajectory": 1, "retrace": 1}, 6),
    "euler_maruyama": ({"advance": 1}, {"advance": KEEP, "retreat": KEEP}, 54),
    "leimkuhler_matthews": ({"advance": 1}, {"advance": KEEP, "retreat": KEEP}, 54),
    "heun": ({"advance": 2}, {"advance": 2 * KEEP, "retreat": 2 * KEEP}, 62),
    "alternating": ({"half_step": 2}, {"half_step": 2 * KEEP, "half_back": 2 * KEEP}, 67),
}


class Count(TorchDispatchMode):
    """Counts the kernels of Triton by name and those of torch, but for what the interpreter itself does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        from triton.runtime.interpreter import GridExecutor

        self.kernels, self.of_torch, self.inside = Counter(), Counter(), False
        run = GridExecutor.__call__

        def launch(executor, *arguments, **options) -> None:
            self.kernels[executor.fn.__name__] += 1
            self.inside = True
            run(executor, *arguments, **options)
            self.inside = False

        monkeypatch.setattr(GridExecutor, "__call__", launch)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not self.inside and not function.is_view and function.overloadpacket.__name__ not in WITHOUT_KERNELS:
            self.of_torch[function.overloadpacket.__name__] += 1
        return function(*args, **kwargs or {})


@pytest.fixture
def launches(monkeypatch) -> Callable[[str, int, bool], Count]:
    def counted(path: str, steps: int, backward: bool) -> Count:
        monkeypatch.setattr(kernels.resident, "MAX_UNITS", 128 if path == "resident" else 0)
        integrator, pair = ("euler_maruyama" if path == "resident" else path), {}
        if path == "alternating":
            pair = {"groups": (8, 4), "pairs": ((0, 1),)}
        arguments = Case(12, 5, steps, integrator, keep=KEEP, coupling=0.1, **pair).arguments("cpu")
        with monkeypatch.context() as patch:
            if not backward:
                with Count(patch) as count:
                    kernels.langevin(*arguments)
                return count
            end, recorded, kept = kernels.langevin(*arguments)
            with Count(patch) as count:
                kernels.langevin_backward(*arguments, 2 * end, recorded, kept, True, False)
            return count

    return counted


@pytest.mark.parametrize("path", PATHS)
def test_a_step_launches_its_kernels_and_nothing_else(path, launches):
    short, long = (launches(path, segments * KEEP, False) for segments in (2, 3))
    of_a_step, _, _ = PATHS[path]
    assert long.kernels - short.kernels == Counter({name: KEEP * times for name, times in of_a_step.items()})
    assert sum(short.kernels.values()) >= 1
    # the copy of a kept state, one for each colour, and the clock after it
    assert (long.of_torch - short.of_torch).total() <= 6


@pytest.mark.parametrize("path", PATHS)
def test_a_segment_back_launches_its_kernels_and_few_of_torch(path, launches):
    short, long = (launches(path, segments * KEEP, True) for segments in (2, 3))
    _, of_a_segment, of_torch = PATHS[path]
    assert long.kernels - short.kernels == Counter(of_a_segment)
    assert (long.of_torch - short.of_torch).total() <= of_torch


def test_pieces_of_a_kept_path_launch_little_beside_their_steps(monkeypatch):
    """Every state is kept: nothing runs twice, and a piece of four steps costs a few copies, sums and products."""
    monkeypatch.setattr(kernels.pipeline, "HELD", 4 * 12 * 5)
    counts = []
    for pieces in (2, 3):
        pair = {"groups": (8, 4), "pairs": ((0, 1),)}
        arguments = Case(12, 5, 4 * pieces, "alternating", keep=1, coupling=0.1, **pair).arguments("cpu")
        with monkeypatch.context() as patch, Count(patch) as forwards:
            end, recorded, kept = kernels.langevin(*arguments)
        with monkeypatch.context() as patch, Count(patch) as back:
            kernels.langevin_backward(*arguments, 2 * end, recorded, kept, True, False)
        counts.append((forwards, back))
    (forwards, back), (forwards_3, back_3) = counts
    assert forwards_3.kernels - forwards.kernels == Counter(half_step=8)
    assert back_3.kernels - back.kernels == Counter(half_back=8)
    assert (forwards_3.of_torch - forwards.of_torch).total() <= 4
    assert (back_3.of_torch - back.of_torch).total() <= 13
