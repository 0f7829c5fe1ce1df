"""Time every GPU row of the fast core against eager torch in one process, and compare with goals and floors.

    python scripts/gpu_checks.py FOLDER            # on a GPU: results.json and report.txt
    TRITON_INTERPRET=1 python scripts/gpu_checks.py FOLDER --dry   # on the CPU, tiny sizes, times meaningless

States are float32, steps Euler-Maruyama unless said otherwise, times medians of CUDA events; ours and eager alternate.
"""

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from gpu_bench import Bench
from torch import Tensor

import thermotorch as tt
from thermotorch.dynamics import cuda as kernels
from thermotorch.dynamics.cuda import action, pipeline, streamed
from thermotorch.dynamics.cuda import alternating as scheme
from thermotorch.dynamics.cuda.run import Run
from thermotorch.dynamics.operators.arguments import Langevin
from thermotorch.evaluation.speed.benchmark import no_grad
from thermotorch.evaluation.speed.rivals import Equation, compiled_loop, in_one_graph

SEED, DT, TEMPERATURE = 0, 1e-3, 0.1


class Machine:
    """A dense random machine of `units` and a start, as operator arguments."""

    def __init__(self, units: int, batch: int, device: str) -> None:
        draw = torch.Generator().manual_seed(SEED)
        upper = (torch.randn(units, units, generator=draw) / units**0.5).triu(1)
        self.matrix = (upper + upper.T).to(device)
        self.state = torch.randn(batch, units, generator=draw).to(device)
        self.bias, self.zero, self.one = (torch.full((units,), value, device=device) for value in (0.1, 0.0, 1.0))
        self.ids, self.first = torch.arange(batch, device=device), torch.tensor([0])

    def arguments(self, steps: int, precision: str, integrator: str = "euler_maruyama") -> list:
        return [
            self.state, self.ids, steps, torch.tensor(SEED), 0, 0, 0, 0, precision, None, [self.matrix], self.first,
            self.first, self.bias, self.one, self.zero, self.one, self.one, DT, TEMPERATURE, integrator,
        ]  # fmt: skip

    @torch.no_grad()
    def eager(self, steps: int) -> Tensor:
        return euler(self.state, steps, self.matrix, self.bias, DT, TEMPERATURE)


def euler(x: Tensor, steps: int, matrix: Tensor, bias: Tensor, dt: float, temperature: float) -> Tensor:
    """Run the loop that one would write first, for j2 = j4 = 1 and j3 = 0."""
    amplitude = (2 * temperature * dt) ** 0.5
    for _ in range(steps):
        x = x - dt * (2 * x + 4 * x**3 + bias + x @ matrix) + amplitude * torch.randn_like(x)
    return x


def noise(bench: Bench) -> None:
    """Time the normals, which take most of the time of a machine without couplings."""
    units, batch, steps = bench.size(1024, 20), bench.size(8192, 8), bench.size(100, 2)
    machine = Machine(units, batch, bench.device)
    name = f"torch.randn, {steps} x {batch} x {units}"
    row = bench.measure(name, lambda: [torch.randn_like(machine.state) for _ in range(steps)])
    row.notes["normals/s"] = f"{steps * batch * units / row.ms * 1e3:.3g}"
    small = Machine(bench.size(64, 16), bench.size(65536, 16), bench.device)
    for precision in ("ieee", "tf32"):
        arguments = small.arguments(steps, precision)
        name = f"resident, 64 units, batch 65536, {steps} steps, {precision}"
        row = bench.measure(name, lambda a=arguments: kernels.langevin(*a))
        row.notes["normals/s"] = f"{steps * small.state.numel() / row.ms * 1e3:.3g}"


def resident(bench: Bench) -> None:
    steps, tenth = bench.size(2500, 3), bench.size(250, 1)
    for units in (74, 80):
        for batch in (64, 2112, 8192):
            machine = Machine(units, bench.size(batch, 5), bench.device)
            for precision in ("ieee", "tf32", "bf16"):
                goal, floor = (2.0, 3.5) if precision == "ieee" else (1.0, 1.8)
                limits = {"goal_ms": goal, "floor_ms": floor, "floor_ratio": 50} if batch <= 2112 else {}
                bench.measure(
                    f"resident, {units} units, batch {batch}, {steps} steps, {precision}",
                    lambda m=machine, p=precision: kernels.langevin(*m.arguments(steps, p)),
                    lambda m=machine: m.eager(tenth), steps / tenth, **limits,
                )  # fmt: skip


