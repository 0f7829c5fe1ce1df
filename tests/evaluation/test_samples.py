import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from thermotorch.evaluation.samples import SHOWN, Written, draw_samples, sample_rows, samples_in_parts, write_samples
from thermotorch.models.generator.machine import ThermodynamicGenerator


def test_a_thermodynamic_computer_leaves_its_images_and_their_heat(tmp_path):
    torch.manual_seed(0)
    model = ThermodynamicGenerator(image_shape=[1, 4, 4], hidden=3, t_final=0.02)
    paths = write_samples(samples_in_parts(model, 9, seed=5, batch_size=4), 9, tmp_path).paths
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
    paths = write_samples(draw_samples(Flat(), 4, options={"level": 0.25}), 4, tmp_path).paths
    assert [path.name for path in paths] == ["samples.png", "samples.safetensors"]
    assert load_file(tmp_path / "samples.safetensors")["images"].unique().tolist() == [0.25]


class Numbered(nn.Module):
    """Images with the number of the sample in every pixel, and what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def generate(self, num_samples, *, seed=0, sample_ids=None, labels=None, batch_size=256, progress=None):
        self.counts.append(num_samples)
        ids = torch.arange(num_samples) if sample_ids is None else sample_ids
        if progress is not None:
            progress(num_samples * 5, num_samples * 5)
        value = ids if labels is None else 10_000 * torch.as_tensor(labels) + ids
        return value.float().view(-1, 1, 1, 1).expand(-1, 1, 2, 3).contiguous()


def test_parts_are_the_samples_of_one_call_and_memory_is_that_of_a_part(tmp_path):
    model, seen = Numbered(), []
    labels = [k % 3 for k in range(2500)]
    parts = samples_in_parts(
        model, np.int64(2500), batch_size=300, options={"labels": labels}, progress=lambda *done: seen.append(done)
    )
    assert write_samples(parts, 2500, tmp_path).num_samples == 2500
    expected = Numbered().generate(2500, labels=labels)
    assert torch.equal(load_file(tmp_path / "samples.safetensors")["images"], expected)
    assert model.counts == [900, 900, 700]  # whole batches
    assert seen == [(900, 2500), (1800, 2500), (2500, 2500)]
    model.counts.clear()
    for _ in samples_in_parts(model, 4000, batch_size=1500):  # larger than a part is meant to be
        pass
    assert model.counts == [1500, 1500, 1000]


def test_the_grid_shows_the_first_thousand_or_so(tmp_path):
    write_samples({"images": torch.rand(3000, 1, 2, 2)}, 3000, tmp_path)
    side = int(SHOWN**0.5) * (2 + 2) + 2
    assert Image.open(tmp_path / "samples.png").size == (side, side)


def test_a_file_is_whole_or_not_there(tmp_path):
    def parts():
        yield {"images": torch.rand(3, 1, 2, 2)}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_samples(parts(), 9, tmp_path)
    with pytest.raises(ValueError, match=r"expected 9 samples \(num_samples\), found 3"):
        write_samples({"images": torch.rand(3, 1, 2, 2)}, 9, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_images_keep_their_precision(tmp_path, dtype):
    images = torch.rand(3, 1, 2, 2).to(dtype)
    write_samples({"images": images}, 3, tmp_path)
    assert torch.equal(load_file(tmp_path / "samples.safetensors")["images"], images)


@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError), ("3", TypeError)])
def test_numbers_that_count_nothing_are_refused(count, error):
    with pytest.raises(error, match="num_samples"):
        next(samples_in_parts(Numbered(), count))


def test_the_rows_of_a_run_are_the_means_of_its_samples():
    heat = torch.tensor([10.0, 30.0, 20.0, 20.0])
    mean, seconds = sample_rows(Written([], 4, heat), 0.5, 7, "here")
    assert (mean.metric, mean.value, mean.unit, mean.kind) == ("generation heat", 20.0, "kT per sample", "modelled")
    assert mean.stderr == pytest.approx((200 / 3) ** 0.5 / 2)
    assert (seconds.value, seconds.unit, seconds.kind, seconds.stderr) == (0.5, "s per sample", "measured", None)
    assert {(row.num_samples, row.seed, row.command) for row in (mean, seconds)} == {(4, 7, "here")}
    assert sample_rows(Written([], 4, None), 0.5, 7, "here") == [seconds]
    assert sample_rows(Written([], 1, heat[:1]), 0.5, 7, "here")[0].stderr is None  # one sample has no scatter
