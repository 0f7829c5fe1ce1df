"""A genetic algorithm: truncation selection, and mutation of every parameter.

A population is a dict of parameters by name, each with a leading [member]. Every random number is a pure function of
(seed, generation, member, place in the parameter).

Source: Whitelam & Casert, Nat. Commun. 17, 1189 (2026), supplementary section S3 B: mutations C^(-1/2) N(0, 0.1^2) with
C the number of connections that enter a unit.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from thermotorch.arguments import count_of, number_of
from thermotorch.dynamics import Stream, normals
from thermotorch.dynamics.noise import seed_or_fresh

Population = dict[str, Tensor]


def first_generation(like: Mapping[str, Tensor], size: int, *, std: float = 0.1, seed: int | None = None) -> Population:
    """Return `size` members with normals of standard deviation `std` for every parameter of `like`.

    A seed of None is drawn from torch's global generator.
    """
    size, std, seed = count_of("size", size), number_of("std", std), int(seed_or_fresh(seed))
    return {
        name: std * _draw(values, size, seed, generation=0, number=number)
        for number, (name, values) in enumerate(like.items())
    }


def best(losses: Tensor, keep: int) -> Tensor:
    """Return the numbers of the `keep` members with the smallest losses [member], best first; NaN ranks last."""
    keep = count_of("keep", keep)
    return losses.argsort(stable=True)[:keep]  # NaN last


def next_generation(
    population: Population,
    losses: Tensor,
    fan_in: Mapping[str, float | Tensor],
    *,
    keep: int = 5,
    strength: float = 0.1,
    seed: int | None = None,
    generation: int,
) -> Population:
    """Return mutated clones of the best members: theta + strength C^(-1/2) xi.

    Args:
        population: parameters [member, ...] by name.
        losses: [member].
        fan_in: C by name, a number or a tensor like the parameter.
        keep: number of members to clone, a divisor of the population's size.
        strength: standard deviation of a mutation at C = 1.
        seed: seed of the mutations; None draws one from torch's global generator.
        generation: number of the new generation, at least 1; the first is 0.

    Raises:
        ValueError: a `keep` that does not divide the size, a generation below 1, or numbers of losses and members that
            differ.
    """
    size, keep = len(losses), count_of("keep", keep)
    if any(len(values) != size for values in population.values()):
        members = len(next(iter(population.values())))
        raise ValueError(f"losses: expected one for each member, found {size} for {members}")
    if size % keep:
        raise ValueError(f"keep: expected a divisor of the population's size {size}, found {keep}")
    generation, strength = count_of("generation", generation), number_of("strength", strength)
    seed = int(seed_or_fresh(seed))
    parents = best(losses, keep).repeat_interleave(size // keep)
    offspring = {}
    for number, (name, values) in enumerate(population.items()):
        mutation = _draw(values[0], size, seed, generation, number)
        scale = strength / torch.as_tensor(fan_in[name], dtype=values.dtype, device=values.device).sqrt()
        offspring[name] = values[parents] + scale * mutation
    return offspring


def _draw(like: Tensor, size: int, seed: int, generation: int, number: int) -> Tensor:
    """Return normals [member, *like.shape] of a generation and a parameter number."""
    members = torch.arange(size, device=like.device)
    step = (generation << 16) + number
    return normals(seed, members, step, 1, like.numel(), Stream.DATA).view(size, *like.shape).to(like)
