"""Each kind of argument is taken up to its edge and refused beyond, and times are whole numbers of steps."""

import numpy as np
import pytest
import torch

import thermotorch as tt
from scripts.pages.neuron_figures import neuron_response
from thermotorch.arguments import (
    count_of,
    counts_of,
    entries_of,
    flags,
    integer,
    integer_in,
    integers,
    mapping_of,
    number_of,
    per_unit,
    real,
    sample_numbers,
    seed_of,
    steps_until,
    whole_steps,
)


@pytest.mark.parametrize(
    ("time", "dt", "steps"),
    [
        (0.3, 0.1, 3),
        (2.5, 1e-3, 2500),
        (1.0, 1 / 3, 3),
        (25.0, 0.1, 250),
        (0.0, 0.1, 0),
        (1e5, 1e-3, 10**8),
        (0.20000000298023224, 0.1, 2),
    ],
)
def test_decimal_rounding_is_no_reason_to_refuse(time, dt, steps):
    assert whole_steps("time", time, dt) == steps


@pytest.mark.parametrize(
    ("time", "dt", "nearest"), [(0.25, 0.1, "0.2 or 0.3"), (0.05, 0.1, "0 or 0.1"), (1.0, 0.3, "0.9 or 1.2")]
)
def test_the_two_nearest_times_are_named(time, dt, nearest):
    with pytest.raises(ValueError, match=f"time.*write {nearest}"):
        whole_steps("time", time, dt)


@pytest.mark.parametrize(
    "make",
    [
        lambda: tt.ThermodynamicLayer(2, 2, t_final=0.25, dt=0.1),
        lambda: tt.ThermodynamicLayer(2, 2, t_final=0.2, dt=0.1).run(torch.ones(1, 2), dt=0.15),
        lambda: tt.create_model("generator", t_final=0.25, dt=0.1),
        lambda: tt.create_model("generator", t_final=0.2, dt=0.1, readout_time=0.15),
        lambda: tt.create_model("generator", hidden=4, t_final=0.2, dt=0.1).sample(1, times=[0.15]),
        lambda: tt.create_model("classifier", t_final=0.25, dt=0.1),
        lambda: tt.create_model("layered", t_final=0.25, dt=0.1)(torch.zeros(1)),
        lambda: neuron_response(torch.zeros(1), 0.25, dt=0.1),
    ],
)
def test_every_time_of_a_model_is_a_whole_number_of_steps(make):
    with pytest.raises(ValueError, match="is not a whole number of steps"):
        make()


