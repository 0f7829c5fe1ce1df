"""The genetic algorithm: mutation variance by fan-in, selection, and determinism under a seed."""

import pytest
import torch

from thermotorch.dynamics import Stream, normals
from thermotorch.objectives.genetic import best, first_generation, next_generation

LIKE = {"weight": torch.zeros(40, 30), "bias": torch.zeros(40)}
FAN_IN = {"weight": 25.0, "bias": 1.0}


def population(size: int = 20, seed: int = 0) -> dict[str, torch.Tensor]:
    return first_generation(LIKE, size, std=0.1, seed=seed)


def test_the_first_generation_is_normal():
    weight = population()["weight"].flatten()
    n = weight.numel()
    assert abs(weight.mean().item()) < 4 * 0.1 / n**0.5
    assert abs(weight.var().item() / 0.01 - 1) < 4 * (2 / n) ** 0.5


@pytest.mark.parametrize("strength", [0.1, 0.3])
def test_mutations_have_the_variance_of_the_fan_in(strength):
    old, losses = population(), torch.arange(20.0)
    new = next_generation(old, losses, FAN_IN, keep=4, strength=strength, generation=1)
    for name, fan_in in FAN_IN.items():
        mutation = (new[name] - old[name][torch.arange(4).repeat_interleave(5)]).flatten()
        assert abs(mutation.mean().item()) < 4 * strength / (fan_in * mutation.numel()) ** 0.5
        assert abs(mutation.var().item() * fan_in / strength**2 - 1) < 4 * (2 / mutation.numel()) ** 0.5


def test_fan_in_may_differ_within_a_parameter():
    fan_in = {"weight": torch.tensor([1.0] * 20 + [100.0] * 20).unsqueeze(1), "bias": 1.0}
    old = population()
    new = next_generation(old, torch.zeros(20), fan_in, keep=20, strength=1.0, generation=1)
    mutation = new["weight"] - old["weight"]
    assert abs(mutation[:, :20].std().item() - 1.0) < 0.03
    assert abs(mutation[:, 20:].std().item() - 0.1) < 0.003


def test_only_the_best_have_offspring_and_nobody_survives_unchanged():
    losses = torch.tensor([5.0, float("nan"), 1.0, 4.0, 0.5, float("inf")])
    assert best(losses, 3).tolist() == [4, 2, 3]
    old = {"weight": torch.arange(6.0).view(6, 1) * 1000}
    new = next_generation(old, losses, {"weight": 1.0}, keep=2, generation=3)["weight"]
    assert (new / 1000).round().flatten().tolist() == [4, 4, 4, 2, 2, 2]
    assert not torch.isin(new, old["weight"]).any()
    assert len(new.unique()) == 6


def test_everything_is_a_function_of_seed_and_generation():
    losses = torch.arange(20.0)

    def offspring(seed: int = 0, generation: int = 1) -> torch.Tensor:
        return next_generation(population(), losses, FAN_IN, seed=seed, generation=generation)["weight"]

    assert torch.equal(offspring(), offspring())
    assert torch.equal(population()["weight"][:5], population(5)["weight"])
    for other in (offspring(seed=1), offspring(generation=2)):
        correlation = torch.corrcoef(torch.stack([(other - offspring()).flatten(), other.flatten()]))
        assert torch.isfinite(correlation).all() and not torch.equal(other, offspring())
    assert not torch.equal(population(seed=1)["weight"], population()["weight"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": 3}, "keep: expected a divisor of the population's size 20, found 3"),
        ({"keep": 0}, "keep"),
        ({"generation": 0}, "generation: expected at least 1"),
        ({"losses": torch.zeros(3)}, "losses: expected one for each member, found 3 for 20"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    arguments = {"losses": torch.zeros(20), "generation": 1, **settings}
    with pytest.raises(ValueError, match=message):
        next_generation(population(), arguments.pop("losses"), FAN_IN, **arguments)


def test_every_parameter_of_every_generation_is_mutated_in_its_own_noise():
    """Three parameters of one shape over three generations: nine different mutations of the same members."""
    old = {name: torch.zeros(4, 500) for name in "abc"}
    drawn = []
    for generation in (1, 2, 3):
        new = next_generation(old, torch.zeros(4), dict.fromkeys(old, 1.0), keep=4, seed=0, generation=generation)
        drawn += [mutation.flatten() for mutation in new.values()]
    correlation = torch.corrcoef(torch.stack(drawn)) - torch.eye(9)
    assert correlation.abs().max() < 4.5 / 2000**0.5


@pytest.mark.parametrize("other", [stream for stream in Stream if stream != Stream.DATA])
def test_mutations_share_no_noise_with_the_runs_that_they_are_chosen_by(other):
    """Selection would favour members whose mutation is the noise of their own run."""
    like, members = {"a": torch.zeros(500)}, torch.arange(4)
    first = first_generation(like, 4, std=1.0, seed=0)["a"]
    new = next_generation(
        {"a": torch.zeros(4, 500)}, torch.zeros(4), {"a": 1.0}, keep=4, strength=1.0, seed=0, generation=1
    )
    for step, drawn in ((0, first), (1 << 16, new["a"])):
        noise = normals(0, members, step, 1, 500, other)[0]
        assert abs(torch.corrcoef(torch.stack([drawn.flatten(), noise.flatten()]))[0, 1]) < 4.5 / 2000**0.5
        own = normals(0, members, step, 1, 500, Stream.DATA)[0]
        torch.testing.assert_close(drawn, own)  # the steps are those that are used


def test_losses_that_are_no_numbers_rank_behind_all_others():
    assert best(torch.tensor([float("nan"), 1.0, float("inf"), float("nan"), -1.0]), 5).tolist() == [4, 1, 2, 0, 3]
