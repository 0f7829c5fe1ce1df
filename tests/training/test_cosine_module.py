"""Validation of the task cos(2 pi z): how often, and in a noise that no update has."""

from types import SimpleNamespace

import pytest
import torch

from thermotorch.training.cosine_module import CosineModule


def test_the_error_is_validated_every_so_many_updates_in_a_noise_of_its_own():
    config = {"layers": [3, 2], "t_final": 0.1, "dt": 0.01}
    settings, logged = {"validate_every": 3, "std": 0.5}, {}
    module = CosineModule({"name": "layered", "config": config}, {"name": "sgd"}, settings, seed=4)
    to = SimpleNamespace(log=lambda name, value, **options: logged.update({name: value.item()}))
    seen = []
    for step in range(7):
        module.task.validate(to, step)
        seen += [step] if logged else []
        phi = logged.pop("val/phi", None)
    assert seen == [2, 5] and phi is None
    module.task.validate(to, 2)
    z = torch.linspace(0, 1, module.task.settings["inputs"])
    far = module.model(z, 100, 4, 1 << 32)  # runs of updates are counted from zero
    expected = (far - torch.cos(2 * torch.pi * z)).square().mean().item()
    assert logged["val/phi"] == pytest.approx(expected, rel=1e-5)
