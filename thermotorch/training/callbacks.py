"""Callbacks of training: sample grids, update rate, time budget, held-out distance, finite gradients, averages."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import cos, pi
from pathlib import Path
from time import perf_counter

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from torch.optim import Optimizer
from torchvision.utils import save_image

from thermotorch.arguments import count_of
from thermotorch.evaluation.quality.distances import frechet_distance
from thermotorch.evaluation.quality.recognition import FeatureNet, class_probabilities, features, recognised_fraction
from thermotorch.files import replacing
from thermotorch.models.protocol import abilities, makes_images
from thermotorch.training.module import images_of
from thermotorch.zoo import load_checkpoint


class SampleGrid(Callback):
    """Write a PNG grid of generated images every `every_n_steps` updates and at the end of training.

    The model needs `generate`. For a thermodynamic model the mean and standard deviation of its heat are logged as
    `val/heat_kT` and `val/heat_kT_std`. Averaged weights are used if training keeps them. The processes share the
    sample numbers of one seed, so that the pictures do not depend on the number of processes.

    Args:
        folder: destination of `step-<update>.png`, created if missing. Loggers of images receive the same picture.
        every_n_steps: number of updates between grids.
        num_samples: number of images in a grid.
        columns: number of images in a row.
        seed: seed of the samples.
        generate: further arguments of the model's `generate` (or `sample`), such as `{"steps": 10}`.
    """

    def __init__(
        self,
        folder: str,
        every_n_steps: int = 500,
        num_samples: int = 64,
        columns: int = 8,
        seed: int = 0,
        generate: dict | None = None,
    ) -> None:
        self.folder, self.seed = Path(folder), seed
        self.every_n_steps = count_of("every_n_steps", every_n_steps)
        self.num_samples, self.columns = count_of("num_samples", num_samples), count_of("columns", columns)
        self.options = dict(generate or {})
        self._drawn_at = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = pl_module.get_submodule("model")
        if not makes_images(model):
            raise TypeError(f"SampleGrid: expected a model with `generate`, found {type(model).__name__}")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        if trainer.global_step % self.every_n_steps == 0:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, pl_module)

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> None:
        step = trainer.global_step
        if step == self._drawn_at:
            return
        self._drawn_at = step
        share = -(-self.num_samples // trainer.world_size)
        ids = torch.arange(share) + share * trainer.global_rank
        options = {"seed": self.seed, "sample_ids": ids, **self.options}
        with averaged_weights(trainer, pl_module):
            samples = abilities(pl_module.get_submodule("model")).draw(share, **options)
        images = self._gather(trainer, pl_module, samples.images)
        heat = None if samples.heat is None else self._gather(trainer, pl_module, samples.heat)
        if trainer.is_global_zero:
            path = self.folder / f"step-{step:06d}.png"
            with replacing(path) as partial:
                save_image(images, partial, format="png", nrow=self.columns)
            for logger in trainer.loggers:
                if heat is not None:
                    logger.log_metrics(
                        {"val/heat_kT": heat.mean().item(), "val/heat_kT_std": heat.std().item()}, step=step
                    )
                if hasattr(logger, "log_image"):
                    logger.log_image("samples", [str(path)], step=step)

    def _gather(self, trainer: Trainer, pl_module: LightningModule, values: torch.Tensor) -> torch.Tensor:
        """Return the values of all processes in the order of the sample ids."""
        if trainer.world_size > 1:
            values = torch.as_tensor(pl_module.all_gather(values.to(pl_module.device))).flatten(0, 1)
        return values[: self.num_samples]


class UpdateRate(Callback):
    """Log the number of updates per second, `train/updates_per_second`, every `every_n_steps` updates."""

    def __init__(self, every_n_steps: int = 100) -> None:
        self.every_n_steps, self._since = every_n_steps, (0, 0.0)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        step = trainer.global_step
        if step % self.every_n_steps or not trainer.is_global_zero:
            return
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)  # the host runs ahead of the GPU
        (last_step, last_time), now = self._since, perf_counter()
        self._since = step, now
        if last_step:
            for logger in trainer.loggers:
                logger.log_metrics({"train/updates_per_second": (step - last_step) / (now - last_time)}, step=step)


class TimeBudget(Callback):
    """End training after a given time, with learning rates that fall to zero as a half cosine of the time.

    The number of updates depends on the speed of the computer, so that a run with a time budget is not reproducible to
    the bit.

    Args:
        seconds: time from the first update; None for no budget.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds, self._since = seconds, 0.0

    def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
        if self.seconds is None:
            return
        self._since = self._since or perf_counter()
        elapsed = (perf_counter() - self._since) / self.seconds
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                warm_up = min(1.0, (trainer.global_step + 1) / 200)
                group["lr"] = group["initial_lr"] * warm_up * 0.5 * (1.0 + cos(pi * min(1.0, elapsed)))
        trainer.should_stop = elapsed >= 1.0

    def on_train_end(self, trainer: Trainer, *_: object) -> None:
        checkpoints = trainer.checkpoint_callback  # which only saves between epochs
        if self.seconds is not None and isinstance(checkpoints, ModelCheckpoint) and checkpoints.dirpath:
            trainer.save_checkpoint(Path(checkpoints.dirpath) / "last.ckpt")


