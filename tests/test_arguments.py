"""Times that are no multiple of the time step are refused, with the two nearest ones that are."""

import pytest
import torch

import thermotorch as tt
from scripts.pages.neuron_figures import neuron_response
from thermotorch.arguments import whole_steps


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
