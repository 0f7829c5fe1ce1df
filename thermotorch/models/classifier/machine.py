"""A thermodynamic classifier: clamped pixels push hidden and output units, and the largest output is the class."""

from collections.abc import Sequence
from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from thermotorch.arguments import count_of, counts_of, number_of, real, sample_numbers
from thermotorch.dynamics import Trajectory
from thermotorch.dynamics.noise import seed_or_fresh
from thermotorch.layer import ThermodynamicLayer
from thermotorch.models.protocol import Classifier, Inference, Progress

_RUN_STRIDE = 1 << 24  # run r of image i has noise stream r x 2^24 + i: runs of up to 2^24 images share none


class ThermodynamicClassifier(Classifier, nn.Module):
    """Images clamp the input units; hidden and output units start at zero, run for `t_final`, and are read.

        dx = -dV/dx dt + sqrt(2 kT dt) xi,   V(x; u) = sum_i (j2 x_i^2 + j4 x_i^4) + b.x + sum over pairs J_ij x_i x_j

    where pairs also join every unit to the clamped pixels u. Pixels are centred and scaled by fixed moments, and every
    image is scaled to the length sqrt(number of pixels). The paper scales by the largest length of the training set,
    1.7 times that for MNIST, which changes the unit of the input couplings only.

    Args:
        image_shape: (channels, height, width).
        num_classes: number of output units.
        hidden: number of hidden units.
        temperature, t_final, dt, j2, j4: kT, observation time, time step, on-site coefficients.
        sharpness: ratio of logits to outputs, which affects probabilities but not the class.
        pixel_mean, pixel_std: moments of the training pixels, by default those of MNIST.

    Cost of an inference at the defaults: 58,016 multiply-adds for the field of the pixels, 200 steps of 5,402.
    Source: Whitelam, PNAS 123, e2528413123 (2026): 784 + 64 + 10 units, 60,791 parameters.
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        hidden: int = 64,
        temperature: float = 1.0,
        t_final: float = 0.2,
        dt: float = 1e-3,
        j2: float = 1.0,
        j4: float = 1.0,
        sharpness: float = 4.0,
        pixel_mean: float = 0.13066,
        pixel_std: float = 0.30811,
    ) -> None:
        super().__init__()
        image_shape, num_classes = counts_of("image_shape", image_shape), count_of("num_classes", num_classes)
        hidden, temperature = count_of("hidden", hidden, 0), number_of("temperature", temperature)
        t_final, dt = number_of("t_final", t_final, positive=True), number_of("dt", dt, positive=True)
        j2, j4 = number_of("j2", j2, signed=True), number_of("j4", j4)
        sharpness, pixel_std = number_of("sharpness", sharpness), number_of("pixel_std", pixel_std, positive=True)
        pixel_mean = number_of("pixel_mean", pixel_mean, signed=True)
        self.config: dict[str, Any] = {
            "image_shape": image_shape, "num_classes": num_classes, "hidden": hidden, "temperature": temperature,
            "t_final": t_final, "dt": dt, "j2": j2, "j4": j4, "sharpness": sharpness, "pixel_mean": pixel_mean,
            "pixel_std": pixel_std,
        }  # fmt: skip
        self.image_shape = tuple(image_shape)
        self.pixel_mean, self.pixel_std, self.sharpness = pixel_mean, pixel_std, sharpness
        self.layer = ThermodynamicLayer(
            prod(self.image_shape), num_classes, hidden, t_final, dt, temperature, j2=j2, j4=j4
        )

    def features(self, images: Tensor) -> Tensor:
        """Return the clamped pixels [batch, pixel], of root mean square 1, for images [batch, c, h, w] in [0, 1].

        Raises:
            ValueError: images of another shape.
        """
        if real("images", images).dim() != 4 or tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(
                f"images: expected [batch, {', '.join(map(str, self.image_shape))}], found {list(images.shape)}"
            )
        pixels = (images.flatten(1) - self.pixel_mean) / self.pixel_std
        return pixels * (sqrt(pixels.shape[1]) / pixels.norm(dim=1, keepdim=True).clamp_min(1e-6))

    def run(
        self, images: Tensor, seed: int | None = None, sample_ids: Tensor | None = None, **simulation: Any
    ) -> Trajectory:
        """Run each image once, differentiably. Arguments as in `ThermodynamicLayer.run`."""
        return self.layer.run(self.features(images), seed, sample_ids, **simulation)

    def read(self, trajectory: Trajectory) -> Tensor:
        """Return the positions of the output units at the end of a run, [batch, class]."""
        return trajectory.state[:, self.layer.hidden :]

    def forward(self, images: Tensor, seed: int | None = None, sample_ids: Tensor | None = None) -> Tensor:
        """Return the logits of one run for each image, [batch, class]; differentiable."""
        return self.sharpness * self.read(self.run(images, seed, sample_ids))

    @torch.no_grad()
    def infer(
        self,
        images: Tensor,
        *,
        runs: int = 1,
        seed: int | None = None,
        sample_ids: Tensor | None = None,
        batch_size: int = 2000,
        progress: Progress | None = None,
    ) -> Inference:
        """Run every image repeatedly and independently.

        Args:
            images: [image, c, h, w] in [0, 1].
            runs: number of runs on each image, which does not affect run r.
            seed: seed of the thermal noise; None draws one from torch's global generator.
            sample_ids: noise streams, int64 [image], by default 0, 1, ...
            batch_size: number of images per batch.
            progress: callback (images done, number of images) after each batch.
        """
        self.features(images[:0])
        ids = sample_numbers(sample_ids, (len(images),), images.device)
        runs, batch_size, seed = count_of("runs", runs), count_of("batch_size", batch_size), int(seed_or_fresh(seed))
        parts, done = [], 0
        for chunk, rows in zip(images.split(batch_size), ids.split(batch_size), strict=True):
            repeated = [self.run(chunk, seed, rows + run * _RUN_STRIDE) for run in range(runs)]
            heat = torch.stack([run.heat for run in repeated], 1) / self.layer.temperature
            parts.append((torch.stack([self.read(run) for run in repeated], 1), heat))
            done += len(chunk)
            if progress is not None:
                progress(done, len(images))
        return Inference(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return the mean over runs of softmax(sharpness x): [..., run, class] -> [..., class]."""
        return (self.sharpness * outputs).softmax(-1).mean(-2)
