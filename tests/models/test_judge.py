import pytest
import torch
from torch.nn import functional as F

from thermotorch.models.judge import FeatureNet


def test_logits_are_read_off_the_features():
    torch.manual_seed(0)
    net = FeatureNet()
    images = torch.rand(5, 1, 28, 28)
    features = net.features(images)
    assert features.shape == (5, net.num_features) == (5, 64)
    assert torch.equal(net(images), net.to_logits(features.relu()))
    assert net(images).shape == (5, 10)


def test_an_image_is_judged_alone():
    torch.manual_seed(0)
    net, images = FeatureNet(image_size=8), torch.rand(6, 1, 8, 8)
    alone = torch.cat([net.features(image[None]) for image in images])
    assert torch.allclose(alone, net.features(images), atol=1e-5)


def test_the_unit_of_the_features_leaves_the_logits():
    torch.manual_seed(0)
    net, images = FeatureNet(image_size=8), torch.rand(4, 1, 8, 8)
    net.to_features.bias.data.normal_()
    features, logits = net.features(images), net(images)
    net.divide_features(5.0)
    assert torch.allclose(net.features(images), features / 5, atol=1e-6)
    assert torch.allclose(net(images), logits, atol=1e-5)
    with pytest.raises(ValueError, match="scale must be finite and positive"):
        net.divide_features(0.0)


@pytest.mark.parametrize("image_size", [7, 8, 28])
def test_its_config_rebuilds_it_at_any_size(image_size):
    net = FeatureNet(image_size=image_size, channels=2, widths=[8, 8, 8])
    again = FeatureNet(**net.config)
    again.load_state_dict(net.state_dict())
    images = torch.rand(2, 2, image_size, image_size)
    assert torch.equal(again(images), net(images))


@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 1, 8, 8), (5, 3, 28, 28)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"images: expected \[batch, 1, 28, 28\]"):
        FeatureNet().features(torch.rand(shape))


def test_a_fresh_net_has_no_biases_and_weights_that_keep_the_size_of_activations():
    """He et al., ICCV 2015, Eq. 10: variance 2 / fan_in before a ReLU. The last layer has the fewest weights, 640."""
    torch.manual_seed(0)
    for name, values in FeatureNet().named_parameters():
        if name.endswith("bias"):
            assert not values.any(), name
        else:
            # Six standard errors, 6 sqrt(2 / n), of the variance of n normals.
            expected = 2 / values[0].numel()
            assert abs(values.var().item() / expected - 1) < 6 * (2 / values.numel()) ** 0.5, name


@torch.no_grad()
def test_a_stage_halves_the_image_and_every_convolution_is_rectified():
    torch.manual_seed(0)
    net, images = (
        FeatureNet(image_size=9, channels=2, widths=[3, 5], num_features=4, num_classes=3),
        torch.rand(6, 2, 9, 9),
    )
    for parameter in net.parameters():
        parameter.normal_(std=0.3)
    weights = net.state_dict()

    def of(name: str) -> list[torch.Tensor]:
        return [weights[f"{name}.weight"], weights[f"{name}.bias"]]

    maps = F.conv2d(images, *of("convolutions.0"), stride=2, padding=2).relu()
    maps = F.conv2d(maps, *of("convolutions.2"), stride=2, padding=1).relu()
    maps = F.conv2d(maps, *of("convolutions.4"), padding=1).relu()
    features = F.linear(maps.flatten(1), *of("to_features"))
    torch.testing.assert_close(net.features(images), features)
    torch.testing.assert_close(net(images), F.linear(features.relu(), *of("to_logits")))
