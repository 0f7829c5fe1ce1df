"""The second law for a chain of machines, whose held values and read-outs are feedback.

Every relaxation of a chain is one in constant couplings, with exact path weights. In the cycle from noise to a sample
and back to noise, all of it in baths,

    cycle = sum of log_ratio + (standby heat of the hidden units) / kT + (V_0(x_T) - V_0(x_0)) / kT

V_0 the energy of the visible units in the wells of the first machine. Without feedback <e^-cycle> would be 1. But the
held units know exactly where the visible ones start, and loading uses what was read, so that for one stage

    <e^-sigma> = gamma = integral dm p~(m | m),   <sigma> >= -ln gamma

with p~(v | m) the density at which the reversed run in the field of m ends at v. For one linear unit coupled to its
held value by d, with j2 = 1/2, gamma = 1 / |1 + d|.

Source: Sagawa and Ueda, PRL 104, 090602 (2010), for the efficacy gamma of feedback.
"""

import torch

from thermotorch.evaluation.physics.second_law import Dissipation
from thermotorch.models.generator.chain import ThermodynamicChain
from thermotorch.models.generator.noising import uncoupled


@torch.no_grad()
def chain_dissipation(
    model: ThermodynamicChain, num_samples: int, *, seed: int = 0, batch_size: int = 256
) -> Dissipation:
    """Simulate samples of a chain with the path weights of every relaxation.

    Args:
        model: the chain. Labels take their classes in turn.
        num_samples, seed, batch_size: the samples are those of `model.sample`.

    Returns:
        Heat and work of `Samples`, in multiples of the chain's kT; `work_off` of switching the last stage off, loading
        and standby included, so that heat + return to noise = work_on + work_off.

        Entropy and cycle are inf where a noisy pixel lies beyond the reach 1 / sqrt(4 dt) of a step, see `PathWeights`.

    Cost: that of the samples and about a tenth more on the CPU backend.
    """
    kT, first, parts = model.temperature, model.first, []
    wells = first.potential
    j2, j4 = (value.expand(wells.num_units)[first.visible] for value in (wells.j2, wells.j4))
    noise = uncoupled(len(j2), j2, j4).to(wells.bias)
    for ids in torch.arange(num_samples, device=wells.bias.device).split(batch_size):
        labels = ids % max(1, model.num_classes)
        heat = work = standby = entropy = cycle = torch.zeros(len(ids), dtype=torch.float64, device=ids.device)
        for phase in model.phases(ids, labels, seed=seed, weigh=True):
            if phase.name == "first":
                begin = noise.energy(phase.begin).double()
            heat, work, standby = heat + phase.heat, work + phase.work, standby + phase.standby
            assert phase.entropy is not None  # because of `weigh`
            entropy = entropy + phase.entropy
            cycle = cycle + phase.entropy + phase.standby / phase.temperature
        back = noise.energy(phase.end).double() - begin
        parts.append((heat / kT, entropy, work / kT, (heat + standby + back - work) / kT,
                      cycle + back / first.temperature))  # fmt: skip
    return Dissipation(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))
