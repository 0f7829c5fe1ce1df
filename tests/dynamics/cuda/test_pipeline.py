"""Replayed graphs give the bits of single launches, whatever the steps before them, between them and left over."""

from contextlib import nullcontext

import pytest
import torch

from tests.dynamics.cuda.cases import Case
from thermotorch.dynamics.cuda import alternating, pipeline, streamed
from thermotorch.dynamics.cuda.alternating import Colours
from thermotorch.dynamics.cuda.pipeline import tile_for
from thermotorch.dynamics.cuda.run import Run
from thermotorch.dynamics.operators.arguments import Langevin


class Graph:
    """A stand-in for `torch.cuda.CUDAGraph` on the interpreter, which records launches and runs them at each replay."""

    recording: list | None = None
    clock: torch.Tensor

    def capture_begin(self, **_) -> None:
        self.start, Graph.recording = Graph.clock.clone(), []

    def capture_end(self) -> None:
        self.launches, Graph.recording = Graph.recording, None
        self.moved = Graph.clock - self.start
        Graph.clock.copy_(self.start)

    def replay(self) -> None:
        for launch, arguments, options in self.launches:
            launch(*arguments, **options)
        Graph.clock.add_(self.moved)


@pytest.fixture(autouse=True)
def graphs(device, monkeypatch) -> None:
    if device == "cuda":
        return
    from triton.runtime.interpreter import GridExecutor

    run, capture = GridExecutor.__call__, pipeline.Pipeline.capture

    def launch(self, *arguments, **options) -> None:
        if Graph.recording is None:
            run(self, *arguments, **options)
        else:
            Graph.recording.append((self, arguments, options))

    def seen(self) -> Graph:
        Graph.clock = self.clock
        return capture(self)

    class Stream:
        def wait_stream(self, other: "Stream") -> None:
            pass

    monkeypatch.setattr(GridExecutor, "__call__", launch)
    monkeypatch.setattr(pipeline.Pipeline, "capture", seen)
    monkeypatch.setattr(pipeline, "_side_stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)


@pytest.mark.parametrize("integrator", ["euler_maruyama", "heun", "alternating"])
def test_a_graph_of_steps_gives_the_bits_of_single_launches(integrator, device):
    case = Case(12, 5, 5, integrator, record=3, drive="step", groups=(8, 4), pairs=((0, 1),), coupling=0.1)
    run = Run.of(Langevin(*case.arguments(device)))
    colours = Colours.of(run)
    drives = colours.split(run.drive)
    tile, every, launched = tile_for(run.batch, run.precision), slice(None), run.outputs()

    def made(graph_steps: int) -> pipeline.Pipeline:
        if integrator == "alternating":
            return alternating.Alternating(run, colours, drives, run.batch, tile, graph_steps)
        return streamed.Langevin(run, run.batch, tile, False, graph_steps)

    def follow(steps: pipeline.Pipeline, outputs: tuple) -> None:
        steps.load(*((run, colours, drives, every) if integrator == "alternating" else (run, every)))
        steps.follow(run, every, *outputs)

    follow(made(0), launched)
    replaying = made(2)  # three steps are one graph and a step from the other buffer
    for _ in range(2):  # as it is made, and as a later run finds it
        outputs = run.outputs()
        follow(replaying, outputs)
        assert replaying.graph is not None
        for found, expected in zip(outputs, launched, strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16"])
@pytest.mark.parametrize("narrow", [False, True])
def test_a_thread_has_registers_for_the_sums_of_its_tile(precision, narrow):
    """Of 255 registers 64 hold sums; half of that where a tile keeps two parts of a sum, or normals, beside them."""
    last = pipeline.FEW_OF_HALF if narrow and precision != "ieee" else pipeline.FEW
    for batch in (1, last, last + 1):
        tile = tile_for(batch, precision, narrow)
        assert tile.m * tile.n // (32 * tile.warps) <= (32 if precision == "ieee" or narrow else 64)
    few, many = (tile_for(batch, precision, narrow) for batch in (last, last + 1))
    assert few.m < many.m and (few.m * few.n < many.m * many.n)
