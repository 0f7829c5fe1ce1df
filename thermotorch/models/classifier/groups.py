"""Groups of units of a layered machine, their couplings and their wells."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from thermotorch.arguments import number_of
from thermotorch.couplings import BlockCouplings


def layered_couplings(
    visible: int, layers: list[int], hidden_hidden: bool, num_classes: int, mediators: int = 0
) -> BlockCouplings:
    """Return couplings between neighbours in "visible", "hidden" (or "hidden1", "hidden2", ...), "label", "mediator".

    With `hidden_hidden` all pairs within each hidden layer are coupled too.
    """
    names = ["hidden"] if len(layers) == 1 else [f"hidden{number}" for number in range(1, len(layers) + 1)]
    groups = {"visible": visible, **dict(zip(names, layers, strict=True))}
    pairs = list(pairwise(groups))
    if hidden_hidden:
        pairs += [(name, name) for name in names]
    if num_classes:
        groups["label"] = num_classes
        pairs.append((names[-1], "label"))
    if mediators:
        groups["mediator"] = mediators
        pairs.append(("label", "mediator"))
    return BlockCouplings(groups, pairs)


def plain_by_group(name: str, value: Any, *, signed: bool = False) -> float | dict[str, float]:
    """Return an on-site coefficient as a plain number, or as a dict of numbers by group; see `number_of`."""
    if isinstance(value, Mapping):
        return {group: number_of(f"{name}[{group!r}]", each, signed=signed) for group, each in value.items()}
    return number_of(name, value, signed=signed)


def by_group(name: str, value: float | Mapping[str, float], groups: Mapping[str, slice]) -> float | Tensor:
    """Return an on-site coefficient for each unit; "hidden" stands for all hidden layers, and 1 is the default."""
    if not isinstance(value, Mapping):
        return value
    if unknown := set(value) - {*groups, "hidden"}:
        raise ValueError(f"{name}: unknown groups {sorted(unknown)}, expected some of {sorted({*groups, 'hidden'})}")

    def of(group: str) -> float:
        return value.get(group, value.get("hidden", 1.0) if group.startswith("hidden") else 1.0)

    return torch.cat([torch.full((part.stop - part.start,), float(of(group))) for group, part in groups.items()])