GRADIENT = torch.ones((), requires_grad=True)
LIKE = torch.zeros(1, dtype=torch.float64)
RIGHT = [
    (lambda: integer("n", np.int64(3)), 3),
    (lambda: integer("n", torch.tensor(-3)), -3),
    (lambda: integer_in("n", 2, 2, 4), 2),
    (lambda: integer_in("n", 3, 2, 4), 3),
    (lambda: count_of("n", 1), 1),
    (lambda: count_of("n", 0, 0), 0),
    (lambda: count_of("n", 2**48 - 1), 2**48 - 1),
    (lambda: counts_of("n", (1, np.int64(2)), length=2), [1, 2]),
    (lambda: counts_of("n", [0], 0), [0]),
    (lambda: counts_of("n", []), []),
    (lambda: entries_of("n", (1, "a")), [1, "a"]),
    (lambda: mapping_of("n", {"a": 1}), {"a": 1}),
    (lambda: seed_of(0), 0),
    (lambda: seed_of(2**64 - 1), 2**64 - 1),
    (lambda: number_of("n", np.float32(0.5)), 0.5),
    (lambda: number_of("n", 0), 0.0),
    (lambda: number_of("n", -2, signed=True), -2.0),
    (lambda: number_of("n", 0.0, signed=True), 0.0),
    (lambda: number_of("n", 1e-300, positive=True), 1e-300),
    (lambda: steps_until(0.5, 0.5), 1),
    (lambda: steps_until(0.5, 0.25), 2),
    (lambda: whole_steps("n", 2.0**56 - 8, 1.0), 2**56 - 8),
    (lambda: integers("n", [[1, 2]], (1, 2)).tolist(), [[1, 2]]),
    (lambda: integers("n", torch.tensor([1], dtype=torch.int8), (1,)).dtype, torch.int64),
    (lambda: integers("n", [], (0,)).dtype, torch.int64),
    (lambda: sample_numbers(None, (2, 2)).tolist(), [[0, 1], [2, 3]]),
    (lambda: sample_numbers(None, ()).tolist(), 0),
    (lambda: sample_numbers([0, 2**34 - 1], (2,)).tolist(), [0, 2**34 - 1]),
    (lambda: sample_numbers(torch.empty(0, dtype=torch.int64), (0,)).tolist(), []),
    (lambda: sample_numbers([1], (1,), torch.device("meta")).device.type, "meta"),
    (lambda: sample_numbers(None, (1,), torch.device("meta")).device.type, "meta"),
    (lambda: flags("n", torch.tensor([True]), (1,)).tolist(), [True]),
    (lambda: real("n", torch.tensor([0.5])).tolist(), [0.5]),
    (lambda: real("n", torch.empty(2, device="meta")).shape, (2,)),
    (lambda: per_unit("n", 2, 3, LIKE).shape, ()),
    (lambda: per_unit("n", [1, 2, 3], 3, LIKE).tolist(), [1.0, 2.0, 3.0]),
    (lambda: per_unit("n", 2, 3, LIKE).dtype, torch.float64),
    (lambda: per_unit("n", torch.ones(()), 3, LIKE.to("meta")).device.type, "meta"),
    (lambda: per_unit("n", [0.0, 1.0], 2, LIKE).tolist(), [0.0, 1.0]),
    (lambda: per_unit("n", [-1.0, 1.0], 2, LIKE, signed=True).tolist(), [-1.0, 1.0]),
]
WRONG_TYPE = [
    *((lambda value=value: integer("n", value), "n must be an integer, got") for value in
      (True, np.True_, torch.tensor(True), 2.0, "3", None, torch.tensor([1, 2]))),
    *((lambda value=value: entries_of("n", value), "n must be a sequence of numbers, got") for value in
      ("ab", b"ab", {"a": 1}, 3, torch.tensor(1), np.array(1))),
    (lambda: counts_of("n", 3), "n must be a sequence of integers, got 3"),
    (lambda: counts_of("n", [1, 2.5]), r"n\[1\] must be an integer, got 2.5"),
    (lambda: mapping_of("n", [("a", 1)]), r"n must be a dict, got \[\('a', 1\)\]"),
    (lambda: seed_of(0.5), "seed must be an integer, got 0.5"),
    *((lambda value=value: number_of("n", value), "n must be a number, got") for value in
      (True, np.True_, torch.tensor(True), "1", b"1", None, 1j, torch.ones(2))),
    (lambda: number_of("n", GRADIENT), r"n: no gradient reaches it; write n.detach\(\)"),
    (lambda: per_unit("n", GRADIENT, 1, LIKE), r"n: no gradient reaches it; write n.detach\(\)"),
    *((lambda value=value: real("n", value), "n: expected a tensor of real numbers, got") for value in
      (1.0, torch.ones(1, dtype=torch.complex64), torch.ones(1, dtype=torch.int64), torch.ones(1).bool())),
    *((lambda value=value: per_unit("n", value, 2, LIKE), r"n must be a number or a tensor of shape \(2,\), got") for
      value in (True, "1", b"1", None, [1j, 1j], torch.tensor([True, False]))),
]  # fmt: skip
WRONG_VALUE = [
    (lambda: integer_in("n", 1, 2, 4), r"n must lie in \[2, 4\), got 1"),
    (lambda: integer_in("n", 4, 2, 4), r"n must lie in \[2, 4\), got 4"),
    (lambda: count_of("n", 0), "n: expected at least 1, found 0"),
    (lambda: count_of("n", 2, 3), "n: expected at least 3, found 2"),
    (lambda: count_of("n", 2**48), r"n: expected less than 2\^48, got 281474976710656"),
    (lambda: count_of("n", 10**400), r"n: expected less than 2\^48, got more than all floats"),
    (lambda: counts_of("n", [1, 0]), r"n\[1\]: expected at least 1, found 0"),
    (lambda: counts_of("n", [1, 2], length=3), r"n: expected 3 numbers, found \[1, 2\]"),
    (lambda: counts_of("n", [1], length=0), r"n: expected 0 numbers, found \[1\]"),
    (lambda: seed_of(-1), "seed must lie in"),
    (lambda: seed_of(2**64, "s"), "^s must lie in"),
    *((lambda value=value: number_of("n", value), "n must be finite and not negative, got") for value in
      (-1e-300, float("inf"), float("nan"))),
    *((lambda value=value: number_of("n", value, positive=True), "n must be finite and positive, got") for value in
      (0, -1.0, float("inf"))),
    (lambda: number_of("n", float("-inf"), signed=True), "n must be finite, got -inf"),
    (lambda: number_of("n", 10**400), "n must be finite, got an integer beyond the range of floats"),
    (lambda: whole_steps("n", 2.0**56, 1.0), r"n: 7.20576e\+16 takes 2\^56 or more steps of dt=1"),
    (lambda: whole_steps("n", -1.0, 1.0), "n must be finite and not negative"),
    (lambda: whole_steps("n", 1.0, 0.0), "dt must be finite and positive"),
    (lambda: steps_until(0.25, 0.5, "t_stage"), "dt must be positive and at most t_stage=0.25, got 0.5"),
    (lambda: steps_until(0.0, 0.5), "t_final must be finite and positive"),
    *((lambda value=value: integers("n", value, (2,)), r"n: expected an int64 tensor of shape \(2,\), got") for value in
      ([1], [1.0, 2.0], [True, False], "ab", torch.ones(2, dtype=torch.complex64), [10**30, 1])),
    (lambda: integers("n", torch.empty(0), (0,)), r"n: expected an int64 tensor of shape \(0,\), got torch.float32"),
    (lambda: sample_numbers([-1, 0], (2,)), r"sample_ids: each must lie in \[0, 2\^34\), got -1 to 0"),
    (lambda: sample_numbers([0, 2**34], (2,)), r"sample_ids: each must lie in \[0, 2\^34\), got 0 to 17179869184"),
    (lambda: flags("n", torch.tensor([1]), (1,)), r"n: expected a bool tensor of shape \(1,\), got torch.int64"),
    (lambda: flags("n", torch.tensor([True]), (2,), ", of units"), r"shape \(2,\), of units, got torch.bool \(1,\)"),
    (lambda: flags("n", [True], (1,)), r"n: expected a bool tensor of shape \(1,\), got list"),
    (lambda: real("n", torch.tensor([1.0, float("nan")])), "n: every entry must be finite"),
    (lambda: per_unit("n", [1.0], 2, LIKE), r"n must be a number or .* of shape \(2,\), got shape \(1,\)"),
    (lambda: per_unit("n", [1.0, float("nan")], 2, LIKE, signed=True), "n must be finite, got"),
    (lambda: per_unit("n", [1.0, -1.0], 2, LIKE), "n must be finite and not negative, got"),
    (lambda: per_unit("n", [1.0, 0.0], 2, LIKE, positive=True), "n must be finite and positive, got"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "expected"), RIGHT)
