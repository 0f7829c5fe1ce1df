"""The figures of the generative computer: their sizes, their colours, their frames."""

import pytest
import torch
from PIL import Image

from thermotorch.evaluation.report.denoising_figures import connection_fields, save_figures, snapshot_rows
from thermotorch.evaluation.report.pictures import to_pillow
from thermotorch.models.generator.machine import ThermodynamicGenerator


@pytest.fixture
def model() -> ThermodynamicGenerator:
    return ThermodynamicGenerator(image_shape=(1, 4, 4), hidden=4, t_final=0.02)


def test_all_figures_are_written_and_the_animation_moves(model, tmp_path):
    paths = save_figures(model, tmp_path / "figures", rows=4, frames=10, pixels=torch.randn(3, 16))
    assert sorted(path.name for path in paths) == [
        "denoising.gif",
        "denoising.png",
        "fields.png",
        "noising.png",
        "samples.png",
    ]
    with Image.open(tmp_path / "figures" / "denoising.gif") as movie:
        assert movie.n_frames == 11
    with Image.open(tmp_path / "figures" / "samples.png") as grid:
        assert grid.size == (2 * (4 * 6 + 2),) * 2  # four images of 4 pixels with separators of 2, twice enlarged


def test_connection_fields_are_blue_where_positive_and_red_where_negative(model):
    with torch.no_grad():
        model.potential.couplings.blocks["visible-hidden"][0, 0] = 3.0
        model.potential.couplings.blocks["visible-hidden"][1, 0] = -3.0
        model.potential.couplings.blocks["visible-hidden"][2, 0] = 1.5
    picture = connection_fields(model.potential, model.image_shape, 1)
    blue, red, faint, white = (picture[:, 0, k] for k in range(4))
    assert blue.tolist() == [0.0, 0.0, 1.0]
    assert red.tolist() == [1.0, 0.0, 0.0]
    assert faint.tolist() == [0.5, 0.5, 1.0]
    assert white.tolist() == [1.0, 1.0, 1.0]


def test_rows_run_from_the_first_state_to_the_last(model):
    states = torch.linspace(-0.35, 0.95, 21).view(21, 1, 1).expand(21, 2, 20)
    rows = snapshot_rows(model, states)
    first, last = rows[:, 2:6, 2:6], rows[:, 2:6, -6:-2]
    assert torch.allclose(first, torch.zeros_like(first), atol=1e-6)
    assert torch.allclose(last, torch.ones_like(last), atol=1e-6)


def test_enlarged_pixels_stay_sharp():
    picture = torch.tensor([[[0.0, 1.0]]]).expand(3, 1, 2)
    assert list(to_pillow(picture, scale=2).convert("L").tobytes()) == [0, 0, 255, 255] * 2
