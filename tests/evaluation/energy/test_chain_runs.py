"""The cycles of a chain: their heat is that of its samples, each obeys the first law, and ledgers add up."""

import pytest
import torch

from thermotorch.evaluation.energy.chain_runs import _stage_run, chain_runs
from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.evaluation.energy.thermodynamic import thermodynamic_ledgers
from thermotorch.models.generator.chain import ThermodynamicChain


@pytest.fixture
def chain() -> ThermodynamicChain:
    first = {"hidden": 5, "hidden_hidden": False, "num_classes": 3, "temperature": 0.1, "t_final": 1.0, "dt": 0.05,
             "integrator": "alternating"}  # fmt: skip
    torch.manual_seed(0)
    chain = ThermodynamicChain((1, 3, 3), first, angles=[60.0, 30.0], order=[0, 0, 1], hidden=7, temperature=0.1)
    for parameter in chain.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return chain.double()


def test_heat_is_that_of_the_samples(chain):
    runs = chain_runs(chain, 6, seed=2)
    assert list(runs) == ["first machine", "run 1, 60 degrees", "run 2, 60 degrees", "run 3, 30 degrees"]
    noising = sum(
        phase.heat.mean().item() / chain.temperature
        for phase in chain.phases(torch.arange(6), torch.arange(6) % 3, seed=2)
        if phase.name.startswith("noising")
    )
    heat = sum(run.heat for run in runs.values()) + noising
    assert heat == pytest.approx(chain.sample(6, seed=2).heat.mean().item(), rel=1e-6)


def test_first_law_over_the_cycle_of_a_stage(chain):
    """Heat and preparation are the work of switching, but for the image: its end is read, limited and loaded anew."""
    phases = [phase for phase in chain.phases(torch.arange(50), torch.arange(50) % 3, seed=3) if phase.name != "first"]
    runs = list(chain_runs(chain, 50, seed=3).values())[1:]
    for run, noising, phase in zip(runs, phases[::2], phases[1::2], strict=True):
        stage = chain.stage(int(phase.name.split()[1]))
        image = (stage.opened(phase.end) - stage.opened(noising.begin)).mean().item() / stage.temperature
        assert run.heat + run.preparation + image == pytest.approx(run.work_on + run.work_off, rel=1e-5)
        assert min(abs(run.heat), abs(run.work_on), abs(run.preparation)) > 1.0  # the identity is not one of zeros


def test_counts_are_those_of_the_stage(chain):
    run = chain_runs(chain, 4)["run 3, 30 degrees"]
    assert (run.units, run.read_units, run.inputs) == (9 + 7 + 9 + 3, 9, 9 + 3)
    assert run.couplings == 9 * 7 + 9 * 7 + 3 * 7 + 9
    stage = chain.stage(1)
    both = 2 * stage.potential.couplings.block("visible", "hidden").abs().sum()
    into = both + stage.held_hidden.abs().sum() + stage.held_visible.abs().sum() + stage.label_hidden.abs().sum()
    assert run.coupling_slope == pytest.approx(into.item(), rel=1e-6)


def test_ledgers_are_sums_over_the_machines(chain):
    runs = chain_runs(chain, 8, seed=1)
    for ledger in thermodynamic_ledgers("chain", chain, num_samples=8, seed=1):
        heat = ledger.line("heat of the trajectory")
        assert heat is not None and all(name in heat.note for name in runs)
    ideal = thermodynamic_ledgers("chain", chain, num_samples=8, seed=1)[0]
    kT = 1.380649e-23 * 300
    assert ideal.contributions[0].joule == pytest.approx(kT * sum(run.heat for run in runs.values()), rel=1e-6)
    assert ideal.contributions[1].joule == pytest.approx(kT * sum(run.preparation for run in runs.values()), rel=1e-6)


def test_a_contribution_that_one_part_lacks_is_lacking_in_the_sum():
    def ledger(joule: float, other: float | None) -> Ledger:
        kind = "unavailable" if other is None else "modelled"
        lines = (
            LedgerLine("one", joule, joule / 2, joule * 2, "modelled", "a source"),
            LedgerLine("other", other, None, None, kind, "a source"),
        )
        return Ledger("machine", "device", lines)

    whole = Ledger.sum({"first": ledger(1.0, 2.0), "second": ledger(3.0, None)})
    one, other = whole.lines
    assert (one.joule, one.low, one.high, one.note) == (4.0, 2.0, 8.0, "first 1 J; second 3 J")
    assert other.joule is None and whole.missing == ("other",)


def test_what_flows_in_a_stage_is_that_of_its_states(chain):
    """Power of couplings and biases is -x.(grad V - wells) of the units that move; nodes store x^2 / 2."""
    phases = list(chain.phases(torch.arange(6), torch.arange(6) % 3, seed=2, record=True))
    one_hot = torch.eye(3, dtype=torch.float64).repeat(2, 1)
    runs = list(chain_runs(chain, 6, seed=2).values())[1:]
    for run, phase in zip(runs, [phase for phase in phases if phase.name.startswith("stage")], strict=True):
        stage, moving = chain.stage(int(phase.name.split()[1])), phase.states.shape[-1]
        machine, kT, steps = stage.machine(), stage.temperature, len(phase.states) - 1
        clamped = torch.cat([phase.begin, one_hot], 1).expand(steps + 1, -1, -1)
        states = torch.cat([phase.states, clamped], -1)
        force = machine.on_site_gradient(states) - machine.gradient(states)
        power = (states * force)[..., :moving].sum(-1).mean(1)
        assert run.drive == pytest.approx(torch.trapezoid(power, dx=stage.dt).item() / kT, rel=1e-6)
        growth = (phase.states[-1] ** 2 - phase.states[0] ** 2).sum(-1).mean().item() / 2
        assert run.stored == pytest.approx(growth / kT, rel=1e-6)
        assert (run.run_time, run.noise_time) == (pytest.approx(steps * stage.dt), stage.noising_time)
        wells = 2 * machine.j2.abs() + 12 * machine.j4 * states.square().mean((0, 1))
        assert run.well_slope == pytest.approx(wells[:moving].sum().item(), rel=0.1)  # of every fourth state


def test_what_a_stage_gives_back_is_the_negative_work_of_single_samples(chain):
    """Not that of the mean: samples that take work do not pay for those that give it back."""
    *_, noising, phase = chain.phases(torch.arange(3), torch.arange(3), seed=2, record=True)
    stage, one_hot = chain.stage(1), torch.eye(3, dtype=torch.float64)
    assert phase.name == "stage 1" and phase.states is not None
    last = torch.cat([phase.states[-1], phase.begin, one_hot], -1)
    apart = stage.opened(phase.end) - stage.machine().energy(last)
    work, off = torch.tensor([-3.0, 7.0, -2.0]).double(), torch.tensor([8.0, -4.0, 1.0]).double()
    run = _stage_run(stage, noising, phase._replace(work=work, standby=off - apart), one_hot, 2)
    in_kT = [value * stage.temperature for value in (run.returned, run.work_on, run.work_off)]
    assert in_kT == pytest.approx([5 / 3 + 4 / 3, 2 / 3, 5 / 3])