def test_values_of_python_numpy_and_torch_up_to_the_edge_are_taken(call, expected):
    found = call()
    assert found == expected
    assert isinstance(expected, tuple) or type(found) is type(expected)


@pytest.mark.parametrize(("error", "call", "message"), [
    *((TypeError, *case) for case in WRONG_TYPE), *((ValueError, *case) for case in WRONG_VALUE),
])  # fmt: skip
def test_each_kind_of_argument_is_refused_at_its_edge(error, call, message):
    with pytest.raises(error, match=message):
        call()


def test_a_gradient_is_no_reason_to_refuse_where_none_is_recorded():
    with torch.no_grad():
        assert number_of("n", GRADIENT) == 1.0
        assert per_unit("n", GRADIENT, 1, LIKE).item() == 1.0


def test_what_is_returned_is_a_copy_of_a_callers_dict_and_list():
    given, entries = {"a": 1}, [1]
    assert mapping_of("n", given) is not given and entries_of("n", entries) is not entries


def test_times_are_rounded_by_one_part_in_four_million_and_by_a_hundredth_of_a_step_at_most():
    """Those are the errors of float32; of a million steps, a part in four million would be a quarter of a step."""
    assert whole_steps("time", 1.0 + 2.0**-23, 1.0) == 1
    assert whole_steps("time", 1000.0 * (1 + 2.0**-23), 1.0) == 1000
    assert whole_steps("time", 1e6 + 0.0099, 1.0) == 10**6
    for time in (1.0 + 2.0**-21, 1000.0 * (1 + 2.0**-21), 1e6 + 0.0101, 2.0**-21):
        with pytest.raises(ValueError, match="is not a whole number of steps"):
            whole_steps("time", time, 1.0)
