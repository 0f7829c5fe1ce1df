"""Plain values that users pass: lists, numpy scalars, counts that are none, and models built without memory."""

import numpy as np
import pytest
import torch

import thermotorch as tt


def generator(**config):
    return tt.create_model("generator", hidden=4, image_shape=(1, 4, 4), t_final=0.1, dt=0.05, **config)


def gaussians():
    model = tt.create_model("gaussians", image_shape=(1, 4, 4), components=3, num_classes=10)
    return model.fit(torch.rand(200, 1, 4, 4), torch.arange(200) % 10)


MODELS = [
    lambda: generator(num_classes=10),
    gaussians,
    lambda: tt.create_model("rbm", image_shape=(1, 4, 4), hidden=3, sampling_steps=2),
    lambda: tt.create_model("ddpm"),
]


@pytest.mark.parametrize("make", MODELS[:2])
@pytest.mark.parametrize("labels", [[3, 4], (3, 4), np.array([3, 4]), torch.tensor([3, 4], dtype=torch.int32)])
def test_labels_may_be_any_sequence_of_integers(make, labels):
    model = make()
    assert torch.equal(model.generate(2, labels=labels), model.generate(2, labels=torch.tensor([3, 4])))


@pytest.mark.parametrize("make", MODELS[:2])
@pytest.mark.parametrize("labels", [[3], [3, 10], [3, -1], [3.0, 4.0], [[3, 4]]])
def test_labels_that_do_not_fit_are_refused(make, labels):
    with pytest.raises(ValueError, match="labels: expected 2 classes below 10"):
        make().generate(2, labels=labels)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"num_samples": -1}, ValueError),
        ({"num_samples": True}, (TypeError, ValueError)),
        ({"num_samples": 2.5}, TypeError),
        ({"num_samples": 2, "batch_size": 0}, ValueError),
        ({"num_samples": 2, "batch_size": -1}, ValueError),
    ],
)
def test_counts_that_are_none_are_refused(make, arguments, error):
    with pytest.raises(error, match="num_samples|batch_size|integer"):
        make().generate(**arguments)


@pytest.mark.parametrize("make", MODELS[:3])
@pytest.mark.parametrize("three", [np.int64(3), torch.tensor(3)])
def test_counts_of_numpy_and_torch_are_counts(make, three):
    model = make()
    assert torch.equal(model.generate(three, batch_size=three), model.generate(3))


@pytest.mark.parametrize("make", MODELS[:3])
def test_no_sample_is_an_empty_tensor(make):
    assert make().generate(0, progress=lambda done, total: None).shape[0] == 0


@pytest.mark.parametrize(
    "config",
    [{"display_range": [0, 0]}, {"display_range": [1, 0]}, {"temperature": -1.0}, {"temperature": float("nan")}],
)
def test_constructors_refuse_what_cannot_be(config):
    with pytest.raises(ValueError, match=next(iter(config))):
        generator(**config)


@pytest.mark.parametrize("name", tt.list_models())
def test_every_architecture_can_be_built_on_the_meta_device(name):
    with torch.device("meta"):
        model = tt.create_model(name)
    assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("name", tt.list_models())
def test_a_model_emptied_and_loaded_is_the_model(name, assign):
    """Buffers that are not saved follow from the configuration, and are made again when weights are loaded."""
    model = tt.create_model(name)
    with torch.device("meta"):
        empty = tt.create_model(name)
    if not assign:
        empty.to_empty(device="cpu")
        for buffer in empty.buffers():
            buffer.fill_(False if buffer.dtype == torch.bool else 7)
    empty.load_state_dict(model.state_dict(), assign=assign)
    for (label, buffer), (_, loaded) in zip(model.named_buffers(), empty.named_buffers(), strict=True):
        assert torch.equal(buffer, loaded) and buffer.dtype == loaded.dtype, label
    if name == "ddpm":
        assert torch.equal(empty.noising.alphas_cumprod, model.noising.alphas_cumprod)


@pytest.mark.parametrize("make", [lambda: tt.LatticeCouplings((2, 3), [(0, 1), (1, 0)]), lambda: tt.DenseCouplings(4)])
def test_a_potential_emptied_and_loaded_is_the_potential(make):
    with torch.device("meta"):
        assert tt.Potential(make()).bias.is_meta
    fixed = torch.arange(make().num_units) % 2 == 0
    potential, empty = (tt.Potential(make(), bias=0.3, fixed_bias=fixed.clone()) for _ in range(2))
    torch.nn.init.normal_(potential.couplings.bonds)
    empty.to_empty(device="cpu")
    for buffer in empty.buffers():
        buffer.zero_()
    empty.load_state_dict(potential.state_dict())
    x = torch.randn(3, potential.num_units)
    assert torch.equal(empty.gradient(x), potential.gradient(x)) and torch.equal(empty.fixed_bias, fixed)


@pytest.mark.parametrize("wrong", [None, 3, ["x"], b"ddpm"])
def test_what_is_no_name_is_refused_as_such(wrong):
    for call in (tt.create_model, tt.load_card, tt.register_model):
        with pytest.raises(TypeError, match="name: expected"):
            call(wrong)
    with pytest.raises(TypeError, match="pattern: expected"):
        tt.list_models(wrong if wrong != ["x"] else [3])
    with pytest.raises(TypeError, match="expected a class or a function"):
        tt.register_model("an_architecture")(wrong)


def test_models_are_listed_by_several_patterns():
    assert tt.list_models(["generator*", "ddpm*"]) == ["ddpm", "generator"]
    assert tt.list_models("spu") == ["spu"] and tt.list_models([]) == []
    with pytest.raises(TypeError, match="pattern"):
        tt.list_models([3])
