"""The contract of models: every architecture of the zoo, and a module that knows nothing of it."""

import pytest
import torch
from torch import nn

from thermotorch.linear_algebra.board.spu import StochasticProcessingUnit
from thermotorch.models.baselines.diffusion import DiffusionModel
from thermotorch.models.baselines.gaussians import Gaussians
from thermotorch.models.classifier.machine import ThermodynamicClassifier
from thermotorch.models.classifier.thermo_conv import ThermodynamicConvNet
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.judge import FeatureNet
from thermotorch.models.protocol import (
    Classifier,
    DigitalSampler,
    Generator,
    Judge,
    NoisyModule,
    Thermodynamic,
    abilities,
    makes_images,
    task_of,
)  # fmt: skip


class Plain(nn.Module):
    """A model as README tells people to write one."""

    def generate(self, num_samples, *, seed=0, batch_size=64, progress=None):
        return torch.full((num_samples, 1, 2, 2), 0.5)

    def sample(self):
        """A method of this name makes no device of a model."""


def generator(**config):
    return ThermodynamicGenerator((1, 2, 2), hidden=3, t_final=0.05, dt=0.01, **config)


def diffusion(num_classes=0):
    return DiffusionModel(8, block_out_channels=(8,), attention=False, num_classes=num_classes, guidance=2.0)


def test_a_module_with_generate_is_a_digital_generator_and_needs_nothing_else():
    able = abilities(Plain())
    assert (able.thermodynamic, able.image_shape, able.num_classes, able.takes_sampler) == (False, None, 0, False)
    assert (able.config, able.samplers, able.cpu_batch_size, able.guidance) == ({}, {}, 256, 1.0)
    assert able.options == {"seed", "batch_size", "progress"}
    samples = able.draw(3, seed=1, batch_size=2)
    assert samples.images.shape == (3, 1, 2, 2) and samples.heat is None and samples.work is None
    assert able.readable_times([1.0]) == [] and able.steps_of("ddim", 7) == 7
    assert isinstance(Plain(), Generator) and not isinstance(Plain(), DigitalSampler | Thermodynamic)


def test_a_device_reports_heat_and_work_and_says_when_it_can_be_read():
    model = generator(num_classes=3)
    able = abilities(model)
    assert able.thermodynamic and able.num_classes == 3 and able.image_shape == (1, 2, 2)
    assert {"labels", "sample_ids", "times", "known", "mask"} <= able.options and "watch" not in able.options
    times = able.readable_times([0.5, 1.0])
    samples = able.draw(2, seed=4, times=times)
    same = model.sample(2, seed=4, times=times)
    assert all(map(torch.equal, samples, same)) and len(samples.frames) == 2
    assert isinstance(model, Thermodynamic) and task_of(model) == "generate"
    assert torch.equal(model.generate(2, seed=4, labels=[2, 1]), model.sample(2, seed=4, labels=[2, 1]).images)
    with pytest.raises(TypeError, match="lables"):
        model.generate(2, lables=[2, 1])


def test_a_digital_sampler_says_its_samplers_and_steps():
    able = abilities(diffusion(num_classes=4))
    assert able.takes_sampler and not able.thermodynamic and "watch" in able.options
    assert able.samplers == {"dpm++": 20, "ddim": 50, "ddpm": None} and able.cpu_batch_size == 32
    assert able.steps_of("ddim") == 50 and able.steps_of("ddpm") == 1000
    with pytest.raises(ValueError, match="sampler"):
        able.steps_of("ddin")
    assert (able.num_classes, able.guidance) == (4, 2.0)


def test_labels_count_only_where_generate_takes_them():
    class Told(Plain):
        config = {"num_classes": 5}  # noqa: RUF012

    assert abilities(Told()).num_classes == 0
    assert abilities(Gaussians((1, 2, 2), num_classes=5, components=2)).num_classes == 5
    assert abilities(generator()).num_classes == 0

    class Labelled(Plain):
        num_classes = 4

        def generate(self, num_samples, *, labels=None):
            return torch.zeros(num_samples, 1, 2, 2)

    assert abilities(Labelled()).num_classes == 4, "as an attribute, without a config"


def test_an_option_that_a_model_does_not_take_is_not_swallowed():
    with pytest.raises(TypeError, match="sampler"):
        abilities(Plain()).draw(1, sampler="ddim")


def test_tasks():
    classifier, conv, judge = ThermodynamicClassifier(), ThermodynamicConvNet(), FeatureNet()
    assert isinstance(classifier, Classifier) and isinstance(conv, NoisyModule) and not isinstance(conv, Classifier)
    assert isinstance(judge, Judge) and not isinstance(judge, NoisyModule)
    assert [task_of(model) for model in (classifier, judge, StochasticProcessingUnit(), Plain())] == [
        "classify", None, "invert", "generate",
    ]  # fmt: skip


def test_classes_of_generators_are_recognised_without_an_instance():
    assert makes_images(ThermodynamicGenerator) and makes_images(DiffusionModel) and makes_images(Plain)
    assert not makes_images(FeatureNet) and not makes_images(nn.Linear(1, 1))
    with pytest.raises(TypeError, match=r"expected a generator.*Linear"):
        abilities(nn.Linear(1, 1))


def test_what_a_comparison_asks_of_a_model_is_what_it_declares(monkeypatch):
    able, plain = abilities(diffusion()), abilities(Plain())
    assert (able.compared, able.first_sampler, able.draws_class) == (("dpm++:10", "dpm++:20"), "dpm++", False)
    assert (plain.compared, plain.first_sampler, plain.draws_class) == ((), None, False)
    monkeypatch.setattr(DiffusionModel, "fastest_execution", lambda self, batch_size: f"the fastest of {batch_size}")
    assert (able.fastest_execution(5), plain.fastest_execution(5)) == ("the fastest of 5", "float32")
    assert abilities(generator(num_classes=3).with_die()).draws_class
    assert abilities(diffusion(num_classes=4)).readable_times([1.0]) == []
