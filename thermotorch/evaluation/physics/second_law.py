"""The second law for one generator: the dissipation of a sample, and its reversible bound.

A cycle of a machine in a bath at kT: switch couplings and biases on at the noise x_0, relax to the sample x_T, switch
off, relax back to noise. V is the machine's potential, V_0 that of the wells alone, F_0 the free energy of the wells,
p_0 their Boltzmann law and that of the noise, p_T the law of the samples, S its entropy, F_T = <V> - kT S.

    cycle = log_ratio + (V_0(x_T) - V_0(x_0)) / kT   entropy produced per sample, in units of k
    <e^(-cycle)> = 1                                 exact for the discrete path, at any step and under any schedule
    <cycle> = produced + KL(p_T || p_0)              on the way to the sample, and back to noise
    kT produced = <work of switching on> - (F_T - F_0)
    kT KL(p_T || p_0) = <work of switching off> + (F_T - F_0)

The last line is the reversible bound, the least work that turns noise into such samples. F_T, equal to the free energy
F of V for samples in equilibrium, is bounded from below by switching off slowly: F_T - F_0 >= -<work of a ramp>. The
first line is `PathWeights` with the boundary term ln p_0(x_0) - ln p_0(x_T); the last two hold up to the time step.

Sources: Seifert, Rep. Prog. Phys. 75, 126001 (2012), for the integral fluctuation theorem with any final density;
Esposito and Van den Broeck, EPL 95, 40004 (2011), for the second law between states out of equilibrium.
"""

from functools import partial
from math import hypot
from typing import NamedTuple

import torch
from torch import Tensor

from thermotorch.dynamics import PathWeights
from thermotorch.evaluation.energy.machine_run import noise_of
from thermotorch.evaluation.estimate import Estimate, mean_of
from thermotorch.evaluation.physics.fluctuation import jarzynski
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.generator.schedule import Segment, run_program
from thermotorch.zoo.rows import Row


class Dissipation(NamedTuple):
    """Energies in kT and entropies in k of each sample, float64 [sample]."""

    heat: Tensor  # given to the bath on the way to the sample
    entropy: Tensor  # the same in units of k, exact for the discrete path: its log ratio
    work_on: Tensor  # of switching on, and of turning the gain of a schedule
    work_off: Tensor  # of switching off at the sample
    cycle: Tensor  # entropy produced in a whole cycle


class FreeEnergyBounds(NamedTuple):
    """Free energy of the machine above that of the wells, in multiples of kT, from slow ramps of the gain.

    low <= (F_T - F_0) / kT and (F - F_0) / kT <= high, by the second law; F <= F_T, equal in equilibrium.
    """

    low: Estimate  # minus the mean work of ramping down from samples
    high: Estimate  # mean work of ramping up from noise
    estimate: Estimate  # F - F_0 by Jarzynski's equality; its error is far too small if the work spreads over many kT


@torch.no_grad()
def dissipation(
    model: ThermodynamicGenerator, num_samples: int, *, seed: int = 0, batch_size: int = 256
) -> Dissipation:
    """Simulate samples with the path weights of every run.

    Args:
        model: machine whose integrator has path weights, see `PathWeights`. Labels take their classes in turn.
        num_samples, seed, batch_size: arguments of `model.sample`, which gives the same samples.

    Raises:
        ValueError: an integrator without path weights.

    Cost: that of the samples and about a tenth more on the CPU backend; elsewhere several times as much.
    """
    potential, kT, parts = model.potential, model.temperature, []
    observers = {"weights": PathWeights(potential)}
    for ids in torch.arange(num_samples, device=potential.bias.device).split(batch_size):
        start = noise_of(model, ids, seed)
        run = model.denoise(start, seed=seed, sample_ids=ids, observers=observers)
        wells = model.resting()
        on = model.segments[0].gain * model.interaction(start) + run.work
        off = -model.segments[-1].gain * model.interaction(run.state)
        entropy = run.observed["weights"].log_ratio
        back = (wells.energy(run.state) - wells.energy(start)).double() / kT
        parts.append((run.heat.double() / kT, entropy, on.double() / kT, off.double() / kT, entropy + back))
    return Dissipation(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))


