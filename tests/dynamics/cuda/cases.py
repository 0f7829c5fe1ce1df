"""One random machine as the operator's arguments, and the same run by the reference backend in float64."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

import thermotorch as tt
from thermotorch.dynamics.noise import Stream, seed_bits
from thermotorch.dynamics.operators import langevin as op
from thermotorch.dynamics.operators.arguments import Langevin, Timeline


def listed(arguments: Timeline) -> list:
    """Return the arguments of an operator in their order."""
    return list(vars(arguments).values())


def changed(arguments: list, **others) -> list:
    """Return the arguments of `thermotorch::langevin` with some replaced by name."""
    return listed(replace(Langevin(*arguments), **others))


@dataclass
class Case:
    units: int
    batch: int
    steps: int
    integrator: str = "euler_maruyama"
    record: int = 0
    keep: int = 0
    start_step: int = 0
    seed: int = 5
    drive: str | None = None  # "unit", "sample", "step", "step and sample"
    clamped: int = 0
    first_sample: int = 0
    shuffled: bool = False
    precision: str = "ieee"
    coupling: float = 0.2
    dt: float = 1e-2
    temperature: float = 0.3  # not a half, of which twice is one
    stream: int = int(Stream.DATA)  # not the one of value 0
    groups: tuple[int, ...] = ()  # sizes of groups of units, and which are coupled; without groups all units are
    pairs: tuple[tuple[int, int], ...] = ()
    wells: bool = False  # every second j2 negative, every third unit without a quartic term, larger cubic ones

    def __post_init__(self) -> None:
        draw = torch.Generator().manual_seed(self.units)
        n, b = self.units, self.batch

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=draw, dtype=torch.float64)

        def positive(*shape: int) -> Tensor:
            return 0.5 + torch.rand(shape, generator=draw, dtype=torch.float64)

        upper = (self.coupling * normal(n, n)).triu(1)
        self.couplings, self.bias = (upper + upper.T) * self.topology().mask(), normal(n)
        self.j2, self.j3, self.j4, self.mobility = positive(n), 0.1 * normal(n), positive(n), positive(n)
        if self.wells:
            self.j2[::2] *= -1
            self.j4[::3] = 0.0
            self.j3 = torch.where(self.j4 > 0, 5 * self.j3, 0.0)
        self.clamp = torch.arange(n) < self.clamped
        self.state = normal(b, n)
        shape = {
            None: None, "unit": (1, 1, n), "sample": (1, b, n), "step": (self.steps, 1, n),
            "step and sample": (self.steps, b, n),
        }[self.drive]  # fmt: skip
        self.force = None if shape is None else normal(*shape)
        self.sample_ids = self.first_sample + torch.arange(b)
        if self.shuffled:
            self.sample_ids = torch.randperm(2 * b, generator=draw)[:b]

    def topology(self) -> tt.BlockCouplings | tt.DenseCouplings:
        """Return couplings of value zero, float64."""
        if not self.groups:
            return tt.DenseCouplings(self.units).double()
        assert sum(self.groups) == self.units
        groups = {str(i): size for i, size in enumerate(self.groups)}
        return tt.BlockCouplings(groups, [(str(a), str(b)) for a, b in self.pairs]).double()

    def arguments(self, device: str) -> list:
        """Return the arguments of `thermotorch::langevin`."""

        def put(tensor: Tensor) -> Tensor:
            return tensor.to(device, torch.float32)

        pieces = self.topology().load_matrix(self.couplings).pieces() if self.groups else [(0, 0, self.couplings)]
        blocks, rows, columns = op.placed(pieces)
        return listed(Langevin(
            state=put(self.state), sample_ids=self.sample_ids.to(device), steps=self.steps, seed=seed_bits(self.seed),
            start_step=self.start_step, stream=self.stream, record=self.record, keep=self.keep,
            precision=self.precision,
            drive=None if self.force is None else put(self.force),
            blocks=[put(block.detach()) for block in blocks], rows=rows, columns=columns,
            bias=put(self.bias), j2=put(self.j2), j3=put(self.j3), j4=put(self.j4),
            mobility=put(self.mobility.masked_fill(self.clamp, 0.0)), dt=self.dt, temperature=self.temperature,
            integrator=self.integrator,
        ))  # fmt: skip

    def reference(self) -> tuple[tt.Potential, Tensor, Tensor | None, tt.dynamics.Trajectory]:
        """Return differentiable potential, start and force, and the run from them."""
        potential = tt.Potential(
            self.topology().load_matrix(self.couplings), self.j2, self.j3, self.j4, self.bias
        ).double()  # fmt: skip
        state = self.state.clone().requires_grad_()
        force = None if self.force is None else self.force.clone().requires_grad_()

        def drive(step: int) -> Tensor:
            now = force[(step - self.start_step) % len(force)]
            return now.expand(self.batch, self.units)

        run = tt.simulate(
            potential, state, steps=self.steps, dt=self.dt, temperature=self.temperature, mobility=self.mobility,
            seed=self.seed, sample_ids=self.sample_ids, drive=None if force is None else drive, clamp=self.clamp,
            integrator=self.integrator, record=self.record or None, start_step=self.start_step,
            stream=self.stream, backend="reference",
        )  # fmt: skip
        return potential, state, force, run


def rms_ratio(found: Tensor, expected: Tensor) -> float:
    return ((found.cpu().double() - expected).norm() / expected.norm()).item()
