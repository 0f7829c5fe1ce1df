"""The second law of whole generators, on machines of linear units, where all of it is known in closed form."""

import pytest
import torch

import thermotorch as tt
from tests.physics import assert_mean, assert_within
from thermotorch.evaluation.estimate import Estimate, mean_of
from thermotorch.evaluation.physics import second_law
from thermotorch.evaluation.physics.free_energy import independent_free_energy, quadratic_free_energy
from thermotorch.evaluation.physics.second_law import (
    Dissipation,
    FreeEnergyBounds,
    dissipation,
    free_energy_bounds,
    second_law_rows,
)
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.generator.noising import uncoupled


def machine(scale: float = 0.07, **config) -> ThermodynamicGenerator:
    """Four linear units in two groups, relaxation time 0.5, in coarse steps of 0.25 that keep the Boltzmann law."""
    settings = {"hidden": 2, "hidden_hidden": False, "j4": 0.0, "t_final": 5.0, "dt": 0.25, "integrator": "alternating"}
    model = ThermodynamicGenerator((1, 1, 2), **{**settings, **config})
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for bonds in model.potential.couplings.parameters():
            bonds.copy_(4 * scale * torch.randn(bonds.shape, generator=generator))
        model.potential.bias[model.hidden] = scale * torch.tensor([1.0, -1.5])
    return model


@pytest.mark.parametrize("schedule", [None, {"gain": [0.5, 1.2]}])
def test_samples_are_those_of_the_model_with_the_same_heat_and_work(schedule):
    """And at one temperature the entropy of a cycle is its work."""
    model = machine(schedule=schedule)
    samples, found = model.sample(6, seed=3), dissipation(model, 6, seed=3, batch_size=4)
    torch.testing.assert_close(found.heat.float(), samples.heat)
    torch.testing.assert_close(found.work_on.float(), samples.work)
    torch.testing.assert_close(found.entropy, found.heat, rtol=1e-4, atol=1e-4)  # linear units: to rounding, in float32
    torch.testing.assert_close(found.cycle, found.work_on + found.work_off, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "config", [{}, {"schedule": {"gain": [0.5, 1.2], "temperature": [1.5, 0.8]}}, {"num_classes": 2}]
)
def test_entropy_of_a_cycle_obeys_the_integral_fluctuation_theorem(config):
    """<exp(-cycle)> = 1 for an autonomous machine, a scheduled one, and one that is told its class."""
    found = dissipation(machine(**config), 20_000, seed=1, batch_size=10_000)
    assert found.cycle.std() > 0.3 and found.cycle.mean() > 4 * found.cycle.std() / 20_000**0.5
    assert_mean(torch.exp(-found.cycle), 1.0, 4)


def test_bounds_hold_and_close_on_the_closed_form():
    """The machine reaches equilibrium: F_T = F; KL(p_T || p_0) and what switching on wastes are of normal laws."""
    model, n = machine(0.1), 4000
    kT, wells = model.temperature, uncoupled(4, 1.0, 0.0)
    truth = (quadratic_free_energy(model.potential, kT) - independent_free_energy(wells, kT)) / kT
    found = dissipation(model, n, seed=1, batch_size=n)
    bounds = free_energy_bounds(model, n, gains=40, hold=2, seed=5)
    assert bounds.low.value - 4 * bounds.low.stderr < truth < bounds.high.value + 4 * bounds.high.stderr
    assert bounds.high.value - bounds.low.value < 0.15 * abs(truth)
    assert_within(torch.tensor(bounds.estimate.value), truth, bounds.estimate.stderr, 4)

    matrix = (model.potential.couplings.matrix() + 2 * torch.eye(4)).detach().double()
    covariance = torch.linalg.inv(matrix)
    mean = -covariance @ model.potential.bias.detach().double()
    # KL of that normal law from the noise's, of variance kT / 2.
    divergence = covariance.diagonal().sum() + (mean @ mean) / kT - 2 - 0.5 * torch.logdet(2 * covariance)
    divergence = divergence.item()
    waste = -truth  # switching on does no work on average, since noise has mean zero and independent units
    assert waste > 0.15 and divergence > 0.15
    rows = {row.metric: row for row in second_law_rows(found, bounds, seed=1)}
    least, most = rows["reversible bound of a sample, at least"], rows["entropy produced by a sample, at most"]
    assert 0.8 * divergence < least.value < divergence + 4 * least.stderr
    assert waste - 4 * most.stderr < most.value < 1.2 * waste
    whole = rows["entropy produced in a cycle"]
    assert_within(torch.tensor(whole.value), waste + divergence, whole.stderr, 4)


