import pytest

from thermotorch.evaluation.generators import generators, load_generators
from thermotorch.zoo import load_checkpoint


def test_generators_of_the_zoo_are_those_that_make_images():
    found = generators()
    assert {"generator.mnist", "rbm.mnist", "gaussians.mnist", "ddpm.mnist"} <= set(found)
    assert not {"classifier.end_to_end", "feature_net.mnist", "spu.8cell"} & set(found)


def test_models_come_in_the_order_of_their_names():
    judge = load_checkpoint("feature_net.mnist")
    assert list(load_generators(["rbm.mnist", "gaussians.mnist"], judge)) == ["rbm.mnist", "gaussians.mnist"]


def test_every_wrong_name_has_its_line():
    with pytest.raises(ValueError) as error:
        load_generators(["rbm.mnst", "gaussians.mnist", "no/such.safetensors"])
    assert [line.split(";")[0] for line in str(error.value).splitlines()] == [
        "unknown checkpoint 'rbm.mnst'", "checkpoint 'no/such.safetensors': no such file",
    ]  # fmt: skip
    with pytest.raises(ValueError) as error:
        load_generators(["spu.8cell", "feature_net.mnist", "rbm.mnist"])
    assert len(str(error.value).splitlines()) == 2
