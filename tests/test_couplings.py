import copy
import pickle

import pytest
import torch

import thermotorch as tt
from tests.physics import random_matrix

TOPOLOGIES = {
    "dense": lambda: tt.DenseCouplings(7),
    "one unit": lambda: tt.DenseCouplings(1),
    "blocks": lambda: tt.BlockCouplings({"visible": 4, "hidden": 3}, [("visible", "hidden"), ("hidden", "hidden")]),
    "three blocks": lambda: tt.BlockCouplings({"a": 2, "b": 3, "c": 2}, [("c", "a"), ("b", "b"), ("b", "c")]),
    "one to one": lambda: tt.BlockCouplings({"a": 3, "b": 3, "c": 2}, [("a", "c")], one_to_one=[("a", "b")]),
    "uncoupled": lambda: tt.BlockCouplings({"a": 3, "b": 2}, []),
    "lattice": lambda: tt.LatticeCouplings((3, 4), [(0, 1), (1, 0)]),
    "far lattice": lambda: tt.LatticeCouplings((3, 4), [(1, -1), (0, 2), (-2, 1)]),
    "torus": lambda: tt.LatticeCouplings((3, 4), [(0, 1), (1, 0), (1, 1)], periodic=True),
    "no offsets": lambda: tt.LatticeCouplings((2, 2), []),
}


@pytest.fixture(params=TOPOLOGIES)
def couplings(request) -> tt.Couplings:
    built = TOPOLOGIES[request.param]().double()
    with torch.no_grad():
        for number, bonds in enumerate(built.parameters()):
            bonds.normal_(generator=torch.Generator().manual_seed(number))
    return built


def states(n: int, *leading: int) -> torch.Tensor:
    return torch.randn(*leading, n, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def test_matrix_is_symmetric_with_zero_diagonal_and_lives_on_the_mask(couplings):
    matrix, mask = couplings.matrix(), couplings.mask()
    assert torch.equal(matrix, matrix.T)
    assert not matrix.diagonal().any()
    assert torch.equal(matrix != 0, mask)


def test_every_bond_is_one_trainable_number(couplings):
    assert couplings.num_bonds == int(couplings.mask().sum()) // 2
    couplings.matrix().sum().backward() if couplings.num_bonds else None
    assert all((bonds.grad == 2).all() for bonds in couplings.parameters() if bonds.numel())


@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (0,)])
def test_field_is_the_matrix_product(couplings, leading):
    x = states(couplings.num_units, *leading)
    torch.testing.assert_close(couplings(x), x @ couplings.matrix())


def test_energy_counts_each_pair_once(couplings):
    x, matrix = states(couplings.num_units), couplings.matrix()
    pairs = sum((matrix[i, j] * x[i] * x[j] for i in range(len(x)) for j in range(i)), torch.zeros((), dtype=x.dtype))
    torch.testing.assert_close(couplings.energy(x), pairs)


def test_bonds_come_back_from_their_matrix(couplings):
    other = copy.deepcopy(couplings)
    for bonds in other.parameters():
        torch.nn.init.zeros_(bonds)
    other.load_matrix(couplings.matrix())
    assert torch.equal(other.matrix(), couplings.matrix())


def test_state_dict_and_pickle_keep_the_bonds(couplings):
    other = copy.deepcopy(couplings)
    for bonds in other.parameters():
        torch.nn.init.zeros_(bonds)
    other.load_state_dict(couplings.state_dict())
    assert torch.equal(other.matrix(), couplings.matrix())
    assert set(couplings.state_dict()) == {name for name, _ in couplings.named_parameters()}
    assert torch.equal(pickle.loads(pickle.dumps(couplings)).matrix(), couplings.matrix())


def test_norms_bound_the_spectrum(couplings):
    largest = torch.linalg.eigvalsh(couplings.matrix()).abs().max().item()
    assert couplings.spectral_norm(500) == pytest.approx(largest, rel=1e-3)
    assert 0.85 * largest <= couplings.spectral_norm() <= largest * (1 + 1e-12)
    assert couplings.frobenius_norm() == pytest.approx(couplings.matrix().norm().item())
    assert couplings.frobenius_norm() >= largest * (1 - 1e-12)


