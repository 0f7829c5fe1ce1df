"""Types of the public functions for a user's type checker. mypy reads this file with the package; nothing runs it."""

from typing import Any, assert_type

import torch
from torch import Tensor, nn

import thermotorch as tt
from thermotorch.models.protocol import Classifier, Generator, Inference, Samples, abilities


def a_run_and_its_continuation() -> None:
    potential = tt.Potential(tt.DenseCouplings(3), j2=1.0, j4=1.0)
    assert_type(potential.energy(torch.zeros(2, 3)), Tensor)
    assert_type(potential.gradient(torch.zeros(2, 3)), Tensor)
    assert_type(potential.bias, Tensor)
    assert_type(potential.couplings, tt.Couplings)
    assert_type(potential.couplings.matrix(), Tensor)
    run = tt.simulate(potential, torch.zeros(2, 3), steps=10, dt=1e-3, temperature=0.1)
    assert_type(run, tt.Trajectory)
    assert_type(run.state, Tensor)
    assert_type(run.heat, Tensor)
    assert_type(run.work, Tensor)
    assert_type(run.states, Tensor | None)
    assert_type(run.recorded, Tensor)
    assert_type(tt.simulate(potential, run, steps=10, dt=1e-3, temperature=0.1), tt.Trajectory)
    tt.simulate(potential, run, steps=10, dt=1e-3)  # type: ignore[call-arg]  # a run without temperature
    tt.simulate(potential, run, steps="10", dt=1e-3, temperature=0.1)  # type: ignore[arg-type]


def couplings() -> None:
    assert_type(tt.LatticeCouplings((2, 3), offsets=[(0, 1)]).matrix(), Tensor)
    blocks = tt.BlockCouplings({"visible": 4, "hidden": 2}, [("visible", "hidden")])
    assert_type(blocks.slices["hidden"].stop, int)
    assert_type(blocks.block("visible", "hidden"), Tensor)
    assert_type(tt.DenseCouplings.from_matrix(torch.zeros(2, 2)), tt.DenseCouplings)


class Tilted(tt.Potential):
    def energy(self, x: Tensor) -> Tensor:
        return super().energy(x) + 3.0 * x.sum(-1)


def a_potential_of_the_users_own() -> None:
    run = tt.simulate(Tilted(tt.DenseCouplings(1)), torch.zeros(4, 1), steps=5, dt=0.01, temperature=1.0)
    assert_type(run.heat, Tensor)


def layers() -> None:
    layer = tt.ThermodynamicLayer(3, 2, hidden=4)
    assert_type(layer(torch.zeros(1, 3), seed=0), Any)  # torch declares every call of a module so
    assert_type(layer.forward(torch.zeros(1, 3), seed=0), Tensor)


def the_zoo() -> None:
    assert_type(tt.list_models("generator*", pretrained=True), list[str])
    model = tt.create_model("generator.three_digits", pretrained=True)
    assert_type(model, nn.Module)
    if isinstance(model, Generator):
        assert_type(model.generate(4, seed=0), Tensor)
    assert_type(abilities(model).draw(4, seed=0), Samples)
    if isinstance(model, Classifier):
        assert_type(model.infer(torch.zeros(1, 1, 28, 28)), Inference)


@tt.register_model("of_my_own")
class OfMyOwn(nn.Module):
    pass


assert_type(OfMyOwn(), OfMyOwn)