class HeldOutDistance(Callback):
    """Log the Frechet distance of samples to the validation images, `val/frechet`, and their recognised fraction.

    The distance is taken in the judge's feature space, between equal numbers of samples and validation images; the test
    set stays unseen. Averaged weights are used if training keeps them.

    Args:
        every_n_steps: number of updates between evaluations.
        num_samples: number of samples and of validation images, at most all of these.
        seed: seed of the samples, other than those of reported samples.
        judge: checkpoint of the feature network.
    """

    def __init__(
        self, every_n_steps: int = 250, num_samples: int = 1000, seed: int = 1 << 20, judge: str = "feature_net.mnist"
    ) -> None:
        self.every_n_steps, self.num_samples, self.seed = every_n_steps, num_samples, seed
        net = load_checkpoint(judge)
        if not isinstance(net, FeatureNet):
            raise TypeError(f"judge: expected a feature network, found {judge!r}, a {type(net).__name__}")
        self.net: FeatureNet = net

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loaders = images_of(trainer).val_dataloader()
        images = torch.cat([batch["image"] for loader in loaders for batch in loader]) if loaders else torch.empty(0)
        if len(images) < 3:
            raise ValueError(
                f"HeldOutDistance: expected at least 3 validation images, found {len(images)}; set data.val_size"
            )
        self._real = features(self.net, images[: self.num_samples])

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        if trainer.global_step % self.every_n_steps or not trainer.is_global_zero:
            return
        with averaged_weights(trainer, pl_module):
            images = abilities(pl_module.get_submodule("model")).draw(len(self._real), seed=self.seed).images.cpu()
        distance = frechet_distance(features(self.net, images), self._real)[0]
        recognised = recognised_fraction(class_probabilities(self.net, images))[0]
        scores = {"val/frechet": distance, "val/recognised": recognised}
        pl_module.log_dict(scores, prog_bar=True, rank_zero_only=True)


class FiniteGradients(Callback):
    """Stop before an update whose gradient holds a NaN or an infinity, so that the last checkpoint holds good weights.

    A loss that is not finite has such a gradient. In float16 the gradient scaler already skips such updates, and this
    callback does nothing.

    Cost: one norm of each parameter's gradient for each update, for which the host waits on a GPU.
    """

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if str(trainer.precision).startswith("16"):
            return
        gradients = {
            name: parameter.grad for name, parameter in pl_module.named_parameters() if parameter.grad is not None
        }
        if not gradients:
            return
        norms = torch._foreach_norm(list(gradients.values()))
        finite = torch.stack([norm.isfinite() for norm in norms])
        if not finite.all():
            bad = next(name for name, good in zip(gradients, finite.tolist(), strict=True) if not good)
            raise FloatingPointError(
                f"the gradient of {bad} is not finite at update {trainer.global_step + 1}; the weights before that "
                f"update are kept: try a lower learning rate or trainer.gradient_clip_val, and continue with "
                f"ckpt_path=last"
            )


class ExponentialAverage:
    """The rule `average <- decay average + (1 - decay) weights`, as `avg_fn` of Lightning's `WeightAveraging`.

    Lightning's own `EMAWeightAveraging` does the same with a local function, which cannot be pickled for spawned
    processes.

    Args:
        decay: 0 <= decay < 1; the average reaches back about 1 / (1 - decay) updates.

    Raises:
        ValueError: decay out of range.
    """

    def __init__(self, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay: expected 0 <= decay < 1, found {decay}")
        self.decay = decay

    def __call__(self, average: torch.Tensor, weights: torch.Tensor, num_averaged: int | torch.Tensor) -> torch.Tensor:
        return self.decay * average + (1.0 - self.decay) * weights


@contextmanager
def averaged_weights(trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
    """Give the module its averaged weights inside the block, if a `WeightAveraging` callback keeps some."""
    # Lightning sets `callbacks`, and declares them nowhere.
    callbacks = [each for each in trainer.callbacks if isinstance(each, WeightAveraging)]  # type: ignore[attr-defined]
    for callback in callbacks:  # the public hooks by which Lightning swaps weights around validation
        callback.on_validation_epoch_start(trainer, pl_module)
    try:
        yield
    finally:
        for callback in callbacks:
            callback.on_validation_epoch_end(trainer, pl_module)
