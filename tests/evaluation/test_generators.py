import shutil

import pytest

from thermotorch.evaluation.generators import generators, load_generators, not_a_generator
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


@pytest.mark.parametrize(("name", "advice"), [
    ("feature_net.mnist", "it is a judge: judge=feature_net.mnist"),
    ("feature_net.training", None),  # without the statistics of real images that a judge has
    ("spu.8cell", "evaluate it by: thermotorch-evaluate model=spu.8cell"),
    ("rbm.mnist", ""),
])  # fmt: skip
def test_a_model_that_makes_no_images_is_advised_by_what_it_is(name, advice):
    said = not_a_generator(name, load_checkpoint(name))
    first, _, known = said.partition(". Models that make images: ")
    expected = "" if advice == "" else f"{name} makes no images" + (f"; {advice}" if advice else "")
    assert first == expected and known == ("" if advice == "" else ", ".join(generators()))


def test_all_models_are_told_when_the_judge_takes_other_images(zoo_of_stand_ins, monkeypatch):
    judge = load_checkpoint("feature_net.mnist")
    monkeypatch.setenv("THERMOTORCH_HOME", str(zoo_of_stand_ins))
    with pytest.raises(ValueError) as error:
        load_generators(["generator.mnist", "ddpm.mnist"], judge)
    assert [line.split(";")[0] for line in str(error.value).splitlines()] == [
        f"{name} makes images of 1x8x8 and the judge takes 1x28x28" for name in ("generator.mnist", "ddpm.mnist")
    ]
    assert list(load_generators(["generator.mnist", "ddpm.mnist"])) == ["generator.mnist", "ddpm.mnist"]


def test_a_name_twice_is_refused():
    with pytest.raises(ValueError, match="^models: rbm.mnist more than once"):
        load_generators(["rbm.mnist", "gaussians.mnist", "rbm.mnist"])


def test_a_damaged_card_hides_no_other_model(zoo_of_stand_ins, monkeypatch, tmp_path):
    home = shutil.copytree(zoo_of_stand_ins, tmp_path / "home")
    monkeypatch.setenv("THERMOTORCH_HOME", str(home))
    before = generators()
    (home / "ddpm.mnist.json").write_text("{")
    assert generators() == [name for name in before if name != "ddpm.mnist"] != before
