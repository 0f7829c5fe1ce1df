import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from thermotorch.evaluation.samples import draw_samples, write_samples
from thermotorch.models.generator.machine import ThermodynamicGenerator


def test_a_thermodynamic_computer_leaves_its_images_and_their_heat(tmp_path):
    torch.manual_seed(0)
    model = ThermodynamicGenerator(image_shape=[1, 4, 4], hidden=3, t_final=0.02)
    paths = write_samples(draw_samples(model, 9, seed=5, batch_size=4), tmp_path)
    assert sorted(path.name for path in paths) == ["heat.csv", "samples.png", "samples.safetensors"]
    expected = model.sample(9, seed=5)
    assert torch.equal(load_file(tmp_path / "samples.safetensors")["images"], expected.images)
    heading, *lines = (tmp_path / "heat.csv").read_text().splitlines()
    assert heading == "sample,heat_kT"
    assert [float(line.split(",")[1]) for line in lines] == pytest.approx(expected.heat.tolist(), rel=1e-5)
    picture = Image.open(tmp_path / "samples.png")
    assert picture.size == (3 * (4 + 2) + 2, 3 * (4 + 2) + 2)


class Flat(nn.Module):
    def generate(self, num_samples, *, seed=0, batch_size=256, progress=None, level=0.5):
        return torch.full((num_samples, 1, 4, 4), level)


def test_a_digital_model_takes_its_own_options_and_has_no_heat(tmp_path):
    paths = write_samples(draw_samples(Flat(), 4, options={"level": 0.25}), tmp_path)
    assert [path.name for path in paths] == ["samples.png", "samples.safetensors"]
    assert load_file(tmp_path / "samples.safetensors")["images"].unique().tolist() == [0.25]
