"""The board: inverses and Gaussians from voltages, component errors, converters, mitigation, what cannot be built."""

import json

import pytest
import torch

from tests.linear_algebra.matrices import normal, positive
from tests.physics import assert_within
from thermotorch.linear_algebra.board.spu import StochasticProcessingUnit

SIGMAS = 4.5


def buildable(cells: int, strength: float = 0.8, seed: int = 0) -> torch.Tensor:
    """Return couplings of both signs, whose moduli have the largest eigenvalue `strength`, between uneven cells."""
    off = normal(cells, cells, seed=seed).triu(1)
    off = off + off.T
    off = strength * off / torch.linalg.eigvalsh(off.abs())[-1]
    stretch = torch.linspace(0.7, 1.4, cells, dtype=torch.float64)
    return stretch[:, None] * (torch.eye(cells) + off) * stretch


def settled(board: StochasticProcessingUnit, matrix: torch.Tensor, **options) -> torch.Tensor:
    """Return the limit of the board's inverse for infinitely many reads, [board, cell, cell]."""
    built, weights = board.circuits(matrix, **options)
    return board.calibration(matrix) * sum(
        weight * circuit.stationary()[1] for circuit, weight in zip(built, weights, strict=True)
    )


@pytest.mark.parametrize("cells", [4, 8])
def test_an_ideal_board_inverts_within_its_standard_error(cells):
    A, board = buildable(cells), StochasticProcessingUnit(cells)
    truth = torch.linalg.inv(A)
    torch.testing.assert_close(settled(board, A)[0], truth)
    found = board.inverse(A, boards=4, reads=10_000, seed=0)
    assert_within(found.value, truth, found.stderr, SIGMAS)
    assert found.value.shape == (4, cells, cells)
    assert found.seconds == pytest.approx(5e-4 + 10_000 * 2e-5)
    assert (found.reads, found.loads) == (10_000, 1)


@pytest.mark.parametrize("given", ["precision", "covariance"])
def test_a_gaussian_of_a_wanted_law(given):
    A, board = buildable(8), StochasticProcessingUnit()
    x = board.gaussian(20_000, **{given: A if given == "precision" else torch.linalg.inv(A)})
    blocks = torch.stack([part.T @ part / len(part) for part in x.split(1000)])
    assert_within(blocks.mean(0), torch.linalg.inv(A), blocks.std(0) / 20**0.5, SIGMAS)
    fourth = (x**4).mean(0) / (x**2).mean(0) ** 2
    assert_within(fourth, 3.0, (96 / 20_000) ** 0.5, SIGMAS)


def test_a_matrix_of_another_dtype_is_taken_in_that_of_the_board():
    board, matrix = StochasticProcessingUnit(cells=4), buildable(4)
    scale = board.scale(matrix.float())
    assert scale.dtype == board.inductance.dtype == torch.float64
    torch.testing.assert_close(scale, board.scale(matrix), rtol=1e-5, atol=0)


def test_an_uneven_matrix_is_rescaled_until_capacitors_can_make_it():
    """A row whose couplings outweigh its diagonal, although none do after scaling."""
    A = torch.eye(4, dtype=torch.float64)
    A[0, 1:] = A[1:, 0] = 0.5
    assert (A.abs().sum(1) > 2 * A.diagonal()).any()
    board = StochasticProcessingUnit(4)
    (circuit,), _ = board.circuits(A)
    assert (circuit.capacitance.sum(-1) > -1e-20).all()
    torch.testing.assert_close(settled(board, A)[0], torch.linalg.inv(A))