@pytest.mark.parametrize("period", [2, 4, 6])
def test_the_norm_is_found_where_states_of_a_short_period_have_no_field(period):
    """Bonds of +1 and -1 in turn around a ring leave uniform and alternating states without a field."""
    units = 2 * period
    ring = torch.zeros(units, units)
    for unit in range(units):
        ring[unit, (unit + 1) % units] = ring[(unit + 1) % units, unit] = (-1.0) ** unit
    couplings = tt.DenseCouplings.from_matrix(ring)
    assert not couplings(torch.tensor([1.0, 0.5]).repeat(period)).any()
    largest = torch.linalg.eigvalsh(ring).abs().max().item()
    assert 0.85 * largest <= couplings.spectral_norm() <= largest * (1 + 1e-6)


def test_the_published_generator_has_532_224_couplings():
    couplings = tt.BlockCouplings({"visible": 784, "hidden": 512}, [("visible", "hidden"), ("hidden", "hidden")])
    assert couplings.num_bonds == 784 * 512 + 512 * 511 // 2 == 532_224
    assert couplings.num_units == 1296
    assert not couplings.mask()[couplings.slices["visible"], couplings.slices["visible"]].any()


def test_the_published_classifier_has_60_717_couplings():
    couplings = tt.BlockCouplings(
        {"input": 784, "hidden": 64, "output": 10},
        [("input", "hidden"), ("hidden", "hidden"), ("hidden", "output"), ("output", "output"), ("input", "output")],
    )
    assert couplings.num_bonds == 60_791 - 74  # 74 of its parameters are biases


def test_block_field_never_builds_the_whole_matrix(monkeypatch):
    couplings = tt.BlockCouplings({"visible": 40, "hidden": 20}, [("visible", "hidden"), ("hidden", "hidden")])
    monkeypatch.setattr(type(couplings), "matrix", None)
    shapes = []
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: shapes.append(tuple(b.shape)) or torch.matmul(a, b))
    couplings(torch.ones(3, 60))
    assert sorted(shapes) == [(20, 20), (20, 40), (40, 20)]


def test_block_finds_its_rows_and_columns():
    couplings = TOPOLOGIES["three blocks"]()
    matrix = random_matrix(7).float().masked_fill(~couplings.mask(), 0.0)
    couplings.load_matrix(matrix)
    assert torch.equal(couplings.block("c", "a"), matrix[5:7, 0:2])
    assert torch.equal(couplings.block("b", "b"), matrix[2:5, 2:5])


@pytest.mark.parametrize("periodic", [False, True])
def test_lattice_bonds_are_those_of_a_walk_over_the_sites(periodic):
    height, width, offsets = 4, 5, [(0, 1), (1, 0), (1, -2)]
    expected = torch.zeros(20, 20, dtype=torch.bool)
    for row in range(height):
        for column in range(width):
            for down, right in offsets:
                i, j = row + down, column + right
                if periodic:
                    i, j = i % height, j % width
                if 0 <= i < height and 0 <= j < width:
                    expected[row * width + column, i * width + j] = expected[i * width + j, row * width + column] = True
    assert torch.equal(tt.LatticeCouplings((height, width), offsets, periodic=periodic).mask(), expected)


def test_from_matrix_keeps_dtype_and_takes_whole_numbers():
    matrix = random_matrix(4)
    assert torch.equal(tt.DenseCouplings.from_matrix(matrix).matrix(), matrix)
    assert tt.DenseCouplings.from_matrix(torch.tensor([[0, 1], [1, 0]])).matrix().tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize(("entry", "rounding"), [(1e3, 5e-4), (1e-3, 5e-7)])
def test_a_matrix_may_be_asymmetric_by_a_rounding_of_its_largest_entry_or_of_one(entry, rounding):
    """The upper triangle counts."""
    matrix = torch.tensor([[0.0, entry], [entry + rounding, 0.0]], dtype=torch.float64)
    assert tt.DenseCouplings.from_matrix(matrix).matrix()[1, 0] == entry


