"""Replayed graphs give the bits of single launches, whatever the steps before them, between them and left over."""

from collections import OrderedDict
from contextlib import nullcontext

import pytest
import torch

from tests.dynamics.cuda.cases import Case
from thermotorch.dynamics import cuda as kernels
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
        self.clock = Graph.clock
        self.start, Graph.recording = self.clock.clone(), []

    def capture_end(self) -> None:
        self.launches, Graph.recording = Graph.recording, None
        self.moved = self.clock - self.start
        self.clock.copy_(self.start)

    def replay(self) -> None:
        for launch, arguments, options in self.launches:
            launch(*arguments, **options)
        self.clock.add_(self.moved)


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
        cuda_stream = 0

        def wait_stream(self, other: "Stream") -> None:
            pass

    monkeypatch.setattr(GridExecutor, "__call__", launch)
    monkeypatch.setattr(pipeline.Pipeline, "capture", seen)
    monkeypatch.setattr(pipeline, "_side_stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: Stream())
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


ALTERNATING = {"integrator": "alternating", "coupling": 0.1, "pairs": ((0, 1),)}


@pytest.mark.parametrize("keep, record, groups", [(1, 0, (8, 4)), (1, 3, (3, 4, 5)), (4, 2, (8, 4)), (0, 0, (3, 4, 5))])
def test_another_run_of_the_same_shape_finds_nothing_of_the_first_in_its_graphs(
    keep, record, groups, device, monkeypatch
):
    """Both ways of a run, with graphs and without, first with one machine and then with another, noise and all."""
    pairs = {"pairs": ((0, 1), (1, 2))} if len(groups) == 3 else {}

    def varied(value):
        if isinstance(value, list):
            return [varied(one) for one in value]
        floating = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value * (1 + 0.1 * torch.rand_like(value)) if floating else value

    def results(seed: int) -> list[torch.Tensor]:
        case = Case(
            12, 5, 9, keep=keep, record=record, groups=groups, seed=seed, start_step=seed, first_sample=4 * seed,
            dt=0.02 * seed, temperature=0.1 * seed, drive="sample", wells=seed > 1, clamped=seed, **ALTERNATING | pairs,
        )  # fmt: skip
        torch.manual_seed(seed)
        arguments = [varied(value) for value in case.arguments(device)]
        end, recorded, kept = kernels.langevin(*arguments)
        gradients = torch.randn_like(end), torch.randn_like(recorded)
        return [end, recorded, kept, *kernels.langevin_backward(*arguments, *gradients, kept, True, True)]

    monkeypatch.setattr(pipeline, "GRAPH", 4)
    monkeypatch.setattr(pipeline, "_pipelines", OrderedDict())
    monkeypatch.setattr(pipeline, "_replays", lambda device: False)
    launched = [results(seed) for seed in (1, 2)]
    monkeypatch.setattr(pipeline, "_replays", lambda device: True)
    replayed = [results(seed) for seed in (1, 2)]
    assert all(one.graph is not None for one in pipeline._pipelines.values() if one.graph_steps)
    assert any(one.graph_steps for one in pipeline._pipelines.values())
    assert all(getattr(one, "kept", None) is None for one in pipeline._pipelines.values())  # of gigabytes
    for found, expected in zip(sum(replayed, []), sum(launched, []), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize(
    "steps, most, length", [(250, 50, 50), (250, 12, 10), (13, 4, 4), (25, 50, 24), (3, 50, 2), (1, 50, 0)]
)
def test_a_graph_leaves_few_steps_over(steps, most, length):
    assert pipeline.graph_length(steps, most) == length


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
