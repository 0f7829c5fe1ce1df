import pytest
import torch

from thermotorch.dynamics import simulate
from thermotorch.evaluation.benchmark import as_markdown, benchmark_simulate, plain_loop
from thermotorch.models.generator import ThermodynamicGenerator

SMALL = {"image_shape": [1, 4, 4], "hidden": 8}


def test_the_plain_loop_runs_the_same_dynamics():
    """At zero temperature both programs follow the same path; at any other the loop's noise has the right size."""
    torch.manual_seed(0)
    generator = ThermodynamicGenerator(**SMALL)
    potential = generator.potential
    with torch.no_grad():
        for parameter in potential.parameters():
            parameter.normal_(std=0.3)
    state = torch.randn(3, 24)
    coefficients = (potential.couplings.matrix().detach(), potential.bias.detach(), 1.0, 1.0)
    expected = simulate(potential, state, steps=100, dt=1e-3, temperature=0.0).state
    found = plain_loop(*coefficients, state, steps=100, dt=1e-3, temperature=0.0)
    torch.testing.assert_close(found, expected.detach())
    jump = plain_loop(*coefficients, state.repeat(2000, 1), steps=1, dt=1e-6, temperature=0.1) - state.repeat(2000, 1)
    assert jump.var().item() == pytest.approx(2 * 0.1 * 1e-6, rel=0.02)


def test_every_row_is_the_median_of_the_runs_it_lists():
    result = benchmark_simulate(batch_sizes=[1, 4], steps=3, repeats=3, model=SMALL)
    assert [(row["batch"], row["program"][:5]) for row in result["rows"]] == [
        (1, "simul"), (1, "plain"), (4, "simul"), (4, "plain"),
    ]  # fmt: skip
    for row in result["rows"]:
        assert len(row["seconds"]) == 3
        assert row["steps_per_second"] == pytest.approx(3 / sorted(row["seconds"])[1])
        assert row["normals_per_second"] == pytest.approx(row["steps_per_second"] * row["batch"] * 24)
    table = as_markdown(result)
    assert result["hardware"] in table
    assert table.count("\n|") == 2 + len(result["rows"])
