"""The precision of products that a caller asks a machine or a chain for."""

import pytest
import torch

from thermotorch.dynamics import simulate
from thermotorch.dynamics.cpu import operators as cpu
from thermotorch.models.generator import machine as machines
from thermotorch.models.generator import schedule
from thermotorch.models.generator import stage as stages
from thermotorch.models.generator.chain import ThermodynamicChain
from thermotorch.models.generator.machine import ThermodynamicGenerator

FIRST = {
    "hidden": 40,
    "hidden_hidden": False,
    "t_final": 2.0,
    "dt": 0.1,
    "temperature": 0.1,
    "readout_time": 0.2,
    "j2": {"visible": 0.5, "hidden": -0.5},
    "display_range": [-0.75, 0.75],
    "integrator": "alternating",
}


def machine() -> ThermodynamicGenerator:
    model = ThermodynamicGenerator((1, 6, 6), **FIRST)
    randomise(model)
    return model


def chain() -> ThermodynamicChain:
    model = ThermodynamicChain((1, 6, 6), FIRST, angles=[60.0, 30.0], hidden=20, t_stage=0.6)
    randomise(model)
    return model


def randomise(model: torch.nn.Module) -> None:
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "bias" not in name:
            torch.nn.init.normal_(parameter, std=0.2)


@pytest.mark.parametrize("make", [machine, chain])
def test_it_reaches_every_run_that_has_couplings(make, monkeypatch):
    """And the start of the first machine, whose noise a backend draws faster with it."""
    model, seen = make(), []

    def noting(*given, **named):
        seen.append(named.get("precision", "ieee"))
        return simulate(*given, **named)

    for module in (machines, schedule, stages):
        monkeypatch.setattr(module, "simulate", noting)
    plain = model.sample(3, seed=1)
    assert set(seen) == {"ieee"}
    assert torch.equal(model.sample(3, seed=1, precision="ieee").images, plain.images)
    seen.clear()
    model.sample(3, seed=1, precision="tf32")
    assert seen.count("tf32") == {"machine": 3, "chain": 2 + 2 * 2}[make.__name__]
    assert model.generate(3, seed=1, precision="ieee").equal(plain.images)


@pytest.mark.parametrize("make", [machine, chain])
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_the_law_of_the_images_is_the_same(make, precision):
    """1,000 samples of the same seeds: means and variances of the pixels differ by less than the sampling error."""
    model, n = make(), 1000
    exact, rounded = (model.sample(n, seed=3, precision=name) for name in ("ieee", precision))
    error = (exact.images.var(0) / n).sqrt()
    assert ((rounded.images.mean(0) - exact.images.mean(0)).abs() < 2 * error).all()
    spread = (exact.images - exact.images.mean(0)).square()
    ratio = (rounded.images.var(0) - exact.images.var(0)) / (spread.var(0) / n).sqrt()
    assert (ratio.abs() < 2).all()
    assert (rounded.heat.mean() - exact.heat.mean()).abs() < (exact.heat.var() / n).sqrt()
    if cpu.unavailable() is None and cpu.library().thermotorch_has_matrix_unit():
        assert not torch.equal(exact.images, rounded.images)


@pytest.mark.parametrize("make", [machine, chain])
def test_an_unknown_one_is_refused_before_any_compute(make, monkeypatch):
    model = make()
    monkeypatch.setattr(type(model), "_draw", lambda *given: pytest.fail("it ran"))
    with pytest.raises(ValueError, match="precision: unknown 'bf61', expected one of .*did you mean 'bf16'"):
        model.sample(2, precision="bf61")