def large(bench: Bench) -> None:
    units, steps, tenth = bench.size(1296, 70), bench.size(2500, 4), bench.size(250, 1)
    limits = {
        (1024, "bf16"): {"goal_ms": 22, "floor_ms": 30}, (1024, "tf32"): {"goal_ms": 42, "floor_ms": 55},
        (256, "bf16"): {"goal_ms": 12, "floor_ms": 17},
    }  # fmt: skip
    for batch in (1024, 64, 256, 8192):
        machine = Machine(units, bench.size(batch, 5), bench.device)
        for precision in ("ieee",) if bench.dry else ("bf16", "tf32", "ieee"):
            row = bench.measure(
                f"streamed, {units} units, batch {batch}, {steps} steps, {precision}, as chosen",
                lambda m=machine, p=precision: kernels.langevin(*m.arguments(steps, p)),
                lambda m=machine: m.eager(tenth), steps / tenth, repeats=3,
                **limits.get((batch, precision), {}),
            )  # fmt: skip
            run = Run.of(Langevin(*machine.arguments(steps, precision)))
            for library, way in ((False, "one fused kernel"), (True, "cuBLAS and a kernel")) if batch > 256 else ():
                name = f"  batch {batch}, {precision}, by {way}"
                bench.measure(name, lambda r=run, b=library: streamed.langevin(r, library=b), repeats=3)
            row.notes["TFLOP/s"] = f"{2 * steps * len(machine.state) * units**2 / row.ms * 1e-9:.3g}"


def compiled(bench: Bench) -> None:
    """Time torch.compile of the plain loop, step by step and with all steps in one CUDA graph, and with gradient."""
    steps = bench.size(250, 2)
    for units, batch in ((74, 2112), (1296, 256), (1296, 1024)):
        machine = Machine(bench.size(units, 16), bench.size(batch, 5), bench.device)
        couplings = machine.matrix.clone().requires_grad_()
        equation = Equation(couplings, machine.bias, 1.0, 1.0, steps, DT, TEMPERATURE)
        run, state = partial(compiled_loop, equation), machine.state

        def back(run: Callable[[Tensor], Tensor] = run, state: Tensor = state) -> None:
            run(state).square().sum().backward()

        name = f"torch.compile, {units} units, batch {batch}, {steps} steps"
        bench.measure(name, no_grad(run, state), repeats=3)
        if not bench.dry:
            bench.measure(f"{name}, one CUDA graph", partial(in_one_graph(run), state), repeats=3)
        bench.measure(f"{name}, with gradient", back, repeats=3)


def tiles(bench: Bench) -> None:
    """Find the fastest tile for one step of 1296 units, for `tile_for`."""
    units, batch, steps = bench.size(1296, 70), bench.size(1024, 5), bench.size(100, 2)
    machine = Machine(units, batch, bench.device)
    shapes = [(64, 64, 4), (64, 128, 4), (128, 64, 4), (128, 64, 8), (128, 128, 8)]
    for precision in ("ieee",) if bench.dry else ("bf16", "tf32"):
        for m, n, warps in shapes[:1] if bench.dry else shapes:
            tile = pipeline.Tile(m, n, 64 if precision == "bf16" else 32, warps, 4 if m * n <= 8192 else 3)
            run = Run.of(Langevin(*machine.arguments(steps, precision)))
            try:
                bench.measure(f"tile {m} x {n}, {warps} warps, {steps} steps, {precision}",
                              lambda r=run, t=tile: streamed.langevin(r, tile=t), repeats=3)  # fmt: skip
            except Exception as error:  # noqa: BLE001  a tile may not fit
                print(f"tile {m} x {n}, {warps} warps, {precision}: {type(error).__name__}", flush=True)


def actions(bench: Bench) -> None:
    units, batch, steps = bench.size(1296, 20), bench.size(1024, 3), bench.size(2500, 4)
    part = bench.size(50, 2)
    machine = Machine(units, batch, bench.device)
    path = torch.empty(steps + 1, batch, units, device=bench.device)
    for first in range(0, steps + 1, 100):
        path[first : first + 100].normal_()
    path *= 0.1
    limits = {"bf16": {"goal_ms": 25, "floor_ms": 40}, "tf32": {"goal_ms": 45, "floor_ms": 80}, "ieee": {}}

    def eager() -> None:
        matrix, bias = machine.matrix.clone().requires_grad_(), machine.bias.clone().requires_grad_()
        after = path[1 : part + 1]
        gradient = 2 * after + 4 * after**3 + bias + after @ matrix
        residual = path[:part] - after + DT * gradient
        (residual.square().sum() / (4 * TEMPERATURE * DT)).backward()

    for precision in ("ieee",) if bench.dry else ("bf16", "tf32", "ieee"):
        vectors = machine.matrix, machine.bias, machine.one, machine.zero, machine.one, machine.one
        bench.measure(
            f"action and gradients, {units} units, batch {batch}, {steps} steps, {precision}",
            lambda p=precision, v=vectors: action.path_action(path, *v, DT, TEMPERATURE, True, p, None, True),
            eager, steps / part, repeats=3, **limits[precision],
        )  # fmt: skip


