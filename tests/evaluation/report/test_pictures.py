import numpy as np
import pytest
import torch
from PIL import Image

from thermotorch.evaluation.report.pictures import save_animation, side_by_side


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
