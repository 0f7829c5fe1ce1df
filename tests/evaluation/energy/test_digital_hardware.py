import pytest
import torch
from torch import nn

from tests.evaluation.energy.joules import close
from thermotorch.evaluation.energy.digital_count import DigitalCount, count
from thermotorch.evaluation.energy.digital_hardware import HARDWARE_CLASSES, BoardClass, digital_ledgers, hardware_class
from thermotorch.evaluation.energy.ledger import LANDAUER
from thermotorch.units import landauer_bound

# 1e9 operations, weights of 1e6 numbers read ten times, 4e7 other numbers.
WORK = DigitalCount(int(1e9), {"": int(1e9)}, int(1e7), int(4e7), int(1e6) + 784, 784)


def lines(name, work=WORK):
    return {line.contribution: line for line in hardware_class(name).ledger("digital", work).lines}


def test_arithmetic_at_45_nm_is_half_an_addition_and_half_a_multiplication():
    assert lines("45 nm fp32")["arithmetic"].joule == close(1e9 * (0.9e-12 + 3.7e-12) / 2)
    assert lines("45 nm int8")["arithmetic"].joule == close(1e9 * (0.03e-12 + 0.2e-12) / 2)


def test_an_instruction_of_a_processor_costs_70_pJ_more():
    """One multiply-add a instruction in fp32, four in int8."""
    assert lines("45 nm fp32")["arithmetic"].high == close(0.5e9 * (4.6e-12 + 70e-12))
    assert lines("45 nm int8")["arithmetic"].high == close(0.5e9 * (0.23e-12 + 70e-12 / 4))


def test_memory_traffic_by_the_byte():
    on_chip, dram = lines("45 nm fp32")["on-chip memory traffic"], lines("45 nm fp32")["DRAM traffic"]
    assert on_chip.joule == close(5e7 * 4 * 100e-12 / 8)
    assert dram.joule == close((1e7 + 784) * 4 * 2e-9 / 8)
    assert dram.low == close((1e6 + 784) * 4 * 1.3e-9 / 8)  # each weight once
    assert lines("45 nm int8")["on-chip memory traffic"].joule == close(on_chip.joule / 4)


def test_a_board_at_its_peak():
    assert lines("A100 fp32")["arithmetic"].joule == close(1e9 * 400 / 19.5e12)
    assert lines("H100 fp16")["arithmetic"].joule == close(1e9 * 700 / 989.4e12)
    assert lines("A100 fp32")["arithmetic"].high == close(20 * 1e9 * 400 / 19.5e12)  # a twentieth of the peak


@pytest.mark.parametrize("name", [kind.name for kind in HARDWARE_CLASSES if not kind.name.startswith("45 nm")])
def test_a_board_takes_the_longer_of_computing_and_moving(name):
    """No joule is counted twice: the total is the power times the longer of the two times."""
    board = hardware_class(name)
    computing = WORK.flops / board.peak.value
    moving = WORK.numbers * board.bytes_per_number / board.bandwidth.value
    assert board.ledger("digital", WORK).total.joule == close(board.watt.value * max(computing, moving))


def test_a_batch_is_shared_by_its_samples():
    batch = DigitalCount(10 * WORK.flops, {}, WORK.weight_numbers, 10 * WORK.activation_numbers, 10**6, 784, 10)
    one, ten = lines("45 nm fp32"), lines("45 nm fp32", batch)
    assert ten["arithmetic"].joule == close(one["arithmetic"].joule)
    assert ten["DRAM traffic"].joule < 0.11 * one["DRAM traffic"].joule


@pytest.mark.parametrize("kind", HARDWARE_CLASSES, ids=lambda kind: kind.name)
def test_every_class_ends_with_the_scale_and_is_modelled(kind):
    ledger = kind.ledger("digital", WORK)
    assert (ledger.lines[-1].contribution, ledger.kind, ledger.scenario) == (LANDAUER, "modelled", kind.name)
    assert ledger.lines[-1].joule == close(landauer_bound(784))
    assert not ledger.missing


def test_a_counted_model_is_priced_on_all_hardware():
    layer = nn.Linear(30, 20, bias=False).requires_grad_(False)
    ledgers = digital_ledgers("a layer", count(layer, lambda: layer(torch.zeros(1, 30))))
    assert [ledger.scenario for ledger in ledgers] == [kind.name for kind in HARDWARE_CLASSES]
    assert {ledger.model for ledger in ledgers} == {"a layer"}
    assert ledgers[0].lines[0].joule == close(600 * 4.6e-12)


