import torch
from torch import nn

from tests.evaluation.stand_ins import feature_space
from thermotorch.evaluation.quality.curve import device_curve, digital_point, network_evaluations
from thermotorch.zoo.rows import Row


class Net(nn.Module):
    def forward(self, x):
        return x


def test_evaluations_are_the_images_that_go_through_the_network():
    net = Net()

    def run():
        for batch in (1, 2, 2):
            net(torch.zeros(batch, 3))

    assert network_evaluations(net, run) == (5, None)
    assert not net._forward_pre_hooks
    assert network_evaluations(net, lambda: "made") == (0, "made")


def test_a_digital_model_is_one_point():
    point = digital_point(
        20, Row("Frechet", 1.5, "", 9, 0, "measured", 0.2), Row("recognised", 0.9, "", 9, 0, "measured")
    )
    assert (point.axis, point.x, point.frechet, point.frechet_stderr, point.recognised) == (
        "network evaluations", 20, 1.5, 0.2, 0.9,
    )  # fmt: skip


def test_no_frames_are_no_curve():
    assert device_curve([], None, feature_space()) == ()
