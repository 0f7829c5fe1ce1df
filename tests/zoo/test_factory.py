import pytest
import torch
from torch import nn

from thermotorch.zoo import create_model, list_models, registry, save_checkpoint

FIELDS = {"data": {}, "metrics": [], "energy": [], "training": {}, "licence": "Apache-2.0", "notes": ""}


class Affine(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.config = {"width": width}
        self.linear = nn.Linear(width, width)


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """Return a zoo folder with the trained model `affine.test` (width 4)."""
    monkeypatch.setattr(registry, "_architectures", {**registry._architectures, "affine": Affine})
    monkeypatch.setenv("THERMOTORCH_HOME", str(tmp_path))
    save_checkpoint(Affine(4), "affine.test", tmp_path, FIELDS)
    return tmp_path


def test_an_architecture_alone_gives_a_fresh_model():
    assert create_model("affine").config == {"width": 3}
    assert create_model("affine", width=6).config == {"width": 6}


def test_a_tag_gives_the_configuration_and_pretrained_the_weights():
    torch.manual_seed(0)
    fresh, trained, again = create_model("affine.test"), *(create_model("affine.test", pretrained=True) for _ in "ab")
    assert fresh.config == trained.config == {"width": 4}
    assert not torch.equal(fresh.linear.weight, trained.linear.weight)
    assert torch.equal(again.linear.weight, trained.linear.weight)


def test_a_checkpoint_file_can_be_given(home):
    by_path = create_model("affine", checkpoint=home / "affine.test.safetensors")
    assert torch.equal(by_path.linear.weight, create_model("affine.test", pretrained=True).linear.weight)
    with pytest.raises(ValueError, match="expected architecture 'ddpm', found 'affine'"):
        create_model("ddpm", checkpoint=home / "affine.test.safetensors")


def test_names_that_do_not_exist_list_the_close_matches():
    with pytest.raises(ValueError, match="unknown model 'afine'; did you mean 'affine'"):
        create_model("afine")
    with pytest.raises(ValueError, match="unknown checkpoint 'affine.tset'; did you mean 'affine.test'"):
        create_model("affine.tset", pretrained=True)
    with pytest.raises(TypeError, match="did you mean 'width'"):
        create_model("affine", with_=2)


def test_pretrained_without_a_tag_says_what_to_write():
    with pytest.raises(ValueError, match=r"no tag, so there are no weights to load; write one of \['affine.test'\]"):
        create_model("affine", pretrained=True)


def test_list_models_filters_by_pattern():
    assert list_models("aff*") == ["affine"]
    assert list_models("aff*", pretrained=True) == ["affine.test"]
    assert list_models("nothing*") == []


def test_an_address_excludes_another_checkpoint(home):
    with pytest.raises(ValueError, match="checkpoint: expected none beside the address .*affine.test.safetensors"):
        create_model(home / "affine.test.safetensors", checkpoint=home / "affine.test.safetensors")
    assert create_model(home / "affine.test.safetensors", width=4).config == {"width": 4}


def test_patterns_are_several_or_one_and_tell_small_from_capital():
    assert list_models(["affine", "d?pm"]) == ["affine", "ddpm"]
    assert list_models(("affine.*", "AFFINE.*"), pretrained=True) == ["affine.test"]
    assert list_models("Affine") == list_models([]) == []
    for wrong in (3, ["affine", 3]):
        with pytest.raises(TypeError, match="pattern: expected a pattern such as 'generator.*', or a list of them"):
            list_models(wrong)
