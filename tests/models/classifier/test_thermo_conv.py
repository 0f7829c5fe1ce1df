import pytest
import torch
from torch.nn import functional as F

from thermotorch.dynamics import fused
from thermotorch.layer import ThermodynamicLayer
from thermotorch.models.classifier.thermo_conv import ThermodynamicConvNet


def test_the_layer_sits_between_convolutions_and_logits():
    torch.manual_seed(0)
    model, images = ThermodynamicConvNet([1, 7, 9], [2, 3], hidden=4, num_classes=5), torch.rand(6, 1, 7, 9)
    features = F.relu(model.second(F.relu(model.first(images)))).flatten(1)
    assert features.shape == (6, 3 * 2 * 3)
    torch.testing.assert_close(model(images, seed=3), model.to_logits(model.thermodynamic(10.0 * features, seed=3)))
    assert ThermodynamicConvNet(**model.config).config == model.config


def test_every_sample_is_reproducible_alone():
    torch.manual_seed(0)
    model, images = ThermodynamicConvNet([1, 8, 8], hidden=8), torch.rand(5, 1, 8, 8)
    together = model(images, seed=1, sample_ids=torch.arange(10, 15))
    torch.testing.assert_close(model(images[3:4], seed=1, sample_ids=torch.tensor([13])), together[3:4])
    assert not torch.allclose(model(images[3:4], seed=1, sample_ids=torch.tensor([14])), together[3:4])


def test_memory_for_the_gradient_does_not_grow_with_the_steps():
    """Bytes kept for the backward pass: a path within the budget is kept whole, a longer one only at sqrt(steps)."""

    def kept(steps: int) -> int:
        layer = ThermodynamicLayer(8, 32, 32, t_final=1e-4 * steps, dt=1e-4, temperature=1.0)
        sizes = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            layer(torch.rand(256, 8), seed=0).sum().backward()
        return sum(sizes.values())

    budget = 4 * fused._KEEP_ELEMENTS
    within, beyond = 2000, 2500
    path = beyond * 256 * 64 * 4
    assert within / beyond * path < budget < path
    assert kept(within) < 1.05 * budget
    assert kept(beyond) < 0.3 * path
    assert kept(beyond) < 1.5 * max(kept(500), 1 << 25)


@pytest.mark.parametrize(
    ("name", "value"),
    [("image_shape", [8, 8]), ("widths", [2, 3, 4]), ("widths", [2]), ("t_final", 0.0), ("dt", 0.0), ("hidden", 0)],
)
def test_what_makes_no_network_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name}"):
        ThermodynamicConvNet(**{"image_shape": [1, 8, 8], name: value})
