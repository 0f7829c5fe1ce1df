import pytest
import torch

import thermotorch as tt
from thermotorch.models.classifier.machine import ThermodynamicClassifier


def small(**changed) -> ThermodynamicClassifier:
    torch.manual_seed(0)
    config = {"image_shape": [1, 4, 4], "num_classes": 3, "hidden": 5, "t_final": 0.1, "dt": 0.01, **changed}
    return ThermodynamicClassifier(**config)


def images(n: int = 6) -> torch.Tensor:
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def test_the_published_machine():
    """784 clamped + 64 hidden + 10 output units: 60,791 trained numbers, 200 steps of 1e-3 at kT = 1."""
    model = tt.create_model("classifier")
    assert sum(parameter.numel() for parameter in model.parameters()) == 60_791
    assert (model.layer.steps, model.layer.dt, model.layer.temperature) == (200, 1e-3, 1.0)
    assert ThermodynamicClassifier(**model.config).config == model.config


def test_pixels_are_centred_scaled_and_of_one_length():
    model, x = small(pixel_mean=0.2, pixel_std=0.5), images()
    features = model.features(x)
    torch.testing.assert_close(features.square().mean(1), torch.ones(6))
    centred = x.flatten(1) - 0.2
    torch.testing.assert_close(features / features[:, :1], centred / centred[:, :1])
    torch.testing.assert_close(model.features(torch.full((1, 1, 4, 4), 0.2)), torch.zeros(1, 16))  # nothing to scale


def test_a_run_is_that_of_clamped_pixel_units():
    """The same trajectory as in the large machine whose pixel units are clamped and coupled to all the others."""
    model, x = small().double(), images().double()
    features, layer = model.features(x), model.layer
    matrix = torch.zeros(8 + 16, 8 + 16, dtype=torch.float64)
    matrix[:8, :8] = layer.potential.couplings.matrix().detach()
    matrix[:8, 8:] = -layer.input.weight.detach()  # V has + J x u, the layer's force is + W u
    matrix[8:, :8] = matrix[:8, 8:].T
    whole = tt.Potential(tt.DenseCouplings.from_matrix(matrix), bias=torch.cat([layer.potential.bias, torch.zeros(16)]))
    whole = whole.double()
    state = torch.cat([torch.zeros(6, 8), features], 1).double()
    run = tt.simulate(whole, state, steps=10, dt=0.01, temperature=1.0, seed=4, clamp=torch.arange(24) >= 8)
    mine = model.run(x, seed=4)
    torch.testing.assert_close(mine.state, run.state[:, :8])
    torch.testing.assert_close(mine.heat, run.heat)
    torch.testing.assert_close(model(x, seed=4), 4.0 * run.state[:, 5:8])


def test_runs_are_pure_functions_of_image_number_and_run_number():
    model, x = small(), images()
    found = model.infer(x, runs=3, seed=7, batch_size=4)
    assert found.outputs.shape == (6, 3, 3)
    assert found.heat.shape == (6, 3)
    alone = model.infer(x[5:], runs=2, seed=7, sample_ids=torch.tensor([5]))
    torch.testing.assert_close(alone.outputs, found.outputs[5:, :2])
    torch.testing.assert_close(found.outputs[:, 0] * 4.0, model(x, seed=7).detach())
    second = model.run(x, seed=7, sample_ids=torch.arange(6) + (1 << 24))  # as documented
    torch.testing.assert_close(found.outputs[:, 1], model.read(second).detach())
    assert not torch.allclose(found.outputs[:, 0], found.outputs[:, 1])
    assert not torch.allclose(model.infer(x, seed=8).outputs[:, 0], found.outputs[:, 0])


def test_progress_counts_images():
    seen = []
    small(j2=-0.5).infer(images(5), batch_size=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_heat_is_in_multiples_of_kT_and_equals_the_loss_of_potential():
    model, x = small(temperature=0.5), images()
    found, run = model.infer(x, seed=3), model.run(x, seed=3)
    state, force = run.state, model.layer.input(model.features(x))
    lost = -(model.layer.potential.energy(state) - (force * state).sum(1))  # V(0) = 0
    torch.testing.assert_close(found.heat[:, 0], (lost / 0.5).detach(), rtol=1e-4, atol=1e-4)


def test_a_coarser_step_may_be_asked_for():
    model, x = small(temperature=0.0), images()
    coarse = model.run(x, seed=0, dt=0.05)
    assert coarse.step == 2
    assert model.run(x, seed=0).step == 10
    assert not torch.equal(coarse.state, model.run(x, seed=0).state)
    with pytest.raises(ValueError, match="dt must be positive and at most t_final"):
        model.run(x, dt=1.0)


def test_probabilities_average_over_runs():
    model = small(sharpness=2.0)
    outputs = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    expected = 0.5 * ((2 * outputs[:, 0]).softmax(-1) + (2 * outputs[:, 1]).softmax(-1))
    torch.testing.assert_close(model.probabilities(outputs), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: small()(torch.rand(2, 16)), r"images: expected \[batch, 1, 4, 4\], found \[2, 16\]"),
        (lambda: small().infer(images(), runs=0), "runs: expected at least 1"),
        (lambda: small().infer(images(), sample_ids=torch.arange(2)), "sample_ids: expected an int64 tensor of shape"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
