"""Kernels of the alternating scheme against the reference backend in float64: paths, and every gradient by autograd."""

from dataclasses import replace

import pytest
import torch

from tests.dynamics.cuda.cases import Case, changed, rms_ratio
from tests.dynamics.cuda.checks import assert_parts_are_the_whole, gradients
from thermotorch.dynamics import cuda as kernels


def machine(groups: tuple[int, ...], pairs: tuple[tuple[int, int], ...], batch: int, steps: int, **options) -> Case:
    options = {"integrator": "alternating", "dt": 0.1, **options}
    return Case(sum(groups), batch, steps, groups=groups, pairs=pairs, **options)


CASES = {
    "one unit": machine((1,), (), 1, 3),
    "one unit of each colour": machine((1, 1), ((0, 1),), 1, 4, keep=1),
    "one sample, sizes of no tile": machine((70, 35), ((0, 1),), 1, 3, drive="unit", keep=2),
    "label, hidden, visible": machine(
        (3, 67, 20), ((0, 1), (2, 1)), 9, 5, record=2, keep=2, start_step=1, drive="step and sample", clamped=3),
    "colours that interleave": machine(
        (3, 4, 5, 6), ((0, 1), (3, 2)), 5, 4, record=1, keep=1, drive="step", first_sample=2, wells=True),
    "units without couplings": machine((5, 20, 9, 7), ((1, 3),), 19, 3, drive="sample", clamped=2),
    "no couplings": machine((7, 20), (), 18, 3, keep=1, drive="step", wells=True, seed=2**64 - 7, start_step=2**33 + 5),
    "wide wells, shuffled samples": machine((40, 33), ((0, 1),), 18, 4, keep=2, shuffled=True, wells=True, record=3),
    "every unit clamped": machine((4, 8), ((0, 1),), 3, 3, clamped=12),
    "no noise": machine((4, 8), ((0, 1),), 3, 3, temperature=0.0, drive="unit"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_paths_are_those_of_the_reference(name, device):
    case = CASES[name]
    end, recorded, kept = kernels.langevin(*case.arguments(device))
    run, start = case.reference()[-1], case.state.float().double()
    moved = rms_ratio(end.double().cpu() - start, (run.state - start).detach()) if name != "every unit clamped" else 0.0
    assert moved < 2e-6  # of the displacement
    assert len(recorded) == (0 if run.states is None else len(run.states))
    if case.record:
        assert rms_ratio(recorded, run.states) < 5e-7
    assert torch.equal(end[:, case.clamp].cpu(), case.state[:, case.clamp].float())
    if case.keep:
        assert len(kept) == (case.steps - 1) // case.keep
        arguments = changed(case.arguments(device), steps=case.keep * len(kept))
        assert torch.equal(kernels.langevin(*arguments)[0], kept[-1])


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_reference(name, device):
    found, leaves, of_bonds = gradients(CASES[name], device)
    of_leaves, of_blocks = found[:3], found[3:]
    pairs = [(here, there) for here, there in zip(of_leaves, leaves, strict=True) if there is not None]
    for one, other, bonds in zip(of_blocks[::2], of_blocks[1::2], of_bonds, strict=True):
        pairs.append((one + other.T, bonds))  # a bond is in two blocks, one the transpose of the other
    for here, there in pairs:
        if not there.any():
            assert not here.any()
        else:
            assert rms_ratio(here, there) < 2e-6


def test_more_units_than_a_tile_and_more_samples_than_a_program(device):
    case = machine((130, 90), ((0, 1),), 70, 2)
    assert rms_ratio(kernels.langevin(*case.arguments(device))[0], case.reference()[-1].state) < 5e-7


def test_a_run_in_two_halves_and_a_run_in_two_batches_are_bit_identical(device):
    assert_parts_are_the_whole(machine((30, 10), ((0, 1),), 24, 6, drive="sample"), device)


def test_pieces_of_a_batch_are_the_batch(device, monkeypatch):
    case = machine((30, 10), ((0, 1),), 150, 2, record=1, keep=1, drive="step and sample")
    whole = kernels.langevin(*case.arguments(device))
    monkeypatch.setattr(kernels.pipeline, "CACHE", 1e3)
    for found, expected in zip(kernels.langevin(*case.arguments(device)), whole, strict=True):
        assert torch.equal(found, expected)


@pytest.fixture
def narrow(device, monkeypatch):
    """The interpreter has no bfloat16: its copies of the operands become float16, which shows that they are kept up."""
    if device == "cpu":
        monkeypatch.setattr(torch, "bfloat16", torch.float16)


@pytest.mark.parametrize("precision, least, most", [("tf32", 1e-6, 5e-4), ("bf16", 1e-5, 1e-2)])
def test_operands_are_rounded_and_nothing_else(precision, least, most, narrow, device):
    case = machine((40, 24), ((0, 1),), 17, 4, precision=precision, coupling=1.0, keep=2)
    run, arguments = case.reference(), case.arguments(device)
    end, recorded, kept = kernels.langevin(*arguments)
    expected = run[-1].state.detach() - case.state
    assert least < rms_ratio(end.double().cpu() - case.state, expected) < most
    run[-1].state.sum().backward()
    found = kernels.langevin_backward(*arguments, torch.ones_like(end), recorded, kept, True, False)
    assert rms_ratio(found[0], run[1].grad) < 3 * most
    assert rms_ratio(found[3] + found[4].T, next(run[0].couplings.parameters()).grad) < 3 * most
    free = replace(case, coupling=0.0)
    expected = free.reference()[-1].state.detach() - free.state
    assert rms_ratio(kernels.langevin(*free.arguments(device))[0].double().cpu() - free.state, expected) < 2e-6


def test_units_coupled_within_their_group_are_refused(device):
    with pytest.raises(ValueError, match="integrator='alternating' needs couplings between two sets of groups only"):
        kernels.langevin(*Case(6, 2, 1, "alternating").arguments(device))