def test_tolerance_is_a_property_of_each_board():
    A, board = buildable(8), StochasticProcessingUnit(tolerance=0.01)
    many = settled(board, A, boards=50)
    error = (many - torch.linalg.inv(A)).flatten(1).norm(dim=1) / torch.linalg.inv(A).norm()
    assert 0.003 < error.mean() < 0.03
    assert error.std() > 0.001
    torch.testing.assert_close(settled(board, A, boards=3, first_board=7), many[7:10])
    assert not torch.allclose(settled(board, A, hardware_seed=1), many[:1])
    found = board.inverse(A, boards=2, reads=20_000)
    assert_within(found.value, many[:2], found.stderr, SIGMAS)
    rough, which = StochasticProcessingUnit(4, tolerance=0.3), {"first_board": 5, "hardware_seed": 2}
    found, limit = rough.inverse(buildable(4), boards=2, reads=2_000, **which), settled(rough, buildable(4), **which)
    assert_within(found.value[0], limit[0], found.stderr[0], SIGMAS)
    for other in ({"hardware_seed": 2}, {"first_board": 5}):
        far = (settled(rough, buildable(4), **other)[0] - limit[0]).abs() / found.stderr[0]
        assert far.max() > 2 * SIGMAS, "another board would be seen"
    volts = rough.read(rough.circuits(buildable(4), **which)[0][0], 30, seed=1)
    scale = rough.scale(buildable(4)) * (1e-8 / (3e-13 * 330.0)) ** 0.5
    samples = rough.gaussian(30, precision=buildable(4), seed=1, board=5, hardware_seed=2)
    torch.testing.assert_close(samples, torch.cat(list(volts))[:, 0] * scale)


def test_a_small_matrix_uses_the_first_cells_of_its_board():
    """The components of a 4 x 4 corner are the same ones that an 8 x 8 matrix of that corner would meet."""
    A, board = buildable(4), StochasticProcessingUnit(tolerance=0.02)
    whole = settled(board, torch.block_diag(A, torch.eye(4, dtype=torch.float64)), boards=3)
    torch.testing.assert_close(settled(board, A, boards=3), whole[:, :4, :4], rtol=1e-6, atol=0)


def test_component_errors_are_first_order():
    A = buildable(8)
    boards = [StochasticProcessingUnit(tolerance=tolerance) for tolerance in (1e-3, 2e-3)]
    deviation = [(settled(board, A, boards=20) - torch.linalg.inv(A)).norm() for board in boards]
    assert (deviation[1] / deviation[0]).item() == pytest.approx(2.0, rel=0.02)


def test_averaging_over_capacitor_settings_turns_first_order_into_second():
    A = buildable(8)
    error = {}
    for mitigate in (False, True):
        for step in (4e-11, 2e-11, 1e-11):
            board = StochasticProcessingUnit(capacitor_step=step)
            found = settled(board, A, mitigate=mitigate)[0]
            error[mitigate, step] = ((found - torch.linalg.inv(A)).norm() / torch.linalg.inv(A).norm()).item()
    assert error[True, 4e-11] / error[True, 1e-11] == pytest.approx(16, rel=0.5)
    assert error[False, 4e-11] / error[False, 1e-11] < 9
    assert error[True, 1e-11] < 0.2 * error[False, 1e-11]


def test_a_cell_may_be_held_by_its_couplings_alone():
    A = torch.tensor([[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 2.0]], dtype=torch.float64)
    board = StochasticProcessingUnit(4, capacitor_step=1e-12, tolerance=0.0)
    (circuit,), _ = board.circuits(A)
    torch.testing.assert_close(circuit.capacitance[0] / circuit.capacitance[0, 0, 0], A / 2, rtol=0, atol=1e-3)


def test_a_mitigated_run_takes_its_time_and_is_right():
    A, board = buildable(4), StochasticProcessingUnit(4, capacitor_step=2e-10)
    found = board.inverse(A, boards=2, reads=20_000, mitigate=True)
    assert 2 <= found.loads <= 11, "ten capacitors have at most ten remainders"
    assert found.seconds == pytest.approx(found.loads * 5e-4 + found.reads * 2e-5)
    assert_within(found.value, settled(board, A, mitigate=True), found.stderr, SIGMAS)


def test_the_converter_adds_a_twelfth_of_its_step_squared():
    A = buildable(8)
    coarse, fine = StochasticProcessingUnit(adc_bits=4, adc_range=0.8), StochasticProcessingUnit()
    (circuit,), _ = fine.circuits(A, boards=8)
    volts = torch.cat(list(fine.read(circuit, 5000)))
    step = 0.1
    extra = coarse.convert(volts).square() - volts.square()
    blocks = extra.view(20, 250, 8, 8).mean((1, 3)).flatten()
    assert_within(blocks.mean(), step**2 / 12, blocks.std() / len(blocks) ** 0.5, SIGMAS)
    assert coarse.convert(torch.tensor([9.0, -9.0])).tolist() == pytest.approx([0.7, -0.8])
    assert torch.equal(fine.convert(volts), volts)


