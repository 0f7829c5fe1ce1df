"""Images of one model: drawn, with what they cost, and as files."""

from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.utils import save_image

from thermotorch.zoo.rows import Row


def draw_samples(
    model: nn.Module,
    num_samples: int,
    *,
    seed: int = 0,
    batch_size: int = 64,
    options: Mapping | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Tensor]:
    """Generates `images` [n, c, h, w] in [0, 1] and, where the model is a thermodynamic computer, their `heat` [n] in kT.

    Args:
        model: anything with `generate`; the heat comes from its `sample`, if it has that too.
        num_samples, seed, batch_size, progress: as in `generate`.
        options: further arguments of `generate`, such as `{"sampler": "ddim", "steps": 50}`.
    """
    arguments = {"seed": seed, "batch_size": batch_size, "progress": progress, **(options or {})}
    if hasattr(model, "sample"):
        samples = model.sample(num_samples, **arguments)
        return {"images": samples.images, "heat": samples.heat}
    return {"images": model.generate(num_samples, **arguments)}


def write_samples(samples: Mapping[str, Tensor], folder: Path) -> list[Path]:
    """Writes what `draw_samples` gave into a folder that exists.

    Returns:
        The paths written: samples.png, a grid; samples.safetensors, `images` [n, c, h, w] in [0, 1]; and heat.csv, the
        heat of each sample in kT, where there is any.
    """
    images = samples["images"].cpu().contiguous()
    picture, tensors, heat = (folder / name for name in ("samples.png", "samples.safetensors", "heat.csv"))
    save_image(images, picture, nrow=max(1, round(len(images) ** 0.5)))
    save_file({"images": images}, tensors)
    if "heat" not in samples:
        return [picture, tensors]
    rows = [f"{number},{value:.6g}" for number, value in enumerate(samples["heat"].tolist())]
    heat.write_text("\n".join(["sample,heat_kT", *rows, ""]), encoding="utf-8")
    return [picture, tensors, heat]


def sample_rows(samples: Mapping[str, Tensor], seconds: float, seed: int, command: str) -> list[Row]:
    """What a run of sampling is worth keeping for: the time of a sample, and the mean heat where there is any.

    Args:
        samples: as `draw_samples` gave them.
        seconds: for each sample, warm-up included.
        seed, command: of the rows.
    """
    n = len(samples["images"])
    rows = [Row("time, warm-up included", seconds, "s per sample", n, seed, "measured", None, command)]
    if "heat" not in samples:
        return rows
    heat = samples["heat"].double()
    stderr = (heat.std() / n**0.5).item() if n > 1 else None
    return [Row("generation heat", heat.mean().item(), "kT per sample", n, seed, "modelled", stderr, command), *rows]
