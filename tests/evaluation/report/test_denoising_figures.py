"""The figures of the generative computer: their sizes, their colours, their frames."""

from pathlib import Path

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


def tiles(path, columns: int, count: int, side: int = 4) -> torch.Tensor:
    """The first `count` images [count, side, side] of a grid that was drawn twice as large, in grey levels."""
    picture = Image.open(path).convert("RGB") if isinstance(path, Path) else path.convert("RGB")
    grey = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(picture.height, picture.width, 3)
    places = [(2 + (k // columns) * (side + 2), 2 + (k % columns) * (side + 2)) for k in range(count)]
    return torch.stack([grey[2 * y : 2 * (y + side) : 2, 2 * x : 2 * (x + side) : 2, 1] for y, x in places]).int()


def levels(images: torch.Tensor) -> torch.Tensor:
    return (images[:, 0] * 255).round().int()


def test_every_picture_shows_what_the_machine_does_with_the_noise_of_the_seed(model, tmp_path):
    """Six states of a run of 20 steps; ten columns show some of them twice. Seed 3, since 0 may be a default."""
    pixels = torch.linspace(-1, 1, 32).view(2, 16)
    save_figures(model, tmp_path, seed=3, rows=3, frames=5, pixels=pixels)
    ids = torch.arange(9)
    start = model.start(9, seed=3, sample_ids=ids)
    run = model.denoise(start, seed=3, sample_ids=ids, record=4)
    states = torch.cat([start[None], run.states])
    assert len(states) == 6
    assert torch.equal(tiles(tmp_path / "samples.png", 3, 9), levels(model.to_images(run.state)))
    columns = [round(k * 5 / 9) for k in range(10)]
    found = tiles(tmp_path / "denoising.png", 10, 30).view(3, 10, 4, 4)
    for row in range(3):
        assert torch.equal(found[row], levels(model.to_images(states[columns, row])))
    decay_start, decay = model.noising().run(pixels, seed=3, record=4)
    decayed = torch.cat([decay_start[None], decay.states])
    found = tiles(tmp_path / "noising.png", 10, 20).view(2, 10, 4, 4)
    for row in range(2):
        assert torch.equal(found[row], levels(model.to_images(decayed[columns, row])))
    with Image.open(tmp_path / "denoising.gif") as film:
        assert film.n_frames == 6
        for frame in range(6):
            film.seek(frame)
            shown = tiles(film, 3, 9)
            assert (shown - levels(model.to_images(states[frame]))).abs().float().mean() < 12, "in sixteen greys"


def test_the_fields_are_those_of_the_first_sixteen_hidden_units_four_to_a_row(tmp_path):
    torch.manual_seed(2)
    model = ThermodynamicGenerator(image_shape=(1, 4, 4), hidden=18, t_final=0.01)
    with torch.no_grad():
        model.potential.couplings.blocks["visible-hidden"].normal_()
    save_figures(model, tmp_path, rows=2, frames=2)
    block = model.potential.couplings.block("visible", "hidden").T[:16]
    strength = (block / block.abs().amax(1, keepdim=True)).view(16, 1, 4, 4)
    assert torch.equal(tiles(tmp_path / "fields.png", 4, 16), levels(1 - strength.abs()))  # green is what both lack
    assert not (tmp_path / "noising.png").exists()
    wide = connection_fields(model.potential, model.image_shape, 6, columns=6)
    assert wide.shape == (3, 4 + 4, 6 * 6 + 2)
    silent = torch.nn.init.zeros_(model.potential.couplings.blocks["visible-hidden"])
    assert not silent.any() and bool((connection_fields(model.potential, (1, 4, 4), 1)[:, 2:6, 2:6] == 1).all())


def test_a_row_of_samples_has_ten_of_them_and_the_noise_of_seed_0_unless_told_otherwise(model, tmp_path):
    save_figures(model, tmp_path / "a")
    save_figures(model, tmp_path / "b", seed=0, rows=10, frames=25)
    names = ("samples.png", "denoising.png", "denoising.gif")
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    with Image.open(tmp_path / "a" / "denoising.gif") as film:
        assert film.n_frames == 21 and film.size == (2 * (10 * 6 + 2), 2 * (3 * 6 + 2))
