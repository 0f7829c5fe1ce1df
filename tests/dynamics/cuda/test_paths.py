"""Kernels against the reference backend, path by path, over sizes that fit no tile."""

import pytest
import torch

from tests.dynamics.cuda.cases import Case, changed, rms_ratio
from tests.dynamics.cuda.checks import assert_parts_are_the_whole
from thermotorch.dynamics import cuda as kernels
from thermotorch.dynamics.cuda.run import Run
from thermotorch.dynamics.operators.arguments import Langevin

CASES = {
    "one unit": Case(1, 1, 3, coupling=0.0),
    "one sample": Case(17, 1, 3),
    "recording a resumed run": Case(5, 3, 4, "heun", record=2, start_step=1, drive="sample"),
    "seed and step beyond 32 bits": Case(
        33, 19, 4, "leimkuhler_matthews", record=3, start_step=2**33 + 5, seed=2**64 - 7
    ),
    "force of each step": Case(20, 9, 3, drive="step"),
    "force of each step and sample": Case(20, 9, 3, "heun", drive="step and sample"),
    "samples from the middle of a group": Case(70, 18, 3, drive="unit", first_sample=3, clamped=9, keep=1),
    "the last samples there are": Case(20, 18, 2, first_sample=2**34 - 24),
    "shuffled samples": Case(80, 18, 3, "heun", shuffled=True, record=1),
    "every unit clamped": Case(12, 5, 3, clamped=12),
    "no couplings, no noise": Case(12, 5, 3, coupling=0.0, temperature=0.0),
    "widest": Case(128, 16, 2, keep=1),
}


@pytest.fixture(params=["resident", "streamed"])
def way(request, monkeypatch) -> str:
    if request.param == "streamed":
        monkeypatch.setattr(kernels.resident, "MAX_UNITS", 0)
    return request.param


@pytest.mark.parametrize("name", CASES)
def test_paths_are_those_of_the_reference(name, way, device):
    case = CASES[name]
    end, recorded, kept = kernels.langevin(*case.arguments(device))
    run = case.reference()[-1]
    assert rms_ratio(end, run.state) < 5e-7
    assert recorded.shape[0] == (0 if run.states is None else len(run.states))
    if case.record:
        assert rms_ratio(recorded, run.states) < 5e-7
    assert torch.equal(end[:, case.clamp].cpu(), case.state[:, case.clamp].float())
    if case.keep:
        assert len(kept) == (case.steps - 1) // case.keep
        shorter = Case(**{**vars_of(case), "steps": case.keep * len(kept), "keep": 0})
        again = kernels.langevin(*shorter.arguments(device))[0]
        assert torch.equal(kept[-1], again)


def vars_of(case: Case) -> dict:
    return {name: getattr(case, name) for name in Case.__dataclass_fields__}


def test_more_units_than_a_tile_and_more_samples_than_a_program(device):
    case = Case(130, 70, 2)
    assert rms_ratio(kernels.langevin(*case.arguments(device))[0], case.reference()[-1].state) < 5e-7


@pytest.mark.parametrize("integrator", ["euler_maruyama", "heun"])
def test_products_by_the_library_give_the_same_path(integrator, device):
    case = Case(70, 18, 3, integrator, drive="sample", clamped=4)
    end = kernels.streamed.langevin(Run.of(Langevin(*case.arguments(device))), library=True)[0]
    assert rms_ratio(end, case.reference()[-1].state) < 5e-7
    assert torch.equal(end[:, case.clamp].cpu(), case.state[:, case.clamp].float())


@pytest.mark.parametrize("integrator", ["euler_maruyama", "heun", "leimkuhler_matthews"])
def test_a_run_in_two_halves_and_a_run_in_two_batches_are_bit_identical(integrator, way, device):
    assert_parts_are_the_whole(Case(40, 24, 6, integrator), device)


def test_tf32_rounds_operands_and_nothing_else(way, device):
    """Far from float32, far from bfloat16; with couplings off it is float32 but for the noise of a GPU."""
    case = Case(40, 17, 4, precision="tf32", coupling=1.0)
    error = rms_ratio(displacement(case, device), case.reference()[-1].state - case.state)
    assert 1e-6 < error < 5e-4
    case = Case(40, 17, 4, precision="tf32", coupling=0.0)
    assert rms_ratio(displacement(case, device), case.reference()[-1].state - case.state) < 2e-6


def displacement(case: Case, device: str) -> torch.Tensor:
    return kernels.langevin(*case.arguments(device))[0].double().cpu() - case.state


def test_nothing_to_do_gives_copies(device):
    for case in (Case(4, 3, 0), Case(4, 0, 2)):
        arguments = case.arguments(device)
        end, recorded, kept = kernels.langevin(*arguments)
        assert torch.equal(end, arguments[0]) and end.data_ptr() != arguments[0].data_ptr() or not end.numel()
        assert recorded.shape == kept.shape == (0, case.batch, 4)


def test_couplings_in_blocks_are_one_matrix(way, device):
    case = Case(30, 6, 3)
    whole = case.arguments(device)
    (matrix,) = Langevin(*whole).blocks
    blocks = [matrix[:12, 12:], matrix[:12, 12:].T, matrix[12:, 12:], matrix[:12, :12]]
    rows, columns = torch.tensor([0, 12, 12, 0]), torch.tensor([12, 0, 12, 0])
    parts = changed(whole, blocks=blocks, rows=rows, columns=columns)
    assert torch.equal(kernels.langevin(*parts)[0], kernels.langevin(*whole)[0])


def test_unknown_precision_is_refused(device):
    with pytest.raises(ValueError, match="precision: expected one of 'ieee', 'tf32', 'bf16', got 'fp8'"):
        kernels.langevin(*Case(4, 3, 2, precision="fp8").arguments(device))