def memory(bench: Bench) -> None:
    """Measure the memory of 10^5 steps without recording."""
    units, batch, steps = bench.size(1296, 20), bench.size(1024, 3), bench.size(100_000, 3)
    machine = Machine(units, batch, bench.device)
    if not bench.dry:
        pipeline._pipelines.clear()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    row = bench.measure(f"memory, {units} units, batch {batch}, {steps} steps, bf16",
                        lambda: kernels.langevin(*machine.arguments(steps, "ieee" if bench.dry else "bf16")),
                        repeats=1)  # fmt: skip
    if not bench.dry:
        used = torch.cuda.max_memory_allocated() - before
        row.notes["peak beyond inputs"] = f"{used / 1e6:.1f} MB = {used / machine.state.nbytes:.1f} states"


def layer(bench: Bench) -> None:
    """Time forward and backward of a layer against autograd through the eager loop."""
    batch = bench.size(256, 4)
    t_final = 0.003 if bench.dry else 0.2
    module = tt.ThermodynamicLayer(784, 10, hidden=64, t_final=t_final, dt=1e-3).to(bench.device)
    features = torch.randn(batch, 784, device=bench.device)

    def ours() -> None:
        module(features, seed=0).square().sum().backward()

    def eager() -> None:
        force, potential = module.input(features), module.potential
        machine = potential.couplings.matrix(), potential.bias - force, module.dt, module.temperature
        euler(torch.zeros_like(force), module.steps, *machine)[:, -10:].square().sum().backward()

    bench.measure(f"layer 784-10, 64 hidden, {module.steps} steps, batch {batch}, forward + backward", ours, eager)


def splitting(bench: Bench) -> None:
    units, batch, steps = bench.size(1296, 20), bench.size(1024, 3), bench.size(125, 3)
    machine = Machine(units, batch, bench.device)
    potential = tt.Potential(tt.DenseCouplings.from_matrix(machine.matrix), bias=machine.bias).to(bench.device)
    for precision in ("ieee",) if bench.dry else ("bf16", "tf32", "ieee"):

        def ours(precision: str = precision) -> None:
            with torch.no_grad():
                tt.simulate(potential, machine.state, steps=steps, dt=20 * DT, temperature=TEMPERATURE,
                            integrator="splitting", precision=precision)  # fmt: skip

        bench.measure(f"simulate, splitting, {units} units, batch {batch}, {steps} steps, {precision}", ours, repeats=5)


class Halves(Machine):
    """Visible and hidden units as in the shipped generators of MNIST, coupled with each other only, in steps of 0.1."""

    def __init__(self, bench: Bench, batch: int) -> None:
        self.visible, self.hidden = bench.size(784, 7), bench.size(512, 5)
        super().__init__(self.visible + self.hidden, batch, bench.device)
        self.block = self.matrix[: self.visible, self.visible :].clone()

    def halves(self, steps: int, precision: str, keep: int = 0) -> list:
        places = torch.tensor([0, self.visible])
        a = Langevin(*self.arguments(steps, precision, "alternating"))
        changed = replace(a, blocks=[self.block, self.block.T], rows=places, columns=places.flip(0), dt=0.1, keep=keep)
        return list(vars(changed).values())

    def loop(self, steps: int, start: Tensor, block: Tensor) -> Tensor:
        """Run the scheme as one would write it first, for j2 = j4 = 1 and j3 = 0."""
        decay, (v, h) = math.exp(-0.2), start.split((self.visible, self.hidden), 1)
        gain, spread = (1 - decay) / 2, (TEMPERATURE * (1 - decay**2) / 2) ** 0.5

        def move(x: Tensor, field: Tensor) -> Tensor:
            y = x * torch.rsqrt(1 + 0.4 * x * x)
            z = decay * y - gain * (0.1 + field) + spread * torch.randn_like(x)
            return z * torch.rsqrt(1 + 0.4 * z * z)

        for _ in range(steps):
            h = move(h, v @ block)
            v = move(v, h @ block.T)
        return torch.cat([v, h], 1)


