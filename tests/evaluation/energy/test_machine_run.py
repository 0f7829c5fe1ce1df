import pytest
import torch
from torch import nn

from thermotorch.evaluation.energy.machine_run import machine_run
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.generator.schedule import interaction


def machine(**options) -> ThermodynamicGenerator:
    settings = {
        "image_shape": (1, 3, 3),
        "hidden": 4,
        "temperature": 0.2,
        "t_final": 1.0,
        "dt": 0.01,
        "visible_bias": True,
    }
    model = ThermodynamicGenerator(**{**settings, **options}).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator))
    return model.double()


@pytest.mark.parametrize("options", [{}, {"num_classes": 2}, {"j2": {"visible": 0.5, "hidden": -0.5}}])
def test_first_law_over_a_cycle(options):
    """The supply pays for switching on and off exactly the heat that the bath receives over the cycle."""
    run = machine_run(machine(**options), num_samples=50, seed=3)
    assert run.heat + run.preparation == pytest.approx(run.work_on + run.work_off, rel=1e-5)
    assert abs(run.heat) > 1.0 and abs(run.preparation) > 1.0  # the identity is not one of zeros


def test_first_law_over_a_cycle_of_a_machine_with_a_die():
    """The die is never off, so that it switches nothing; its units alone take longer than the others to prepare."""
    model = machine(num_classes=4).with_die(amplitude=9.0, threshold=1.2, time=30.0)
    run = machine_run(model, num_samples=50, seed=3)
    assert run.heat + run.preparation == pytest.approx(run.work_on + run.work_off, rel=1e-5)
    assert (run.run_time, run.noise_time) == (1.0, pytest.approx(1.0 + 29.0 * 8 / 21))
    assert machine_run(machine(num_classes=4), num_samples=2).noise_time == 1.0


@pytest.mark.parametrize("gain", [[1.0, 1.0], [0.3, 0.6]])
def test_first_law_over_a_cycle_of_a_scheduled_machine(gain):
    """Switching on to the first gain and off from the last, and the turns of the knob between, are all of the work."""
    model = machine(schedule={"gain": gain})
    run = machine_run(model, num_samples=50, seed=3)
    assert run.heat + run.preparation == pytest.approx(run.work_on + run.work_off, rel=1e-5)
    start = model.start(50, seed=3)
    end = model.denoise(start, seed=3)
    on = gain[0] * interaction(model.potential, start) / model.temperature
    off = -gain[-1] * interaction(model.potential, end.state) / model.temperature
    turning = end.work / model.temperature
    assert (turning.abs().max() > 1) == (gain[0] != gain[1])
    assert run.work_on == pytest.approx((on + turning).mean().item(), rel=1e-6)
    assert run.work_off == pytest.approx(off.mean().item(), rel=1e-6)
    returned = sum(-work.clamp(max=0).mean().item() for work in (on, turning, off))
    assert run.returned == pytest.approx(returned, rel=1e-6)


def test_a_machine_without_couplings_spends_nothing_on_switching():
    model = machine(visible_bias=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    run = machine_run(model, num_samples=400, seed=1)
    assert (run.work_on, run.work_off, run.returned, run.coupling_slope, run.coupling_loss) == (0, 0, 0, 0, 0)
    assert run.heat == pytest.approx(-run.preparation, rel=1e-5)
    assert abs(run.heat) < 4 * run.heat_stderr + 0.2  # equilibrium before and after


def test_what_flows_back_is_at_least_what_the_mean_gives_back():
    run = machine_run(machine(), num_samples=50)
    assert run.returned >= max(0.0, -run.work_on) + max(0.0, -run.work_off) - 1e-9


def test_counts_and_slopes_are_those_of_the_potential():
    model = machine(num_classes=2)
    run = machine_run(model, num_samples=20)
    strength = model.potential.couplings.matrix()
    bonds = model.potential.couplings.mask().triu(1).nonzero()
    assert (run.units, run.read_units, run.inputs, run.couplings) == (15, 9, 2, len(bonds))
    into = sum(strength[i, j].abs().item() * (2 if j < 13 else 1) for i, j in bonds)  # none into the two labels
    assert run.coupling_slope == pytest.approx(into)


def test_coupling_loss_is_that_of_resistors_across_the_recorded_states():
    """sum over bonds of |J| <(x_i - x_j)^2> where J < 0 (a plain resistor), crossed where the bond repels."""
    model = machine(t_final=0.25)  # 25 records: every step is kept
    run = machine_run(model, num_samples=8, seed=2)
    states = model.denoise(model.start(8, seed=2), seed=2, record=1).states.flatten(0, 1)
    strength, loss = model.potential.couplings.matrix(), 0.0
    for i, j in model.potential.couplings.mask().triu(1).nonzero().tolist():
        across = states[:, i] + torch.sign(strength[i, j]) * states[:, j]
        loss += strength[i, j].abs() * across.square().mean()
    assert run.coupling_loss == pytest.approx(loss.item())
    wells = 2 * model.potential.j2.abs() + 12 * model.potential.j4 * states.square().mean(0)
    assert run.well_slope == pytest.approx(wells.sum().item())


@pytest.mark.parametrize(
    "options", [{}, {"num_classes": 2, "mobility": {"hidden": 2.0}}, {"schedule": {"gain": [2.0, 0.7]}}]
)
def test_noise_and_couplings_give_what_wells_take_and_nodes_store(options):
    """Tellegen's theorem, on average: the noise gives a unit mu kT in a unit of time."""
    model, n = machine(**options), 2000
    run = machine_run(model, num_samples=n, seed=2)
    labels = torch.arange(n) % 2 if model.num_classes else None
    start = model.start(n, seed=2, labels=labels)
    states = torch.cat([start[None], model.denoise(start, seed=2, record=1).states])
    moves = torch.arange(states.shape[-1]) < 13
    mobility = model.mobility.expand(states.shape[-1])[moves]
    taken = (states * model.potential.on_site_gradient(states))[..., moves] @ mobility.double()
    wells = torch.trapezoid(taken, dim=0) * model.dt / model.temperature
    noise = mobility.sum().item() * model.t_final
    spread = (wells.var().item() / n) ** 0.5
    assert run.stored == pytest.approx(noise + run.drive - wells.mean().item(), abs=5 * spread + 0.03 * noise)
    assert min(run.drive, wells.mean().item()) > 10 * spread  # both count
    growth = (states[-1] ** 2 - states[0] ** 2)[:, moves].sum(-1) / (2 * model.temperature)
    assert run.stored == pytest.approx(growth.mean().item(), rel=1e-6)


def test_heat_of_samples_at_hand_replaces_that_of_the_few():
    run = machine_run(machine(), num_samples=5, heat=torch.tensor([10.0, 30.0, 20.0, 20.0]))
    assert run.heat == 20.0
    assert run.heat_stderr == pytest.approx((200 / 3) ** 0.5 / 2)


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match="expected a thermodynamic generator, found a Linear"):
        machine_run(nn.Linear(2, 2))
