"""An ideal linear stochastic processing unit, its read-out, and the error of a read-out.

    overdamped     dx = (f - A x) dt + N(0, 2 kT D dt)
    underdamped    dx = v dt,  m dv = (f - A x) dt - m gamma v dt + N(0, 2 m gamma kT dt)

An algorithm sees only reads of x. The simulation is exact for any interval between reads (`dynamics.linear`); it uses
the force, never the point where the drift vanishes. With `dt` it takes Euler-Maruyama steps instead, which multiply by
A and do not use its spectrum.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.arguments import count_of, number_of, real
from thermotorch.dynamics.linear.ornstein_uhlenbeck import OrnsteinUhlenbeck
from thermotorch.dynamics.noise import seed_or_fresh
from thermotorch.dynamics.underdamped import harmonic

Statistic = Callable[[Tensor], Tensor]  # reads [read, replica, unit] -> average over reads [replica, ...]

Process = Callable[[Tensor, int, float, int, int], Tensor]

_READS_AT_ONCE = 1 << 22  # elements of x held by a block of reads


class RelaxationWarning(UserWarning):
    """A run that is too short for its slowest mode, so that its standard errors are too small."""


class Estimate(NamedTuple):
    """Result of a run, and its cost."""

    value: Tensor
    stderr: Tensor  # from the spread of block averages, so that correlations between reads count
    time: float  # device time of the whole run, warm-up and all replicas, in the unit of 1 / A
    reads: int  # vectors read
    loads: int  # matrices programmed


@dataclass(frozen=True)
class Readout:
    """Read-out of a device. Times are in units of 1 / (mean diagonal entry of the loaded matrix).

    Args:
        reads: reads of each replica after the warm-up.
        interval: time between reads. Reads closer than a relaxation time are correlated and add little.
        warmup: time from x = 0 to the first read; by default a tenth of the time of all reads.
        replicas: number of devices side by side.
        blocks: number of block averages of each replica, whose spread gives the standard error. A block must be long
            against the slowest relaxation.

    """

    reads: int = 10_000
    interval: float = 1.0
    warmup: float | None = None
    replicas: int = 1
    blocks: int = 20

    def __post_init__(self) -> None:
        for name in ("reads", "replicas", "blocks"):
            object.__setattr__(self, name, count_of(name, getattr(self, name)))
        object.__setattr__(self, "interval", number_of("interval", self.interval, positive=True))
        if self.warmup is not None:
            object.__setattr__(self, "warmup", number_of("warmup", self.warmup))
        if self.blocks * self.replicas < 2:
            raise ValueError("blocks x replicas: expected at least 2, since their spread gives the standard error")
        if self.reads < 2 * self.blocks:
            raise ValueError(f"reads: expected at least two for each of {self.blocks} blocks, got {self.reads}")

    @property
    def start_up(self) -> float:
        """Return the warm-up, the default one included."""
        return 0.1 * self.reads * self.interval if self.warmup is None else self.warmup

    @property
    def duration(self) -> float:
        """Return the time of the run of one replica."""
        return self.start_up + self.reads * self.interval


@dataclass(frozen=True)
class Device:
    """A device and its simulation.

    Args:
        temperature: kT in the unit of the loaded energy x.A x / 2.
        inertia: True for an underdamped device of unit mass, False for an overdamped one of unit mobility.
        friction: gamma of an underdamped device, in units of the square root of the mean diagonal entry.
        dt: Euler-Maruyama step in units of 1 / (mean diagonal entry); None for exact transitions.
    """

    temperature: float = 1.0
    inertia: bool = False
    friction: float = 1.0
    dt: float | None = None

    def __post_init__(self) -> None:
        for name in ("temperature", "friction") if self.dt is None else ("temperature", "friction", "dt"):
            object.__setattr__(self, name, number_of(name, getattr(self, name), positive=True))
        if self.dt is not None and self.inertia:
            raise ValueError(f"dt: expected None, or a positive step of an overdamped device, got {self.dt}")

    def average(
        self,
        A: Tensor,
        statistic: Statistic,
        readout: Readout,
        *,
        force: Tensor | None = None,
        noise: Tensor | None = None,
        seed: int | None = None,
        first_sample: int = 0,
    ) -> tuple[Tensor, float]:
        """Return block averages [block, replica, ...] of a statistic from rest at x = 0, and the time of all replicas.

        Args:
            A: loaded drift [unit, unit].
            statistic: average over the reads [read, replica, unit] of a block, [replica, ...].
            readout: read-out.
            force: f [unit], by default zero.
            noise: D [unit, unit] of an overdamped device, by default the identity.
            seed: seed of the noise; None draws one from torch's global generator.
            first_sample: replica r has the noise of sample first_sample + r.

        Raises:
            FloatingPointError: the state grew without bound, since a mode of the loaded matrix does not relax.
        """
        units, seed = len(A), int(seed_or_fresh(seed))
        process, step = self.process(A, force, noise, first_sample), 0
        x = A.new_zeros(readout.replicas, units * (2 if self.inertia else 1))
        if readout.start_up:
            x, step = process(x, 1, readout.start_up, seed, 0)[-1], 1
        averages, size = [], readout.reads // readout.blocks
        for _ in range(readout.blocks):
            average, done = torch.zeros(()).to(A), 0
            while done < size:
                left, most = size - done, max(2, _READS_AT_ONCE // x.numel())
                count = left if left <= most + 1 else most  # no single read is left over, which has no pair
                reads = process(x, count, readout.interval, seed, step)
                if not torch.isfinite(reads).all() or reads.abs().max() > 1e100:
                    raise FloatingPointError(
                        "the state grew without bound: the loaded matrix has a mode that does not relax, "
                        "it is indefinite; check=True names it before a run"
                    )
                x, step, done = reads[-1], step + count, done + count
                average = average + count / size * statistic(reads[..., :units])
            averages.append(average)
        return torch.stack(averages), readout.replicas * readout.duration / A.diagonal().mean().item()

    def process(
        self, A: Tensor, force: Tensor | None = None, noise: Tensor | None = None, first_sample: int = 0
    ) -> Process:
        """Return the loaded device, a function (x, reads, interval, seed, first step) -> reads [read, replica, state].

        The interval is in units of 1 / (mean diagonal entry). A state is x, followed by v if there is inertia.
        """
        check_square("A", A)
        first_sample = count_of("first_sample", first_sample, 0)
        scale = A.diagonal().mean().item()
        if not scale > 0:
            raise ValueError(f"A: expected a positive mean diagonal entry, which sets the clock, got {scale:.3g}")
        if noise is not None and self.inertia:
            raise ValueError("noise: a device with inertia has the noise of its friction; use inertia=False")
        force = A.new_zeros(len(A)) if force is None else force.to(A) / scale
        kT = self.temperature / scale
        if self.inertia:
            process = harmonic(A / scale, temperature=kT, friction=self.friction, force=force)
        else:
            D = 2 * kT * (torch.eye(len(A)).to(A) if noise is None else noise.to(A))
            process = OrnsteinUhlenbeck(A / scale, D=D, force=force)

        def run(x: Tensor, reads: int, interval: float, seed: int, step: int) -> Tensor:
            ids = first_sample + torch.arange(len(x), device=x.device)
            if self.dt is not None:
                steps = max(1, round(interval / self.dt))
                law = process.euler_maruyama(interval / steps).power(steps)
                return law.run(x, reads, seed=seed, sample_ids=ids, start_step=step)
            times = interval * torch.arange(reads + 1, dtype=torch.float64)
            return process.sample(times, x, seed=seed, sample_ids=ids, start_step=step)[1:]

        return run


def check_square(name: str, A: Tensor) -> None:
    """Refuse anything but a square matrix of finite real numbers."""
    if real(name, A).dim() != 2 or A.shape[0] != A.shape[1] or not len(A):
        raise ValueError(f"{name}: expected a square matrix of floats, got {A.dtype} {tuple(A.shape)}")


def combine(blocks: Tensor, scale: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
    """Return mean and standard error of block averages [block, replica, ...], both times `scale`.

    Warns:
        RelaxationWarning: neighbouring blocks of a replica are correlated.
    """
    flat = blocks.flatten(0, 1)
    value = flat.mean(0)
    stderr = flat.std(0) / len(flat) ** 0.5
    if len(blocks) >= 8:
        centred = ((blocks - value) / flat.std(0).clamp_min(1e-300)).reshape(*blocks.shape[:2], -1)
        correlation = (centred[1:] * centred[:-1]).mean((0, 1))
        typical = correlation.median().item()
        noise = (1 / (len(blocks) * blocks.shape[1])) ** 0.5  # of one entry; entries are not independent
        if typical > 0.1 + 3 * noise:
            warnings.warn(
                f"block averages are correlated ({typical:.2f} from one to the next): the slowest mode is as slow as a "
                f"block, and standard errors are too small; raise reads or interval",
                RelaxationWarning,
                stacklevel=3,
            )
    scale = torch.as_tensor(scale).to(value)
    return value * scale, stderr * scale.abs()