def alternating(bench: Bench) -> None:
    steps, tenth = bench.size(250, 3), bench.size(25, 1)
    limits = {(1024, "tf32"): {"goal_ms": 4, "floor_ms": 6}}
    limits_back = {(256, "tf32"): {"goal_ms": 8, "floor_ms": 15}, (1024, "tf32"): {"goal_ms": 14, "floor_ms": 25}}
    for batch in (256, 1024):
        machine = Halves(bench, bench.size(batch, 5))

        @torch.no_grad()
        def eager(m: Halves = machine) -> None:
            m.loop(tenth, m.state, m.block)

        def eager_back(m: Halves = machine) -> None:
            start, block = m.state.clone().requires_grad_(), m.block.clone().requires_grad_()
            m.loop(tenth, start, block).square().sum().backward()

        for precision in ("ieee",) if bench.dry else ("bf16", "tf32", "ieee"):
            arguments = machine.halves(steps, precision)

            def back(kept: list = machine.halves(steps, precision, 16)) -> None:  # noqa: B008
                end, recorded, states = kernels.langevin(*kept)
                kernels.langevin_backward(*kept, 2 * end, recorded, states, True, False)

            name = f"alternating, {machine.visible} + {machine.hidden} units, batch {batch}, {steps} steps, {precision}"
            row = bench.measure(name, lambda a=arguments: kernels.langevin(*a), eager, steps / tenth, repeats=5,
                                **limits.get((batch, precision), {}))  # fmt: skip
            row.notes["TFLOP/s"] = f"{4 * steps * len(machine.state) * machine.block.numel() / row.ms * 1e-9:.3g}"
            bench.measure(f"  {name}, with gradient", back, eager_back, steps / tenth, repeats=3,
                          **limits_back.get((batch, precision), {}))  # fmt: skip
            # A smaller tile than `tile_for` has: more programs.
            if batch == 256 and precision != "ieee" and not bench.dry:
                tile = pipeline.Tile(32, 64, 64 if precision == "bf16" else 32, 4, 4)
                bench.measure(f"  batch {batch}, {precision}, tile {tile.m} x {tile.n}",
                              lambda a=arguments, t=tile: scheme.langevin(Run.of(Langevin(*a)), tile=t),
                              repeats=3)  # fmt: skip


def chain(bench: Bench) -> None:
    """Time a chain: stages of 25 steps each, whose visible units the next stage takes over."""
    steps, stages = bench.size(25, 2), bench.size(4, 2)
    machine = Halves(bench, bench.size(1024, 5))
    for precision in ("ieee",) if bench.dry else ("bf16", "tf32", "ieee"):
        limits = {"goal_ms": 3, "floor_ms": 6} if precision == "tf32" else {}

        def run(arguments: list = machine.halves(steps, precision)) -> None:  # noqa: B008
            state = machine.state
            for _ in range(stages):
                state = kernels.langevin(state, *arguments[1:])[0]

        name = f"chain of {stages} stages, {machine.visible} + {machine.hidden} units, {steps} steps each, {precision}"
        bench.measure(name, run, **limits)


def baseline(bench: Bench) -> None:
    """Time an update of the digital baseline at batch 512 as plain PyTorch would make it, for `thermotorch-train`."""
    model = tt.create_model("ddpm", num_classes=10).to(bench.device)
    model.unet.to(memory_format=torch.channels_last)
    images = torch.rand(bench.size(512, 2), 1, 28, 28, device=bench.device)
    labels = torch.randint(10, (len(images),), device=bench.device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=not bench.dry)
    averaged = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9995)
    )

    def update() -> None:
        levels = torch.randint(1000, (len(images),), device=bench.device)
        with torch.autocast(bench.device, torch.bfloat16):
            loss = model.loss(images, torch.randn_like(images), levels, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        averaged.update_parameters(model)

    kinds = ("eager",) if bench.dry else ("eager", "torch.compile")
    for kind in kinds:
        if kind != "eager":
            model.unet.compile()
        row = bench.measure(f"an update of ddpm, batch {len(images)}, bf16, plain PyTorch, {kind}", update, repeats=20)
        row.notes["updates/s"] = round(1e3 / row.ms, 1)


def profile(bench: Bench) -> None:
    """Profile 200 steps."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    if bench.dry:
        return
    tables = []
    for units, precision in ((74, "tf32"), (1296, "bf16"), (1296, "tf32")):
        machine = Machine(units, 1024, bench.device)
        kernels.langevin(*machine.arguments(200, precision))
        with profiler(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            kernels.langevin(*machine.arguments(200, precision))
            torch.cuda.synchronize()
        table = seen.key_averages().table(sort_by="cuda_time_total", row_limit=12)
        tables.append(f"{units} units, 200 steps, {precision}\n{table}")
    (bench.folder / "profile.txt").write_text("\n\n".join(tables))


PARTS = {
    part.__name__: part
    for part in (
        alternating, chain, resident, large, actions, layer, splitting, baseline, compiled, memory, noise, tiles,
        profile,
    )
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.folder, options.dry)
    torch.manual_seed(SEED)
    for name in options.parts:
        bench.attempt(PARTS[name])
        verdicts = bench.write()  # what there is, should the time run out
    print("\n" + verdicts)
    sys.exit(1 if bench.failures else 0)


if __name__ == "__main__":
    main()