def test_unequal_resistances_and_filtered_noise_are_seen():
    A, truth = buildable(4), torch.linalg.inv(buildable(4))
    for options in ({"resistance": [250.0, 330.0, 330.0, 410.0]}, {"bandwidth": 1e6}):
        off = settled(StochasticProcessingUnit(4, **options), A)[0] - truth
        assert 0.005 < off.norm() / truth.norm() < 0.3


def test_config_is_plain_and_rebuilds_the_board():
    board = StochasticProcessingUnit(4, resistance=(300.0, 330.0, 330.0, 360.0), tolerance=0.01, adc_bits=12)
    again = StochasticProcessingUnit(**json.loads(json.dumps(board.config)))
    assert again.config == board.config
    A = buildable(4)
    assert torch.equal(again.inverse(A, reads=100, seed=0).value, board.inverse(A, reads=100, seed=0).value)
    torch.manual_seed(3)
    found = board(A)
    torch.manual_seed(3)
    assert torch.equal(found, board.inverse(A).value[0])


@pytest.mark.parametrize(("call", "message"), [
    (lambda: StochasticProcessingUnit(4).inverse(torch.eye(8)), "matrix: expected at most 4 x 4 cells"),
    (lambda: StochasticProcessingUnit(4).inverse(torch.ones(4, 4)), "A is singular"),
    (lambda: StochasticProcessingUnit(2).inverse(torch.tensor([[1.0, 2.0], [2.0, 1.0]])), "A is indefinite"),
    (lambda: StochasticProcessingUnit(2).inverse(torch.tensor([[1.0, 0.2], [0.0, 1.0]])), "A is asymmetric"),
    (lambda: StochasticProcessingUnit(4).inverse(0.3 * torch.eye(4) + 0.7), "cannot be built of capacitors"),
    (lambda: StochasticProcessingUnit(4, capacitor_step=5e-8).inverse(torch.eye(4)), "capacitor_step: 5e-08 F"),
    (lambda: StochasticProcessingUnit(4, resistance=[1.0, 2.0]), "resistance: expected a positive number"),
    (lambda: StochasticProcessingUnit(4).gaussian(10), "expected one of the two"),
    (lambda: StochasticProcessingUnit(2).gaussian(10, covariance=torch.ones(2, 2)), "A is singular"),
    (lambda: StochasticProcessingUnit(2).gaussian(10, precision=torch.eye(2), covariance=torch.eye(2)), "of the two"),
    (lambda: StochasticProcessingUnit(4).inverse(torch.ones(4)), "matrix: expected at most 4 x 4 cells"),
    (lambda: StochasticProcessingUnit(4, inductance=[1e-3, 1e-3, 0.0, 1e-3]), r"inductance\[2\] must be finite and"),
    (lambda: StochasticProcessingUnit(2).inverse(torch.eye(2), hardware_seed=-1), "hardware_seed must lie in"),
    (lambda: StochasticProcessingUnit(noise=0.0), "noise must be finite and positive"),
    (lambda: StochasticProcessingUnit(tolerance=0.5), "tolerance: expected 0"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_matrix_of_a_digital_problem_is_sent_to_the_ideal_device():
    with pytest.raises(ValueError, match="linear_algebra.solve.inverse"):
        StochasticProcessingUnit(8).inverse(positive(8, ridge=0.05))


@pytest.mark.parametrize("mitigate", [False, True])
def test_the_standard_error_is_the_spread_over_boards(mitigate):
    """Of boards with perfect components, which differ in their noise alone; also averaged with unequal weights."""
    A, board, boards = buildable(4), StochasticProcessingUnit(4, capacitor_step=2e-10), 400
    assert len(set(board.circuits(A, mitigate=mitigate)[1].tolist())) > 1 or not mitigate
    found = board.inverse(A, boards=boards, reads=2_000, seed=3, mitigate=mitigate)
    squares = (found.value - settled(board, A, mitigate=mitigate)).square() / found.stderr.square().mean(0)
    assert_within(squares.mean(0), 1.0, squares.std(0) / boards**0.5 + 0.02, SIGMAS)
