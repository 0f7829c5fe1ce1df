"""Settings of a classifier's evaluation begin where their numbers mean something."""

import pytest

from thermotorch.evaluation.quality.classification import ClassificationProtocol

LEAST = {"averaged": 1, "batch_size": 1, "bits": 2, "mismatch": 0.0, "seed": 0}


@pytest.mark.parametrize("name", LEAST)
def test_the_least_value_is_taken_and_the_one_below_is_refused_by_name(name):
    assert getattr(ClassificationProtocol(**{name: LEAST[name]}), name) == LEAST[name]
    with pytest.raises((ValueError, TypeError), match=name):
        ClassificationProtocol(**{name: LEAST[name] - 1})


GROUPS = [(2, 1, True), (1, 1, False), (20, 10, True), (30, 10, True), (25, 10, False), (4, 3, False)]


@pytest.mark.parametrize(("runs", "averaged", "fits"), GROUPS)
def test_runs_make_at_least_two_whole_groups(runs, averaged, fits):
    if fits:
        assert ClassificationProtocol(runs=runs, averaged=averaged).runs == runs
    else:
        with pytest.raises(ValueError, match=f"runs: expected a multiple of averaged={averaged}, at least twice that"):
            ClassificationProtocol(runs=runs, averaged=averaged)


def test_devices_are_none_or_enough_for_an_error_and_bits_may_be_exact():
    for devices in (0, 2, 3):
        assert ClassificationProtocol(devices=devices).devices == devices
    with pytest.raises(ValueError, match="devices: expected 0 or at least 2"):
        ClassificationProtocol(devices=1)
    assert ClassificationProtocol(bits=None).to_dict()["bits"] is None
