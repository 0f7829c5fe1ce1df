"""The second law of a chain: closed forms of one linear unit, and the cycle over many runs."""

from math import cos, log, pi, sin

import pytest
import torch

from tests.physics import assert_mean, assert_within
from thermotorch.evaluation.physics.chain_second_law import chain_dissipation
from thermotorch.models.generator.chain import ThermodynamicChain
from thermotorch.models.generator.stage import DenoisingStage

COUNT, KT, BIAS, LOADED = 20_000, 0.2, 0.1, 0.3


@pytest.fixture
def chain() -> ThermodynamicChain:
    first = {
        "hidden": 5, "hidden_hidden": False, "visible_bias": True, "num_classes": 3, "temperature": 0.05,
        "t_final": 2.0, "dt": 0.1, "j2": {"visible": 0.5, "hidden": -0.5}, "integrator": "alternating",
    }  # fmt: skip
    torch.manual_seed(0)
    chain = ThermodynamicChain((1, 3, 3), first, angles=[60.0, 30.0], order=[0, 0, 1], hidden=7)
    for parameter in chain.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return chain


def linear_stage(held: float) -> DenoisingStage:
    """One pixel in V = x^2 / 2 + b x + d m x, beside a hidden unit that is coupled to nothing; it keeps its law."""
    stage = DenoisingStage(1, 1, 0, angle=50.0, temperature=KT, t_final=12.0, dt=0.5, readout_time=0.5,
                           hidden_spread=KT**0.5).requires_grad_(False)  # fmt: skip
    stage.potential.j2.fill_(0.5)
    stage.potential.j4.fill_(0.0)
    stage.potential.couplings.set_block("visible", "hidden", torch.zeros(1, 1))
    stage.potential.bias.copy_(torch.tensor([BIAS, 0.0]))
    stage.held_visible.fill_(held)
    return stage


@pytest.mark.parametrize("held", [-0.6, -0.3, 0.5])
def test_heat_and_efficacy_of_a_held_value_are_the_closed_forms(held):
    """<heat> = <((1 + d) m + b)^2> / 2 - kT / 2, and <e^-sigma> = 1 / |1 + d| for any number of steps."""
    stage, ids = linear_stage(held), torch.arange(COUNT)
    noisy, _ = stage.noised(torch.full((COUNT, 1), LOADED), seed=1, sample_ids=ids, step=0)
    draw = stage.draw(noisy, None, seed=1, sample_ids=ids, start_step=0, noise_step=1, weigh=True)
    mean, variance = LOADED * cos(stage.angle), (0.75 * sin(stage.angle)) ** 2
    pull = (1 + held) * noisy[:, 0] + BIAS
    heat = (((1 + held) * mean + BIAS) ** 2 + (1 + held) ** 2 * variance - KT) / 2
    assert_within(draw.heat.mean(), heat, draw.heat.std() / COUNT**0.5, 4)
    torch.testing.assert_close(draw.entropy.float(), draw.heat / KT, rtol=1e-3, atol=1e-3)  # linear: at any step

    # The reversed runs start from equilibrium in the field of m, that of the hidden unit being its own.
    hidden = stage.hidden_start(ids, seed=1, step=1)[:, 0]
    begin = -((noisy[:, 0] - mean) ** 2 / variance + log(2 * pi * variance) + hidden**2 / KT) / 2
    settled = draw.state[:, 0] + held * noisy[:, 0] + BIAS
    end = -(settled**2 / KT + log(2 * pi * KT) + draw.state[:, 1] ** 2 / KT) / 2
    sigma = draw.entropy + begin - end
    assert pull.abs().max() > 0.5
    assert_mean(torch.exp(-sigma), 1 / abs(1 + held), 4)
    assert sigma.mean() > log(abs(1 + held)) + 4 * sigma.std() / COUNT**0.5


def test_books_of_a_cycle_close_and_their_samples_are_those_of_the_chain(chain):
    samples, found = chain.sample(6, seed=3), chain_dissipation(chain, 6, seed=3, batch_size=4)
    torch.testing.assert_close(found.heat.float(), samples.heat, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found.work_on.float(), samples.work, rtol=1e-5, atol=1e-4)
    # Switching the last stage off at its end, and opening the wells of hidden units after every run, is the other work.
    ids, kT = torch.arange(6), chain.temperature
    *between, last = list(chain.phases(ids, ids % 3, seed=3))
    opened = sum(phase.standby for phase in [*between, last])
    wells = 0.5 * last.end**2 + last.end**4
    start = chain.first.start(6, seed=3, sample_ids=ids, labels=ids % 3)
    hidden = start[:, chain.first.hidden]
    energy = samples.work * kT - samples.heat * kT + (0.5 * start[:, :9] ** 2 + start[:, :9] ** 4).sum(-1)
    energy = energy + (-0.5 * hidden**2 + hidden**4).sum(-1)  # of the last stage at its end, by the first law
    off = wells.sum(-1) + opened + (-0.5 * hidden**2 + hidden**4).sum(-1) - energy
    torch.testing.assert_close(found.work_off.float() * kT, off, rtol=1e-4, atol=1e-3)


def test_a_cycle_adds_standby_and_the_way_back_in_the_wells_to_the_entropy_of_the_runs(chain):
    """Each in kT of its own bath: 0.05 in the first machine, 0.03 in the stages."""
    found, ids = chain_dissipation(chain, 5, seed=3, batch_size=2), torch.arange(5)
    phases = list(chain.phases(ids, ids % 3, seed=3, weigh=True))
    # Paths in float32, here in one batch, whose entropies are differences of energies over kT.
    torch.testing.assert_close(found.entropy, sum(phase.entropy for phase in phases), rtol=1e-5, atol=1e-3)
    baths = [0.05, *[0.03] * 6]
    standby = sum(phase.standby.double() / kT for phase, kT in zip(phases, baths, strict=True))
    begin, end = phases[0].begin.double(), phases[-1].end.double()
    back = (0.5 * (end**2 - begin**2) + end**4 - begin**4).sum(-1) / 0.05
    assert min(standby.abs().min(), back.abs().min()) > 0.1
    torch.testing.assert_close(found.cycle, found.entropy + standby + back, rtol=1e-5, atol=1e-3)


def test_entropy_of_a_cycle_is_positive_over_many_runs(chain):
    """In steps whose reach, 1 / sqrt(4 dt), holds every noisy image; at coarser ones some have no way back."""
    fine = ThermodynamicChain(**{**chain.config, "dt": 0.015})
    fine.load_state_dict(chain.state_dict())
    found = chain_dissipation(fine, 2000, seed=1, batch_size=1000)
    assert found.cycle.mean() > 10 * found.cycle.std() / 2000**0.5
    assert torch.isinf(chain_dissipation(chain, 2000, seed=1, batch_size=1000).cycle).any()
