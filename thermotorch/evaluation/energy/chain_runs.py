"""The cycles of a chain of machines in reduced units: its first machine's, and one for every run of a stage."""

from math import degrees

import torch
from torch import Tensor, nn

from thermotorch.evaluation.energy.machine_run import MachineRun, drive, machine_run, slopes
from thermotorch.evaluation.estimate import mean_of
from thermotorch.models.generator.chain import Phase, ThermodynamicChain
from thermotorch.models.generator.stage import DenoisingStage

_SPACING = 4  # steps between the states that second moments are averaged over


@torch.no_grad()
def chain_runs(model: ThermodynamicChain, num_samples: int = 64, seed: int = 0) -> dict[str, MachineRun]:
    """Simulate a chain and return the averages that device models price, by machine in running order.

    For each sample a stage loads the pixels of the image before it and the labels (`inputs`), turns the image to noise
    (`preparation`, with the heat of its hidden units on their way back to noise), runs, and is read. Energies are in
    multiples of its own kT. A stage that runs twice is listed twice, as hardware with one place for couplings would
    have to load it twice.

    Args:
        model: the chain.
        num_samples, seed: number of simulated samples, and their seed.

    Cost: `num_samples` samples, and the memory for all states of a stage, 4 bytes x steps x units x samples.
    """
    runs = {"first machine": machine_run(model.first, num_samples, seed)}
    ids = torch.arange(num_samples, device=model.first.potential.bias.device)
    labels = ids % max(1, model.num_classes)
    one_hot = nn.functional.one_hot(labels, model.num_classes) if model.num_classes else ids.new_zeros(num_samples, 0)
    noising: Phase | None = None
    for phase in model.phases(ids, labels, seed=seed, record=True):
        kind, _, number = phase.name.partition(" ")
        if noising is not None and kind == "stage":
            stage = model.stage(int(number))
            runs[f"run {len(runs)}, {degrees(stage.angle):.0f} degrees"] = _stage_run(
                stage, noising, phase, one_hot, seed
            )
        noising = phase
    return runs


def _stage_run(stage: DenoisingStage, noising: Phase, phase: Phase, one_hot: Tensor, seed: int) -> MachineRun:
    assert phase.states is not None  # recorded
    machine, kT, pixels = stage.machine(), stage.temperature, phase.begin.shape[1]
    clamped = torch.cat([phase.begin, one_hot.to(phase.begin)], 1)
    states = torch.cat([phase.states, clamped.expand(len(phase.states), -1, -1)], -1)
    moves = torch.ones_like(states[0, 0])
    moves[phase.states.shape[-1] :] = 0.0
    off = stage.opened(phase.end) - machine.energy(states[-1]) + phase.standby
    heat, stderr = mean_of(phase.heat / kT)
    return MachineRun(
        heat=heat,
        heat_stderr=stderr,
        preparation=(noising.heat + phase.standby).double().mean().item() / kT,
        work_on=phase.work.double().mean().item() / kT,
        work_off=off.double().mean().item() / kT,
        returned=-sum(work.clamp(max=0).double().mean().item() for work in (phase.work, off)) / kT,
        units=machine.num_units,
        read_units=pixels,
        inputs=clamped.shape[1],
        couplings=machine.couplings.num_bonds,
        biases=int((machine.bias != 0).sum()),
        temperature=kT,
        run_time=stage.steps * stage.dt,
        noise_time=stage.noising_time,
        drive=drive(machine, states, moves, stage.steps * stage.dt, [1.0] * len(states)) / kT,
        stored=((states[-1] ** 2 - states[0] ** 2) @ moves).double().mean().item() / (2 * kT),
        **slopes(machine, states[1::_SPACING], moves),
        num_samples=len(one_hot),
        seed=seed,
    )
