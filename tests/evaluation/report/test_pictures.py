import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from thermotorch.evaluation import ModelResult, Protocol
from thermotorch.evaluation.report.pictures import films, png, sample_grids, save_animation, save_png, side_by_side


def test_every_image_is_drawn_in_its_place_with_sharp_pixels():
    images = torch.zeros(6, 1, 4, 4)
    for k in range(6):
        images[k] = (k + 1) / 10
    page = np.asarray(side_by_side([("", "", images)], columns=3, side=120))
    places = []
    for k in range(6):
        rows, columns = np.nonzero((page == round((k + 1) / 10 * 255)).all(2))
        assert np.ptp(rows) == np.ptp(columns) == 4 * 9 - 1  # 14 pixels with the gaps, 120 at most: 9 times
        assert len(rows) == (4 * 9) ** 2
        places.append((int(rows.min()), int(columns.min())))
    top, left, step = *places[0], 5 * 9
    assert places == [(top + step * (k // 3), left + step * (k % 3)) for k in range(6)]


def test_a_film_plays_for_ever_and_rests_on_its_last_frame(tmp_path):
    frames = torch.linspace(0, 1, 4).view(4, 1, 1, 1, 1).expand(4, 2, 1, 6, 6)
    with Image.open(save_animation(frames, tmp_path / "film.gif")) as film:
        assert (film.n_frames, film.info["loop"]) == (4, 0)
        shown = []
        for frame in range(4):
            film.seek(frame)
            shown.append((film.info["duration"], film.convert("L").getpixel((8, 8))))
    assert [duration for duration, _ in shown] == [80, 80, 80, 1500]
    assert [grey for _, grey in shown] == pytest.approx([0, 85, 170, 255], abs=2)


def test_grids_of_different_sizes_and_colours_stand_next_to_each_other():
    grey, colour = torch.rand(9, 1, 28, 28), torch.rand(4, 3, 8, 8)
    page = side_by_side([("grey", "9", grey), ("colour", "4", colour)], columns=3, side=200)
    alone = side_by_side([("grey", "9", grey)], columns=3, side=200)
    assert page.mode == "RGB" and page.width > alone.width and page.height >= alone.height


def strip() -> torch.Tensor:
    """Twelve frames of three images [1, 2, 2], each of its own grey: the frame in hundredths, the image in tenths."""
    grey = torch.arange(12).view(-1, 1) / 100 + torch.arange(3) / 4
    return grey.view(12, 3, 1, 1, 1).expand(12, 3, 1, 2, 2)


def film_of(*labels):
    results = [ModelResult(label, True, "", [], torch.rand(4, 1, 2, 2), [1], strip=strip()) for label in labels]
    return films(Protocol(seed=9), results)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("L")).astype(int)


def test_frames_of_a_film_are_below_and_its_images_beside_each_other_in_32_greys():
    (film,) = film_of("it").films
    assert (film.frames, film.images, film.picture.title) == (12, 3, "it")
    expected = (strip()[:, :, 0, ::2, ::2].squeeze() * 31).round() * (255 / 31)
    found = pixels(film.picture.data)
    assert found.shape == (24, 6)
    assert np.array_equal(found[::2, ::2], expected.round().int().numpy())
    assert np.array_equal(found[1::2, 1::2], found[::2, ::2])


def test_at_rest_a_line_is_an_image_and_time_runs_to_the_right_from_the_first_frame_to_the_last():
    films_of_two = film_of("one", "two")
    page = pixels(films_of_two.still.data)
    height = 3 * 3 + 1 + 8  # three images of 2 pixels with lines between them, and room below
    assert page.shape == (2 * height, 8 * 3 + 1)
    times = [round(k * 11 / 7) for k in range(8)]
    for top in (0, height):
        shown = page[top + 1 : top + 9 : 3, 1:24:3]
        assert np.array_equal(shown, (strip()[times, :, 0, 0, 0].T * 255).round().int().numpy())
    assert films_of_two.still.alt.endswith("from above: one, two") and "seed 9" in films_of_two.caption
    assert films(Protocol(), [ModelResult("it", True, "", [], torch.rand(4, 1, 2, 2), [1])]) is None


def test_the_grids_of_samples_say_how_many_of_how_many_and_are_eight_to_a_row():
    results = [
        ModelResult(name, True, "", [], torch.rand(n, 1, 2, 2), [1], label=f"{name}!")
        for name, n in (("a", 9), ("b", 3))
    ]
    gallery = sample_grids(Protocol(num_samples=1234, seed=9), results)
    assert gallery.caption == "The first 9 of 1,234 samples of each model, seed 9, none left out."
    assert [(picture.file, picture.title) for picture in gallery.pictures] == [
        ("figures/samples_1.png", "a!"), ("figures/samples_2.png", "b!"),
    ]  # fmt: skip
    assert [pixels(picture.data).shape for picture in gallery.pictures] == [(2 * 3 - 1, 8 * 3 - 1), (2, 3 * 3 - 1)]
    assert gallery.pictures[1].alt == "3 samples of b! in rows of 8" and all(each.pixels for each in gallery.pictures)


def test_a_picture_is_grey_where_its_channels_agree_and_numbers_outside_are_cut():
    grey, colour = torch.tensor([[[-1.0, 0.5, 2.0]]]), torch.tensor([1.0, 0.0, 0.5]).view(3, 1, 1)
    assert (Image.open(io.BytesIO(png(grey))).mode, pixels(png(grey)).tolist()) == ("L", [[0, 128, 255]])
    assert Image.open(io.BytesIO(png(grey.expand(3, 1, 3)))).mode == "L"
    shown = Image.open(io.BytesIO(png(colour)))
    assert (shown.mode, shown.getpixel((0, 0))) == ("RGB", (255, 0, 128))


def box(page, colour):
    """The first and last row and column of pixels of one colour."""
    rows, columns = np.nonzero((page == np.asarray(colour)).all(2))
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def test_grids_stand_beside_each_other_below_their_names_with_a_margin_around_them(monkeypatch):
    written = []
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda self, at, text, fill, font: written.append((*at, font.size, text))
    )
    red, green = torch.eye(3)[:2].view(2, 1, 3, 1, 1).unbind()
    panels = [("one", "first", red.expand(4, 3, 4, 4)), ("two", "second", green.expand(9, 3, 4, 4))]
    page = np.asarray(side_by_side(panels, columns=2, side=90))
    one, two = box(page, (255, 0, 0)), box(page, (0, 255, 0))
    margin = one[2]
    assert one[0] == two[0] and two[2] - one[3] - 1 == margin > 10, "from one height on, a margin apart"
    assert page.shape[1] - two[3] - 1 == margin and page.shape[0] - max(one[1], two[1]) - 1 == margin
    assert [text for *_, text in written] == ["one", "first", "two", "second"]
    for (left, top, size, _), (below, under, small, _), grid in zip(
        written[::2], written[1::2], (one, two), strict=True
    ):
        assert left == below == grid[2] and top == margin, "flush with the grid"
        assert top + size < under and under + small < grid[0] and small < size, "none over another"


def test_a_short_film_at_rest_begins_where_a_long_one_does():
    long, short = strip(), strip()[:3]
    results = [ModelResult(name, True, "", [], torch.rand(4, 1, 2, 2), [1], strip=each)
               for name, each in (("long", long), ("short", short))]  # fmt: skip
    still = films(Protocol(), results).still
    page = pixels(still.data)
    assert still.file == "figures/noise_to_samples.png"
    top = page.shape[0] // 2
    shown = page[top + 1 : top + 9 : 3, 1:10:3]
    assert np.array_equal(shown, (short[:, :, 0, 0, 0].T * 255).round().int().numpy()), "all of its frames"
    assert (page[top : top + 10, 10:] == 255).all(), "and nothing beside them"


def test_pictures_are_png_files(tmp_path):
    page = side_by_side([("a", "b", torch.rand(2, 1, 2, 2))])
    assert save_png(page, tmp_path / "a file") == tmp_path / "a file"
    with Image.open(tmp_path / "a file") as picture:
        assert picture.format == "PNG" and picture.size == page.size
