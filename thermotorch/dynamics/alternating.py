"""Two-colour partitions of the units for `integrator="alternating"`: no couplings within a colour.

One step updates all units of colour 1 in the frozen field of colour 0, then all units of colour 0 in that of colour 1,
each by the exact flows of its on-site terms (`splitting.py`). The middle flow includes the constant force.
"""

from collections.abc import Iterable

import torch
from torch import Tensor


def second_colour(pieces: Iterable[tuple[int, int, Tensor]], units: int) -> Tensor:
    """Return the mask of the units of colour 1, bool [units], from blocks of couplings as of `Couplings.pieces`.

    The first group of every connected part has colour 0. Groups without such a colouring are a ValueError.
    """
    neighbours: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for row, column, block in pieces:
        source, target = (row, block.shape[0]), (column, block.shape[1])
        neighbours.setdefault(source, set()).add(target)
        neighbours.setdefault(target, set()).add(source)
    colour: dict[tuple[int, int], bool] = {}
    for start in sorted(neighbours):
        if start in colour:
            continue
        colour[start], waiting = False, [start]
        while waiting:
            group = waiting.pop()
            for other in neighbours[group]:
                if other not in colour:
                    colour[other] = not colour[group]
                    waiting.append(other)
                elif colour[other] == colour[group]:
                    what = "a group with itself" if other == group else "groups in a ring of odd length"
                    raise ValueError(
                        "integrator='alternating' needs couplings between two sets of groups only, as in "
                        f"BlockCouplings with pairs between different groups; these couple {what}: use 'splitting'"
                    )
    second = torch.zeros(units, dtype=torch.bool)
    for (first_unit, size), is_second in colour.items():
        second[first_unit : first_unit + size] = is_second
    return second
