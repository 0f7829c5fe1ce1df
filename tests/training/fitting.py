"""Short training runs on a few real 8x8 digits: 40 images, batches of 8, so an epoch has 5 batches."""

from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging

from thermotorch.training.callbacks import ExponentialAverage
from thermotorch.training.data import Digits8x8Data
from thermotorch.training.diffusion_module import DiffusionModule

ADAM = {"name": "adamw", "lr": 1e-2, "warmup_steps": 3, "decay_steps": 40}


def diffusion_module(optimizer: dict = ADAM, **arguments) -> DiffusionModule:
    model = {"name": "ddpm", "config": {"image_size": 8, "block_out_channels": [8, 16], "num_train_timesteps": 50}}
    return DiffusionModule(model, optimizer, **arguments)


def fit(
    module: LightningModule,
    folder: Path,
    max_steps: int,
    *callbacks: Callback,
    ckpt_path: Path | None = None,
    save_every: int = 1,
    **trainer: object,
) -> Trainer:
    """Trains and returns the trainer; `folder/last.ckpt` and `folder/<step>.ckpt` hold what was saved."""
    checkpoint = ModelCheckpoint(
        folder,
        filename="{step}",
        auto_insert_metric_name=False,
        every_n_train_steps=save_every,
        save_top_k=-1,
        save_last=True,
        save_on_exception=True,
        enable_version_counter=False,
    )
    fitting = Trainer(
        accelerator="cpu",
        max_steps=max_steps,
        max_epochs=-1,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[checkpoint, *callbacks],
        **{"devices": 1, "logger": False, "gradient_clip_val": 1.0, **trainer},
    )
    data = Digits8x8Data(digits=[0, 1], images_per_digit=20, batch_size=8)
    fitting.fit(module, data, ckpt_path=ckpt_path)
    return fitting


def ema() -> WeightAveraging:
    return WeightAveraging(use_buffers=False, avg_fn=ExponentialAverage(0.8))


def same(one: object, other: object) -> bool:
    """Bit for bit equality of nested states."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