def test_bounds_of_a_machine_that_is_told_its_class_hold_for_the_label_it_is_held_at():
    """A held label is a bias on the others; the bounds are averages over the classes."""
    model, n = machine(0.1, num_classes=2), 4000
    matrix, kT, bias = model.potential.couplings.matrix().detach(), model.temperature, model.potential.bias.detach()[:4]
    told = [
        tt.Potential(tt.DenseCouplings.from_matrix(matrix[:4, :4]), 1.0, 0.0, 0.0, bias + label)
        for label in matrix[4:, :4]
    ]
    wells = independent_free_energy(uncoupled(4, 1.0, 0.0), kT)
    truth = sum(quadratic_free_energy(potential, kT) - wells for potential in told) / (2 * kT)
    bounds = free_energy_bounds(model, n, gains=80, hold=2, seed=5)
    assert bounds.low.value - 4 * bounds.low.stderr < truth < bounds.high.value + 4 * bounds.high.stderr
    assert bounds.high.value - bounds.low.value < 0.15 * abs(truth)


def test_rows_without_bounds_and_a_scheduled_machine():
    scheduled = machine(schedule={"gain": [0.5, 1.0]})
    with pytest.raises(ValueError, match="scheduled machine has no single potential"):
        free_energy_bounds(scheduled, 4)
    rows = second_law_rows(dissipation(scheduled, 4), None, seed=0, command="how")
    metrics = ["entropy given to the bath", "work of switching off", "entropy produced in a cycle"]
    assert [row.metric for row in rows] == metrics
    assert all(row.kind == "modelled" and row.command == "how" and row.num_samples == 4 for row in rows)


def test_an_integrator_without_path_weights_is_refused():
    with pytest.raises(ValueError, match="no transition density"):
        dissipation(machine(integrator="heun"), 2)


def made(values, count=4):
    """A value in each field that no other has, with a scatter of its own."""
    spread = torch.tensor([-1.5, -0.5, 0.5, 1.5], dtype=torch.float64)[:count]
    return Dissipation(*(value + (k + 1) * spread for k, value in enumerate(values)))


def test_every_row_is_the_mean_of_its_quantity_with_the_errors_of_what_it_is_made_of():
    found = made([100.0, 90.0, 70.0, 50.0, 30.0])
    bounds = FreeEnergyBounds(Estimate(-20.0, 0.3), Estimate(-10.0, 0.4), Estimate(-15.0, 0.1))
    rows = {row.metric: row for row in second_law_rows(found, bounds, seed=7, command="how")}
    error = [mean_of(field).stderr for field in found]
    assert {metric: (row.value, row.unit) for metric, row in rows.items()} == {
        "entropy given to the bath": (90.0, "k per sample"), "work of switching off": (50.0, "kT per sample"),
        "entropy produced in a cycle": (30.0, "k per sample"),
        "free energy of switching on, at most": (-10.0, "kT"),
        "entropy produced by a sample, at most": (90.0, "k per sample"),
        "reversible bound of a sample, at least": (30.0, "kT per sample"),
    }  # fmt: skip
    assert [row.stderr for row in rows.values()] == pytest.approx(
        [error[1], error[3], error[4], 0.4, (error[2] ** 2 + 0.09) ** 0.5, (error[3] ** 2 + 0.09) ** 0.5]
    )
    assert {(row.num_samples, row.seed, row.kind, row.command) for row in rows.values()} == {(4, 7, "modelled", "how")}
    apart = mean_of(found.heat - found.entropy)
    told = f"heat is 100 kT, more by {apart.value:.3g} +- {apart.stderr:.2g}"
    assert told in rows["entropy given to the bath"].note
    limits = [row for metric, row in rows.items() if " at " in metric]
    assert len(limits) == 3 and all("-20 +- 0.3 kT down from samples" in row.note for row in limits)


def test_ramps_start_from_other_noise_than_each_other_and_than_the_samples(monkeypatch):
    """And go through all gains from nothing to all and back, each held for so many steps."""
    asked, run = [], second_law.run_program

    def seen(potential, program, state, **settings):
        asked.append((program, settings["seed"], settings["last"], settings["sample_ids"].tolist()))
        return run(potential, program, state, **settings)

    monkeypatch.setattr(second_law, "run_program", seen)
    model = machine()
    free_energy_bounds(model, 3, gains=4, hold=2, seed=5)
    (up, first, last, ids), (down, second, _, _) = asked
    assert (first, second, last, ids) == (6, 7, 10, [0, 1, 2])
    assert [part.gain for part in up] == [0.0, 0.25, 0.5, 0.75, 1.0] == [part.gain for part in down][::-1]
    assert [(part.first, part.last) for part in up] == [(2 * k, 2 * k + 2) for k in range(5)]
    assert {part.temperature for part in up} == {model.temperature}
