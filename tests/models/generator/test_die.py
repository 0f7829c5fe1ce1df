"""Tests of the die, by which an autonomous machine draws its own class."""

import pytest
import torch

from thermotorch.circuit.machine import analog_machine
from thermotorch.dynamics import simulate
from thermotorch.models.generator.chain import ThermodynamicChain
from thermotorch.models.generator.die import ClassDie
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.page.description import describe
from thermotorch.training.observation_module import ObservationTimeModule

SMALL = {
    "image_shape": (1, 4, 4), "hidden": 6, "hidden_hidden": False, "visible_bias": True, "num_classes": 10,
    "temperature": 0.045, "t_final": 8.0, "dt": 0.1, "j2": {"visible": 0.5, "hidden": -0.5},
    "integrator": "alternating", "readout_time": 0.5, "display_range": (-0.75, 0.75),
}  # fmt: skip


def machine(**config) -> ThermodynamicGenerator:
    model = ThermodynamicGenerator(**SMALL | config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for bonds in model.potential.couplings.parameters():
            bonds.normal_(0.0, 0.3, generator=generator)
        model.potential.bias[: model.hidden.stop].normal_(0.0, 0.3, generator=generator)
    return model


def test_mediators_at_rest_leave_the_energy_of_the_docstring():
    die = ClassDie(10, amplitude=3.0, inhibition=0.2, threshold=5.0)
    x = torch.randn(50, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    potential = die.potential().double()
    # The energy is quadratic in the mediators: one Newton step from zero is at their least. Coefficients are float32:
    # forces of 10 are off by some 1e-7 of that, and energies of hundreds by 1e-5.
    state = torch.cat([x, torch.zeros_like(x)], 1)
    state[:, 10:] -= potential.gradient(state)[:, 10:] / (2 * potential.j2[10:])
    assert torch.allclose(potential.gradient(state)[:, 10:], torch.zeros_like(x), atol=1e-6)
    expected = (x**4 / (4 * 9.0) - x**2 / 2).sum(1) + 0.2 * ((x.sum(1) + 5.0 * 3.0) ** 2 - (5.0 * 3.0) ** 2)
    assert torch.allclose(potential.energy(state), expected, atol=1e-4)


def test_a_die_that_was_told_a_class_is_at_rest_in_a_run():
    model = ThermodynamicGenerator(**SMALL, die={"amplitude": 14.0})
    state = torch.zeros(10, model.potential.num_units)
    state[:, model.hidden.stop :] = model.die.told(torch.arange(10))
    assert torch.equal(state[:, model.groups["label"]] > 0, torch.eye(10, dtype=torch.bool))
    assert model.drawn_class(state).tolist() == list(range(10))
    forces = model.potential.gradient(state)[:, model.hidden.stop :]
    assert forces.abs().max() < 1e-3  # where the wells alone pull with a force of 14
    shaken = state.clone()
    shaken[:, model.groups["label"]] += 3.0
    assert (model.potential.gradient(shaken)[:, model.groups["label"]] > 1.0).all()


@pytest.mark.parametrize("dt", [0.1, 0.05])
def test_one_unit_comes_up_and_each_is_as_likely(dt):
    model = machine(dt=dt).with_die()
    start = model.start(2000, seed=0)
    up = start[:, model.groups["label"]] > 0
    assert (up.sum(1) == 1).float().mean() > 0.98
    assert (up.sum(1) == 0).float().mean() < 0.005
    counts = torch.bincount(model.drawn_class(start), minlength=10)
    assert ((counts - 200.0) ** 2 / 200).sum() < 27.9  # chi square of 9 degrees of freedom, one in 1,000
    run = model.denoise(start, seed=0)
    assert (model.drawn_class(run.state) == model.drawn_class(start)).float().mean() > 0.98


def test_a_throw_is_a_function_of_seed_and_number_and_shares_no_noise_with_the_pixels():
    model = machine().with_die(time=1.0)  # too short to come up: the states are noise
    start = model.start(4000, seed=5)
    assert torch.equal(model.start(3, seed=5, sample_ids=torch.arange(2, 5)), start[2:5])
    assert not torch.equal(model.start(3, seed=6), start[:3])
    pixels, units = start[:, :10], start[:, model.groups["label"]]
    pixels, units = (values - values.mean(0) for values in (pixels, units))
    correlation = (pixels * units).mean(0) / (pixels.std(0) * units.std(0))
    assert correlation.abs().max() < 5 / 4000**0.5


@pytest.mark.parametrize(
    "config", [{}, {"hidden": [6, 5]}, {"hidden_hidden": True, "integrator": "splitting"}], ids=["one", "two", "within"]
)
def test_a_die_at_rest_acts_as_the_label_did_and_back(config):
    held = machine(**config)
    model = held.with_die()
    labels = torch.arange(10)
    state, told = held.start(10, seed=1, labels=labels), model.start(10, seed=1, labels=labels)
    count = held.hidden.stop
    assert torch.equal(state[:, :count], told[:, :count])
    forces = (m.potential.gradient(s)[:, :count] for m, s in ((held, state), (model, told)))
    assert torch.allclose(*forces, atol=1e-5)  # labels times 1 / 2 a and back, in float32
    again = model.without_die()
    assert again.config == held.config and again.without_die() is again
    for name, value in held.state_dict().items():
        assert torch.allclose(again.state_dict()[name], value, atol=1e-5), name
    images = [m.sample(10, seed=2, labels=labels).images for m in (held, model)]
    assert (images[0] - images[1]).abs().mean() < 0.02  # the die fluctuates, a held label does not


def test_samples_draw_their_class_unless_told():
    model = machine(t_final=2.0).with_die()
    start = model.start(20, seed=4)
    drawn, told = model.sample(20, seed=4), model.sample(20, seed=4, labels=model.drawn_class(start))
    assert model.draws_class and not machine().draws_class
    others = model.sample(20, seed=4, labels=(model.drawn_class(start) + 1) % 10)
    near, far = ((drawn.images - other.images).abs().mean() for other in (told, others))
    assert near < 0.1 * far


def test_the_first_law_counts_the_die_that_is_never_off():
    model = machine(t_final=2.0, readout_time=0.0).with_die()
    start = model.start(8, seed=0)
    run = model.denoise(start, seed=0)
    samples = model.sample(8, seed=0)
    kT = model.temperature
    before, after = model.resting().energy(start), model.potential.energy(run.state)
    assert torch.allclose(after - before, (samples.work - samples.heat) * kT, rtol=1e-4, atol=0.05)
    off = simulate(model.resting(), start, steps=50, dt=0.1, temperature=0.0, mobility=model.mobility, seed=0).state
    assert torch.equal(model.drawn_class(off), model.drawn_class(start))  # stays up while all else is off


def test_a_chain_tells_its_stages_what_its_first_machine_drew():
    first = {key: SMALL[key] for key in SMALL if key != "image_shape"} | {"t_final": 2.0}
    chain = ThermodynamicChain((1, 4, 4), first, angles=[40.0], hidden=8)
    with torch.no_grad():
        for values in chain.stage(0).parameters():
            values.normal_(0.0, 1.0, generator=torch.Generator().manual_seed(1))
    own = chain.with_die()
    ids, start = torch.arange(6), own.first.start(6, seed=3)
    phases = list(own.phases(ids, None, seed=3))
    told = list(own.phases(ids, own.first.drawn_class(start), seed=3))
    other = list(own.phases(ids, (own.first.drawn_class(start) + 1) % 10, seed=3))
    near, far = ((phases[-1].shown - run[-1].shown).abs().mean() for run in (told, other))
    assert near < 0.1 * far
    assert own.draws_class and not own.without_die().draws_class
    assert torch.allclose(own.without_die().sample(4, seed=1).images, chain.sample(4, seed=1).images, atol=1e-3)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"die": {"amplitude": 14.0}, "num_classes": 2}, "num_classes"),
        ({"die": {"amplitude": 0.0}}, "die.amplitude"),
        ({"die": {"sides": 6}}, "die: expected an amplitude"),
        ({"die": {"amplitude": 14.0, "sides": 6}}, "die: expected an amplitude, and some of amplitude, inhibition"),
        ({"die": {"amplitude": 14.0, "time": 0.25}}, "die.time"),
        ({"die": {"amplitude": 14.0}, "schedule": {"gain": [1.0, 1.0]}}, "die: expected an autonomous machine"),
    ],
)
def test_what_a_die_cannot_be_is_refused(config, problem):
    with pytest.raises(ValueError, match=problem):
        ThermodynamicGenerator(**SMALL | config)


