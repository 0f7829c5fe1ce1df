"""A training is told at once when it is given a model that it does not train, and numbers its samples."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

import thermotorch as tt
from thermotorch.training.chain_module import ChainModule
from thermotorch.training.cosine_module import CosineModule
from thermotorch.training.data import Digits8x8Data
from thermotorch.training.diffusion_module import DiffusionModule
from thermotorch.training.genetic_module import GeneticCosineModule
from thermotorch.training.module import TRAINING_SEEDS, VALIDATION_SEEDS, blocks_of, sample_ids_of
from thermotorch.training.reference_module import BoltzmannModule
from thermotorch.training.teacher_student_module import TeacherStudentModule

BOLTZMANN = {"name": "rbm", "config": {"image_shape": [1, 8, 8], "hidden": 3}}
GAUSSIANS = {"name": "gaussians", "config": {"image_shape": [1, 8, 8]}}


@pytest.mark.parametrize(
    ("module", "model", "wanted"),
    [
        (BoltzmannModule, GAUSSIANS, "RestrictedBoltzmannMachine"),
        (DiffusionModule, BOLTZMANN, "DiffusionModel"),
        (GeneticCosineModule, BOLTZMANN, "LayeredComputer"),
        (CosineModule, BOLTZMANN, "LayeredComputer"),
    ],
)
def test_a_model_of_another_kind_is_refused_by_name(module, model, wanted):
    with pytest.raises(TypeError, match=rf"^model\.name: expected a {wanted}, found '{model['name']}'"):
        module(model, {"lr": 0.1})


def test_a_network_without_features_is_refused_by_name(monkeypatch):
    monkeypatch.setattr("thermotorch.training.features.load_checkpoint", lambda name: torch.nn.Linear(1, 1))
    objective = {"features": "some.network"}
    model = {"name": "chain", "config": {"image_shape": [1, 8, 8], "hidden": 4, "angles": [45.0]}}
    with pytest.raises(TypeError, match=r"^objective\.features: expected a FeatureNet, found 'some.network'"):
        ChainModule(model, {"lr": 0.1}, objective)


def test_groups_are_asked_of_couplings_that_have_them():
    with pytest.raises(TypeError, match=r"^potential\.couplings: expected a BlockCouplings"):
        blocks_of(tt.Potential(tt.DenseCouplings(3)))


def test_no_two_slots_of_a_training_share_a_sample_number():
    """Number `step x batch_size + slot`, whatever process holds the slot."""
    trainer = SimpleNamespace(datamodule=Digits8x8Data(batch_size=4))
    halves = torch.arange(4).split(2)
    numbers = [sample_ids_of(trainer, {"step": step, "slot": slot}) for step in range(5) for slot in halves]
    assert torch.cat(numbers).tolist() == list(range(20))


def test_no_two_uses_share_a_seed():
    """Users draw samples with the seeds of experiments, below 2^32; validation and training add to them."""
    below = 1 << 32
    uses = [range(first, first + below) for first in (0, VALIDATION_SEEDS, TRAINING_SEEDS)]
    assert all(one.stop <= other.start for one, other in pairwise(uses)) and uses[-1].stop <= 1 << 64


def test_initial_parameters_are_those_of_the_seed_whatever_was_drawn_before_and_nothing_is_drawn_for_others():
    classifier = {"name": "classifier", "config": {"image_shape": [1, 8, 8], "hidden": 4}}
    torch.manual_seed(7)
    expected = torch.rand(3)
    for kind, spec, name in (
        (CosineModule, {"name": "layered", "config": {"layers": [3, 2]}}, "model.input"),
        (TeacherStudentModule, classifier, "teacher.layers.0.weight"),
    ):
        torch.manual_seed(7)
        one, same, other = (kind(spec, {"lr": 0.1}, seed=seed).state_dict()[name] for seed in (5, 5, 6))
        assert torch.equal(torch.rand(3), expected)
        assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_trained_model_that_goes_on_training_is_in_that_mode():
    module = DiffusionModule({"name": "ddpm.mnist", "pretrained": True}, {"lr": 0.1})
    assert module.model.training and not tt.create_model("ddpm.mnist", pretrained=True).training