@torch.no_grad()
def free_energy_bounds(
    model: ThermodynamicGenerator, num_samples: int, *, gains: int = 500, hold: int = 5, seed: int = 0
) -> FreeEnergyBounds:
    """Bound the free energy of switching the machine on from both sides; slower ramps tighten the bounds.

    Args:
        model: machine without a schedule.
        num_samples: number of ramps in each direction.
        gains, hold: number of equal steps of couplings and biases, and time steps for which each is held.
        seed: seed of noise, samples and ramps.

    Raises:
        ValueError: a scheduled machine, which has no single potential.

    Cost: num_samples x 2 x gains x hold time steps; at the defaults and 100 samples about 20 s on one core for
    784 + 512 units, where the bounds of generator.mnist differ by 3 %.
    """
    if len(model.segments) > 1:
        raise ValueError("model: a scheduled machine has no single potential; give one whose schedule is None")
    model = model.without_die()  # whose couplings would not follow the gain
    kT, ids = model.temperature, torch.arange(num_samples, device=model.potential.bias.device)
    start = noise_of(model, ids, seed)
    samples = model.denoise(start, seed=seed, sample_ids=ids).state
    levels = [number / gains for number in range(gains + 1)]

    def ramp(state: Tensor, levels: list[float], seed: int) -> Tensor:
        program = [Segment(i * hold, (i + 1) * hold, kT, level) for i, level in enumerate(levels)]
        run = run_program(
            model.potential, program, state, first=0, last=len(levels) * hold, seed=seed, sample_ids=ids, dt=model.dt,
            mobility=model.mobility, integrator=model.integrator, clamp=model.held(),
        )  # fmt: skip
        return run.work / kT

    up, down = ramp(start, levels, seed + 1), ramp(samples, levels[::-1], seed + 2)
    return FreeEnergyBounds(mean_of(-down), mean_of(up), jarzynski(up, 1.0))


def second_law_rows(samples: Dissipation, bounds: FreeEnergyBounds | None, seed: int, command: str = "") -> list[Row]:
    """Return the mean entropies and work of switching off, and with `bounds` the limits that follow from them."""
    n, steps = len(samples.heat), "exact for the discrete path"
    row = partial(Row, num_samples=n, seed=seed, kind="modelled", command=command)
    heat, entropy, off, cycle = (mean_of(x) for x in (samples.heat, samples.entropy, samples.work_off, samples.cycle))
    apart = mean_of(samples.heat - samples.entropy)
    beside = f"heat is {heat.value:.6g} kT, more by {apart.value:.3g} +- {apart.stderr:.2g}"
    rows = [
        row("entropy given to the bath", entropy.value, "k per sample", stderr=entropy.stderr,
            note=f"{steps}; {beside}"),
        row("work of switching off", off.value, "kT per sample", stderr=off.stderr,
            note="couplings and biases, at the sample"),
        row("entropy produced in a cycle", cycle.value, "k per sample", stderr=cycle.stderr,
            note=f"{steps}; noise, sample, and back to noise, which is taken to be in equilibrium"),
    ]  # fmt: skip
    if bounds is None:
        return rows
    on, low, high = mean_of(samples.work_on), bounds.low, bounds.high
    ramps = f"up to the time step, by ramps of the gain: {low.value:.6g} +- {low.stderr:.2g} kT down from samples"
    return rows + [
        row("free energy of switching on, at most", high.value, "kT", stderr=high.stderr,
            note=f"{ramps}, which is the least it can be for samples in equilibrium"),
        row("entropy produced by a sample, at most", on.value - low.value, "k per sample",
            stderr=hypot(on.stderr, low.stderr),
            note=f"work of switching on less the gain in free energy, {ramps}"),
        row("reversible bound of a sample, at least", off.value + low.value, "kT per sample",
            stderr=hypot(off.stderr, low.stderr),
            note=f"least work that turns noise into samples of this law, {ramps}"),
    ]  # fmt: skip
