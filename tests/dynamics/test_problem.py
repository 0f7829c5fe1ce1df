"""Arguments that `simulate` refuses before any compute, and the words of the refusal."""

import warnings

import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics.problem import all_finite


def run(**changed):
    potential = changed.pop("potential", tt.Potential(tt.DenseCouplings(3)))
    state = changed.pop("state", torch.zeros(2, 3))
    return tt.simulate(potential, state, **{"steps": 4, "dt": 0.01, "temperature": 0.1, "seed": 0, **changed})


@pytest.mark.parametrize(
    "error, message, changed",
    [
        (TypeError, "potential must be a Potential, got DenseCouplings", {"potential": tt.DenseCouplings(3)}),
        (TypeError, "state must be a tensor, got list", {"state": [[0.0] * 3]}),
        (ValueError, r"state: expected shape \(batch, 3\), got \(3,\)", {"state": torch.zeros(3)}),
        (ValueError, r"state: expected shape \(batch, 3\), got \(2, 4\)", {"state": torch.zeros(2, 4)}),
        (ValueError, r"write state.float\(\)", {"state": torch.zeros(2, 3, dtype=torch.int64)}),
        (ValueError, r"write state.to\(potential.bias\)", {"state": torch.zeros(2, 3, dtype=torch.float64)}),
        (ValueError, "state: every value must be finite", {"state": torch.full((2, 3), float("nan"))}),
        (ValueError, "temperature must be finite and not negative, got -1.0", {"temperature": -1.0}),
        (TypeError, "temperature must be a number", {"temperature": "cold"}),
        (ValueError, "dt must be finite and positive, got 0", {"dt": 0.0}),
        (ValueError, "dt must be finite and positive", {"dt": float("nan")}),
        (ValueError, "dt must be finite and positive", {"dt": -0.01}),
        (TypeError, "steps must be an integer, got 1.5", {"steps": 1.5}),
        (ValueError, "steps must lie in", {"steps": -1}),
        (ValueError, "start_step must lie in", {"start_step": -1}),
        (ValueError, "start_step must lie in", {"start_step": 1 << 56}),
        (ValueError, r"start_step must lie in \[0, 72057594037927932\)", {"start_step": (1 << 56) - 4}),
        (ValueError, "record must lie in", {"record": 0}),
        (ValueError, "seed must lie in", {"seed": -1}),
        (ValueError, "seed must lie in", {"seed": 1 << 64}),
        (TypeError, "seed must be an integer", {"seed": True}),
        (ValueError, "mobility must be finite and not negative", {"mobility": -1.0}),
        (ValueError, "mobility must be finite and not negative", {"mobility": torch.tensor([1.0, -1.0, 1.0])}),
        (
            ValueError,
            r"mobility must be a number or a tensor of shape \(3,\), got shape \(2,\)",
            {"mobility": torch.ones(2)},
        ),
        (
            ValueError,
            r"clamp: expected a bool tensor of shape \(3,\).* got torch.bool \(2,\)",
            {"clamp": torch.zeros(2, dtype=torch.bool)},
        ),
        (ValueError, "clamp: expected a bool tensor", {"clamp": torch.zeros(3)}),
        (ValueError, "clamp: expected a bool tensor .* got list", {"clamp": [True, False, False]}),
        (
            ValueError,
            r"sample_ids: expected an int64 tensor of shape \(2,\), got torch.int64 \(3,\)",
            {"sample_ids": torch.arange(3)},
        ),
        (ValueError, "sample_ids: expected an int64 tensor", {"sample_ids": torch.zeros(2)}),
        (ValueError, "sample_ids: each must lie in", {"sample_ids": torch.tensor([0, -1])}),
        (ValueError, "sample_ids: each must lie in", {"sample_ids": torch.tensor([0, 1 << 34])}),
        (ValueError, r"drive: expected a force of shape \(3,\) or \(2, 3\), got \(2,\)", {"drive": torch.zeros(2)}),
        (ValueError, "drive: expected a force of shape", {"drive": lambda step: torch.zeros(1, 3)}),
        (ValueError, "drive: every value must be finite", {"drive": torch.tensor([0.0, float("inf"), 0.0])}),
        (TypeError, "drive: expected a tensor or a function of the step number, got float", {"drive": 1.0}),
        (
            ValueError,
            "integrator: unknown 'huen', expected one of 'euler_maruyama', .*; did you mean 'heun'?",
            {"integrator": "huen"},
        ),
        (ValueError, "backend: unknown 'refrence', .*; did you mean 'reference'?", {"backend": "refrence"}),
        (ValueError, "stream: expected one of 0, 1, 2, 3, got 9", {"stream": 9}),
        (TypeError, "observers: expected a dict from names to observers, got list", {"observers": [tt.Moments()]}),
        (TypeError, "unexpected keyword argument 'temprature'", {"temprature": 1.0}),
    ],
)
def test_bad_input_is_refused_before_any_compute(monkeypatch, error, message, changed):
    def computed(*_):
        raise AssertionError("something was computed")

    for backend in ("auto", "reference"):
        monkeypatch.setattr("thermotorch.dynamics.reference.run", computed)
        monkeypatch.setitem(tt.dynamics._BACKENDS, "reference", computed)
        with pytest.raises(error, match=message):
            run(**{"backend": backend, **changed})


def test_a_drive_that_changes_its_shape_on_the_way_is_refused():
    with pytest.raises(ValueError, match="drive: expected a force of shape"):
        run(drive=lambda step: torch.zeros(3 if step < 2 else 2))


@pytest.mark.parametrize(
    "potential, state",
    [
        (tt.Potential(tt.DenseCouplings(3), j2=150.0), torch.zeros(2, 3)),
        (tt.Potential(tt.DenseCouplings(3)), torch.full((2, 3), 10.0)),
        (tt.Potential(tt.DenseCouplings(3), bias=4e3), torch.zeros(2, 3)),
    ],
)
def test_dt_beyond_the_stability_bound_warns_at_the_callers_line(potential, state):
    with pytest.warns(tt.StabilityWarning, match=r"beyond the linear stability bound .* try dt=") as caught:
        try:
            run(potential=potential, state=state, temperature=0.0, steps=1)
        except FloatingPointError:
            pass
    assert caught[0].filename == __file__
    suggested = float(str(caught[0].message).rsplit("dt=", 1)[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(potential=potential, state=state, temperature=0.0, steps=200, dt=suggested)


def test_mobility_counts_in_the_stability_bound():
    """Wells of curvature 2: the step is 1 / mobility, of the fastest unit, and half of it is worth a try."""
    potential, message = tt.Potential(tt.DenseCouplings(3), j4=0.0), "mobility = 2 is beyond .* bound 1 .* try dt=0.005"
    with pytest.warns(tt.StabilityWarning, match=message):
        run(potential=potential, mobility=torch.tensor([1.0, 1.0, 100.0]), dt=0.02, steps=1)


def test_the_published_machines_run_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(dt=1e-3, temperature=0.1)
        run(dt=1e-3, temperature=1.0)


def test_finite_numbers_whose_sum_overflows_are_finite():
    assert all_finite(torch.full((4, 3), 3e38))
    for bad in (float("nan"), float("inf"), -float("inf")):
        assert not all_finite(torch.tensor([1.0, bad, 2.0]))
    assert not all_finite(torch.tensor([float("inf"), -float("inf")]))
    assert all_finite(torch.empty(0, 3))