@pytest.mark.parametrize("kind", HARDWARE_CLASSES, ids=lambda kind: kind.name)
def test_a_model_without_counted_operations_has_no_arithmetic_and_a_total_that_is_a_bound(kind):
    state = nn.Parameter(torch.ones(30), requires_grad=False)  # element by element
    (ledger,) = digital_ledgers("spins", count(nn.ParameterList([state]), lambda: (state * state).tanh()[None]), [kind])
    assert ledger.missing == ("arithmetic",) and ledger.total.at_least and ledger.total.joule > 0


def test_unknown_hardware_lists_what_is_close():
    with pytest.raises(ValueError, match="H100 fp16"):
        hardware_class("H100 fp17")


@pytest.mark.parametrize("kind", HARDWARE_CLASSES, ids=lambda kind: kind.name)
def test_a_batch_that_shares_nothing_costs_each_sample_what_one_alone_costs(kind):
    """Ten times the operations, the reads and the least traffic of one, for ten samples: value and range alike."""
    alone = DigitalCount(10**9, {}, 10**7, 4 * 10**7, 10**6, 784)
    batch = DigitalCount(10**10, {}, 10**8, 4 * 10**8, 10**7, 784, num_samples=10)
    one, ten = (kind.ledger("digital", work).lines for work in (alone, batch))
    for mine, other in zip(one, ten, strict=True):
        assert (other.contribution, other.joule, other.low, other.high) == (
            mine.contribution, close(mine.joule), close(mine.low), close(mine.high)
        )  # fmt: skip


def test_the_range_of_waiting_ends_at_the_least_traffic_and_at_no_computing():
    """WORK of 1e9 operations on the board: a program at a twentieth of the peak hides all waiting for the least."""
    board, n = hardware_class("A100 fp32"), 4 / 2.039e12
    line = lines("A100 fp32")["waiting for memory"]
    assert line.joule == close(400 * (5e7 * n - 1e9 / 19.5e12))
    assert line.low == 0.0 == board.ledger("digital", WORK).lines[1].low
    assert line.high == close(board.watt.high * (5e7 * n - 1e9 / 19.5e12))
    idle = DigitalCount(1, {}, 10**7, 4 * 10**7, 10**7, 784)  # nothing to compute: the least traffic is all waiting
    assert lines("A100 fp32", idle)["waiting for memory"].low == close(board.watt.low * 10**7 * n, rel=1e-3)


@pytest.mark.parametrize("hardware", HARDWARE_CLASSES, ids=lambda hardware: hardware.name)
def test_a_class_moves_numbers_of_the_size_that_its_name_says(hardware):
    """And boards of smaller numbers do more of them a second, at the same power and bandwidth."""
    device, _, precision = hardware.name.rpartition(" ")
    size = {"fp32": 4, "fp16": 2, "int8": 1}
    assert hardware.bytes_per_number == size[precision]
    for other in HARDWARE_CLASSES:
        if isinstance(hardware, BoardClass) and other.name.startswith(device) and other is not hardware:
            smaller = size[other.name.rpartition(" ")[2]] < size[precision]
            assert (other.peak.value > hardware.peak.value) == smaller
            assert (other.watt, other.bandwidth) == (hardware.watt, hardware.bandwidth)


def test_notes_of_traffic_are_the_bytes_that_were_priced():
    for hardware in HARDWARE_CLASSES:
        by_name, size = lines(hardware.name), hardware.bytes_per_number
        most, least = (WORK.weight_numbers + WORK.sample_numbers) * size, WORK.least_numbers * size
        if isinstance(hardware, BoardClass):
            assert by_name["waiting for memory"].note == (
                f"{WORK.numbers * size:.3g} bytes if every operation goes to memory; at least {least:.3g}"
            )
        else:
            every = f"{WORK.numbers * size:.3g} bytes: every operation's inputs and outputs, once"
            assert by_name["on-chip memory traffic"].note == every
            assert by_name["DRAM traffic"].note == (
                f"{most:.3g} bytes: weights at every use, and the sample; at least {least:.3g}, each weight once"
            )
        assert by_name[LANDAUER].note.startswith("least heat of erasing 784 bits, one for each pixel, at 300 K")
