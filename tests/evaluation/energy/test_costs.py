from dataclasses import replace

import pytest
import torch

from tests.evaluation.stand_ins import Device, WatchedDigital
from thermotorch.evaluation import Protocol, energy
from thermotorch.evaluation.energy.costs import costs
from thermotorch.evaluation.energy.digital_hardware import HARDWARE_CLASSES
from thermotorch.evaluation.energy.ledger import LANDAUER
from thermotorch.evaluation.energy.thermodynamic import DEVICES, thermodynamic_ledgers
from thermotorch.evaluation.entries import Entry
from thermotorch.evaluation.generation import generate
from thermotorch.models.generator.chain import ThermodynamicChain
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.units import kT_to_joule

PROTOCOL = Protocol(num_samples=12, seed=3, steps=4, kernel_subset_size=4)


def spent(model, label="it"):
    entry = Entry(label, "model", model, PROTOCOL, "here")
    made = generate(entry)
    return made, costs(entry, made)


def test_a_generator_is_priced_on_every_device_model_and_metered_apart():
    torch.manual_seed(0)
    model = ThermodynamicGenerator(image_shape=(1, 3, 3), hidden=5, t_final=0.05)
    made, found = spent(model)
    assert [ledger.scenario for ledger in found.ledgers] == [*(device.name for device in DEVICES), "this machine"]
    assert {ledger.model for ledger in found.ledgers} == {"it"}
    ideal = found.ledgers[0].lines[0]
    assert ideal.joule == pytest.approx(kT_to_joule(made.heat.mean().item(), 300.0), rel=1e-6, abs=0)
    rows = {row.metric: row for row in found.rows}
    assert rows["generation heat"].value == pytest.approx(made.heat.mean().item())
    assert rows["device overhead"].kind == "modelled" and "rc_analog" in rows["device overhead"].note
    assert found.evaluations == 0
    again = DEVICES[0].ledger("it", found.work)  # what is kept is what was priced
    assert again == found.ledgers[0]


@pytest.mark.parametrize(("drawn", "simulated"), [(12, 12), (70, 64)])
def test_a_ledger_rests_on_the_samples_that_were_drawn_and_at_most_64(drawn, simulated, monkeypatch):
    model, seen = ThermodynamicGenerator(image_shape=(1, 2, 2), hidden=2, t_final=0.01), []
    run = energy.machine_run
    monkeypatch.setattr(energy, "machine_run", lambda *given: seen.append(given[1]) or run(*given))
    entry = Entry("it", "model", model, replace(PROTOCOL, num_samples=drawn), "here")
    rows = {row.metric: row for row in costs(entry, generate(entry)).rows}
    assert seen == [simulated] and rows["device overhead"].num_samples == simulated
    assert rows["generation heat"].num_samples == drawn


def test_any_other_device_is_priced_by_its_heat():
    _, found = spent(Device())
    assert [ledger.scenario for ledger in found.ledgers] == ["ideal", "this machine"]
    assert found.ledgers[0].lines[0].joule == pytest.approx(kT_to_joule(20.0, 300.0), rel=1e-6, abs=0)
    assert found.work is None


def test_a_digital_model_is_priced_on_every_class_of_hardware_from_one_counted_sample():
    _, found = spent(WatchedDigital())
    assert [ledger.scenario for ledger in found.ledgers] == [*(kind.name for kind in HARDWARE_CLASSES), "this machine"]
    flops = 4 * 2 * 2 * 36 * 36  # steps, evaluations, multiply-adds
    rows = {row.metric: row for row in found.rows}
    assert rows["arithmetic, operations"].value == flops
    assert found.evaluations == 8
    assert HARDWARE_CLASSES[0].ledger("it", found.work) == found.ledgers[0]
    assert found.ledgers[0].lines[-1].contribution == LANDAUER


def test_a_chain_is_priced_with_the_samples_and_the_seed_of_its_protocol():
    torch.manual_seed(0)
    first = {"hidden": 3, "hidden_hidden": False, "t_final": 0.2, "dt": 0.1, "integrator": "alternating"}
    chain = ThermodynamicChain((1, 2, 2), first, angles=[60.0], hidden=3).eval()
    made, found = spent(chain, "a chain")
    assert found.ledgers[:-1] == thermodynamic_ledgers("a chain", chain, num_samples=12, seed=3)
    assert found.work is None and found.evaluations == 0
    rows = {row.metric: row for row in found.rows}
    assert {row.seed for row in found.rows} == {3}
    assert rows["work of switching on"].value == pytest.approx(made.work.mean().item())
    assert rows["device overhead"].num_samples == 12
    unknown = {row.metric for row in found.rows if row.value is not None and not row.command}
    assert unknown == {"Landauer bound, 4 bits"}, "a bound alone needs no command"