@torch.no_grad()
def test_set_block_reads_the_triangle_or_the_diagonal_that_has_the_bonds():
    block = torch.arange(1.0, 10.0).view(3, 3)
    couplings = tt.BlockCouplings({"a": 3, "b": 3}, [("a", "a")], one_to_one=[("a", "b")])
    couplings.set_block("a", "a", block)
    couplings.set_block("a", "b", 10 * block)
    assert couplings.block("a", "a").tolist() == [[0, 2, 3], [2, 0, 6], [3, 6, 0]]
    assert couplings.block("a", "b").tolist() == [[10, 0, 0], [0, 50, 0], [0, 0, 90]]


def entry(i: int, j: int, value: float, symmetric: bool = True) -> torch.Tensor:
    matrix = torch.zeros(4, 4)
    matrix[i, j] = value
    if symmetric:
        matrix[j, i] = value
    return matrix


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: tt.DenseCouplings.from_matrix(entry(0, 2, 1.0, symmetric=False)),
            r"not symmetric .* \(J \+ J.T\) / 2",
        ),
        (lambda: tt.DenseCouplings.from_matrix(1e3 * (entry(0, 2, 1.0) + entry(0, 1, 2e-6, False))), "not symmetric"),
        (lambda: tt.DenseCouplings.from_matrix(entry(0, 1, 2e-6, symmetric=False)), "J_ij - J_ji. is 2e-06"),
        (lambda: tt.DenseCouplings.from_matrix(entry(1, 1, 1.0)), "self-coupling"),
        (lambda: tt.DenseCouplings.from_matrix(entry(0, 1, float("nan"))), "finite"),
        (lambda: tt.DenseCouplings.from_matrix(torch.zeros(2, 3)), "expected a matrix of shape"),
        (lambda: tt.DenseCouplings.from_matrix(torch.zeros(3)), "square matrix"),
        (lambda: tt.DenseCouplings(4).load_matrix(torch.zeros(3, 3)), r"shape \(4, 4\), got \(3, 3\)"),
        (lambda: tt.LatticeCouplings((2, 2), [(0, 1)]).load_matrix(entry(0, 2, 1.0)), r"J\[0, 2\] = 1 .* not a bond"),
        (lambda: tt.DenseCouplings(0), "num_units: expected at least 1, found 0"),
        (lambda: tt.BlockCouplings({}, []), "at least one group"),
        (lambda: tt.BlockCouplings({"a": 0}, []), r"groups\['a'\]: expected at least 1"),
        (lambda: tt.BlockCouplings({"a": 2}, [("a", "b")]), "unknown group 'b'"),
        (lambda: tt.BlockCouplings({"a": 2, "b": 3}, [], one_to_one=[("a", "b")]), "two groups of equal size"),
        (lambda: tt.BlockCouplings({"a": 2}, [], one_to_one=[("a", "a")]), "two groups of equal size"),
        (lambda: tt.BlockCouplings({"a": 2, "b": 2}, [("a", "b", "a")]), "expected two names each"),
        (lambda: tt.BlockCouplings({"a": 2, "b": 2}, [("a", "b"), ("b", "a")]), "name each pair once"),
        (lambda: tt.BlockCouplings({"a": 2, "b": 2}, [("a", "b")], one_to_one=[("b", "a")]), "name each pair once"),
        (lambda: tt.BlockCouplings({"a.b": 2}, [("a.b", "a.b")]), "may not contain"),
        (lambda: tt.BlockCouplings({"a-b": 2}, [("a-b", "a-b")]), "may not contain"),
        (lambda: tt.LatticeCouplings((3, 3), [(0, 1), (0, -1)]), "name a bond twice"),
        (lambda: tt.LatticeCouplings((3, 3), [(0, 0)]), "couple a unit to itself"),
        (lambda: tt.LatticeCouplings((3, 3), [(3, 0)], periodic=True), "couple a unit to itself"),
    ],
)
def test_bad_couplings_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
