"""Images of one model as files."""

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file
from torch import nn
from torchvision.utils import save_image


def write_samples(
    model: nn.Module,
    num_samples: int,
    folder: Path,
    *,
    seed: int = 0,
    batch_size: int = 64,
    options: dict | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Generates images and writes them, with their heat where the model is a thermodynamic computer.

    Args:
        model: anything with `generate`; the heat comes from its `sample`, if it has that too.
        num_samples, seed, batch_size, progress: as in `generate`.
        folder: where to; it exists.
        options: further arguments of `generate`, such as `{"sampler": "ddim", "steps": 50}`.

    Returns:
        The paths written: samples.png, a grid; samples.safetensors, `images` [n, c, h, w] in [0, 1]; and heat.csv, the
        heat of each sample in kT.
    """
    arguments = {"seed": seed, "batch_size": batch_size, "progress": progress, **(options or {})}
    picture, tensors, heat = (folder / name for name in ("samples.png", "samples.safetensors", "heat.csv"))
    written = [picture, tensors]
    if hasattr(model, "sample"):
        samples = model.sample(num_samples, **arguments)
        images = samples.images
        rows = [f"{number},{value:.6g}" for number, value in enumerate(samples.heat.tolist())]
        heat.write_text("\n".join(["sample,heat_kT", *rows, ""]), encoding="utf-8")
        written.append(heat)
    else:
        images = model.generate(num_samples, **arguments)
    save_image(images, picture, nrow=max(1, round(num_samples**0.5)))
    save_file({"images": images.cpu().contiguous()}, tensors)
    return written
