"""What `integrator="alternating"` needs: units in two colours, with couplings only between the colours.

One step updates all units of colour 1 in the frozen field of colour 0, then all units of colour 0 in that of colour 1,
each by the exact flows of its on-site terms (`splitting.py`), the constant force in the middle one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def second_colour(rows: Sequence[int], columns: Sequence[int], shapes: Sequence[tuple[int, int]], units: int) -> Tensor:
    """Which units have colour 1, bool [units]; in every connected part the first group has colour 0.

    Args:
        rows, columns, shapes: the blocks of the couplings, each between two groups of units; both directions are given.

    Raises:
        ValueError: the groups cannot be coloured so.
    """
    neighbours: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for row, column, (height, width) in zip(rows, columns, shapes, strict=True):
        first, second = (row, height), (column, width)
        neighbours.setdefault(first, set()).add(second)
        neighbours.setdefault(second, set()).add(first)
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
    for (start, size), is_second in colour.items():
        second[start : start + size] = is_second
    return second