def test_a_machine_is_trained_before_it_is_given_a_die():
    model = {"name": "generator", "config": SMALL | {"die": {"amplitude": 14.0}}}
    with pytest.raises(ValueError, match="with_die"):
        ObservationTimeModule(model, {"name": "adam", "lr": 1e-3})


def test_pages_and_circuits_of_a_machine_with_a_die_are_those_with_held_labels():
    model = machine().with_die()
    plain = model.without_die()
    assert describe(model, "x") == describe(plain, "x")
    circuits = [analog_machine(each, label=3) for each in (model, plain)]
    assert torch.equal(circuits[0].couplings, circuits[1].couplings)


def test_a_setting_that_is_no_number_is_named():
    with pytest.raises((TypeError, ValueError), match=r"die\.threshold"):
        ThermodynamicGenerator(**SMALL, die={"amplitude": 14.0, "threshold": "high"})


def test_a_die_is_thrown_after_the_noise_of_the_pixels_in_steps_that_these_have_not_used():
    model, ids = machine(t_final=2.0).with_die(), torch.tensor([4, 9])
    start = model.start(2, seed=5, sample_ids=ids)
    arguments = {"dt": model.dt, "temperature": model.temperature, "integrator": model.integrator}
    thrown = model.die.throw(start, seed=5, sample_ids=ids, start_step=model.steps, **arguments)
    assert torch.equal(start[:, model.hidden.stop :], thrown)


@pytest.mark.parametrize(("inhibition", "stiffness"), [(0.1, 1.0), (0.25, 1.0), (0.6, 2.4)])
def test_mediators_are_stiffer_where_inhibition_is_stronger(inhibition, stiffness):
    """And leave the same sum behind, whatever their wells: the energy at their rest is that of the sum."""
    die = ClassDie(4, amplitude=3.0, inhibition=inhibition)
    assert die.j2["mediator"] == pytest.approx(stiffness)
    potential, x = die.potential(), torch.tensor([[1.0, -2.0, 0.5, 3.0], [-3.0, -3.0, 3.0, -3.0], [0.0, 0.0, 0.0, 0.0]])
    y = -(x @ potential.couplings.block("label", "mediator")) / (2 * stiffness)
    found = potential.energy(torch.cat([x, y], 1))
    expected = (x**4 / 36 - x**2 / 2).sum(1) + inhibition * ((x.sum(1) + 4.2 * 3.0) ** 2 - (4.2 * 3.0) ** 2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
