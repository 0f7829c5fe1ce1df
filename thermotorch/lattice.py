"""Units on a lattice, each coupled to its neighbours at given offsets."""

from collections.abc import Sequence
from math import inf

import torch
from torch import Tensor, nn

from thermotorch.arguments import counts_of, entries_of
from thermotorch.couplings import Couplings, Field


class LatticeCouplings(Couplings):
    """A lattice of h x w units (row-major), each coupled to the units at the given (row, column) offsets.

    `LatticeCouplings((28, 28), offsets=[(0, 1), (1, 0)])` is the square lattice; with `periodic=True` it is a torus. An
    offset stands for its bond in both directions.

    Cost of the field: one gather of [..., unit, degree]. Only `matrix()` needs n^2 memory.
    """

    _first: Tensor
    _second: Tensor
    _neighbour: Tensor
    _bond: Tensor

    def __init__(self, shape: tuple[int, int], offsets: Sequence[tuple[int, int]], periodic: bool = False) -> None:
        super().__init__()
        self.shape = tuple(counts_of("shape", shape, length=2))
        self.offsets = [
            tuple(counts_of(f"offsets[{k}]", offset, -inf, 2))
            for k, offset in enumerate(entries_of("offsets", offsets, "pairs"))
        ]
        self.periodic = bool(periodic)
        self.num_units = self.shape[0] * self.shape[1]
        self.register_derived_buffers()
        self.bonds = nn.Parameter(torch.zeros(len(self._first)))

    def derived_buffers(self) -> dict[str, Tensor]:
        bonds = self._bonds()
        neighbour, bond = _adjacency(bonds, self.num_units)
        # [unit, degree], padded with unit 0 through a bond of strength 0, the last one
        return {"_first": bonds[:, 0].clone(), "_second": bonds[:, 1].clone(), "_neighbour": neighbour, "_bond": bond}

    def _bonds(self) -> Tensor:
        height, width = self.shape
        site = torch.arange(self.num_units).view(height, width)
        row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        bonds_by_offset = []
        for down, right in self.offsets:
            to_row, to_column = row + down, column + right
            inside = torch.ones_like(row, dtype=torch.bool)
            if self.periodic:
                to_row, to_column = to_row % height, to_column % width
            else:
                inside = (to_row >= 0) & (to_row < height) & (to_column >= 0) & (to_column < width)
            bonds_by_offset.append(torch.stack([site[inside], site[to_row[inside], to_column[inside]]], 1))
        bonds = torch.cat(bonds_by_offset) if bonds_by_offset else torch.empty(0, 2, dtype=torch.long)
        if (bonds[:, 0] == bonds[:, 1]).any():
            raise ValueError(f"offsets: {self.offsets} couple a unit to itself on a {height} x {width} lattice")
        if len(bonds.sort(1).values.unique(dim=0)) != len(bonds):
            raise ValueError(
                f"offsets: {self.offsets} name a bond twice; give each direction once, (0, 1) but not also (0, -1)"
            )
        return bonds

    def bind(self) -> Field:
        strength = torch.cat([self.bonds, self.bonds.new_zeros(1)])[self._bond]  # [unit, degree]
        return lambda x: (x[..., self._neighbour] * strength).sum(-1)

    def matrix(self) -> Tensor:
        matrix = self.bonds.new_zeros(self.num_units, self.num_units)
        matrix = matrix.index_put((self._first, self._second), self.bonds)
        return matrix + matrix.T

    def mask(self) -> Tensor:
        mask = torch.zeros(self.num_units, self.num_units, dtype=torch.bool, device=self.bonds.device)
        mask[self._first, self._second] = True
        return mask | mask.T

    def _set_bonds(self, matrix: Tensor) -> None:
        self.bonds.copy_(matrix[self._first.to(matrix.device), self._second.to(matrix.device)])

    def extra_repr(self) -> str:
        return f"shape={self.shape}, offsets={self.offsets}, periodic={self.periodic}"


def _adjacency(bonds: Tensor, num_units: int) -> tuple[Tensor, Tensor]:
    """Return neighbours and bond numbers of every unit, both [unit, degree], padded with (unit 0, bond len(bonds))."""
    lists: list[list[tuple[int, int]]] = [[] for _ in range(num_units)]
    for number, (i, j) in enumerate(bonds.tolist()):
        lists[i].append((j, number))
        lists[j].append((i, number))
    degree = max((len(entries) for entries in lists), default=0)
    padded = [entries + [(0, len(bonds))] * (degree - len(entries)) for entries in lists]
    table = torch.tensor(padded, dtype=torch.long).view(num_units, degree, 2)
    return table[..., 0].contiguous(), table[..., 1].contiguous()
