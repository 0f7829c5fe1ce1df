"""Sampling over several processes: `Trainer.predict` with the sample ids as its data set.

The noise of a sample is a pure function of (seed, sample, step, unit), so that any number of processes gives the same
samples. No sample is repeated to make the shares equal.
"""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from safetensors.torch import load_file, save
from torch import Tensor, nn

from thermotorch.arguments import count_of
from thermotorch.evaluation.samples import draw_samples
from thermotorch.files import write_file
from thermotorch.training.data import FixedBatches, place_of

ID = "sample_ids"
_PARTS = "rank-*.safetensors"


class SampleIds(LightningDataModule):
    """The ids 0 ... num_samples - 1 in batches; each process has a contiguous share, and shares differ by at most one.

    A batch is a dict with `sample_ids`, int64 [batch], and the entries of `given` for these samples.

    Args:
        num_samples: number of samples over all processes.
        batch_size: number of ids in a batch of one process.
        given: arguments of the model's `generate` with one entry for each sample, by name, [num_samples, ...], such as
            `{"labels": classes}`.

    Raises:
        ValueError: a size below one, or a wrong number of entries in `given`.
    """

    def __init__(self, num_samples: int, batch_size: int = 256, given: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.num_samples, self.batch_size = count_of("num_samples", num_samples), count_of("batch_size", batch_size)
        self.given = dict(given or {})
        for name, values in self.given.items():
            if len(values) != num_samples:
                raise ValueError(f"given: expected {num_samples} {name} (num_samples), found {len(values)}")

    def share(self, rank: int, world_size: int) -> list[dict[str, Tensor]]:
        """Return the batches of process `rank` of `world_size`."""
        ids = torch.arange(self.num_samples).tensor_split(world_size)[rank]
        batches = ids.split(self.batch_size) if len(ids) else ()
        return [{ID: chunk, **{name: values[chunk] for name, values in self.given.items()}} for chunk in batches]

    def predict_dataloader(self) -> FixedBatches:
        """Return this process's share; all samples without a trainer.

        Raises:
            ValueError: more processes than samples.
        """
        _, rank, world_size = place_of(self.trainer)
        if world_size > self.num_samples:
            raise ValueError(
                f"num_samples: expected at least {world_size} (the number of processes), found {self.num_samples}"
            )
        return FixedBatches(self.share(rank, world_size))


class Sampling(LightningModule):
    """Draw the samples of a batch of ids.

    Args:
        model: a generator in evaluation mode.
        seed: seed of the samples.
        options: further arguments of `generate`, the same for all samples, such as `{"sampler": "ddim", "steps": 50}`.
    """

    def __init__(self, model: nn.Module, seed: int = 0, options: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.model, self.seed, self.options = model, seed, dict(options or {})

    def predict_step(self, batch: dict[str, Tensor], *_: object) -> dict[str, Tensor]:
        """Return `images` [batch, c, h, w] in [0, 1], `heat` [batch] of a machine in kT, and `sample_ids` [batch]."""
        count = len(batch[ID])
        return {ID: batch[ID]} | draw_samples(
            self.model, count, seed=self.seed, batch_size=count, options=self.options | batch
        )


class SampleFiles(Callback):
    """Write the predictions of each process into a file of its own, and wait for the other processes.

    When `Trainer.predict` returns, all files are ready for `joined_samples`.

    Args:
        folder: folder of the files, created if missing; files of an earlier call are removed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._batches: list[dict[str, Tensor]] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.glob(_PARTS):
                path.unlink()
        trainer.strategy.barrier()

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: dict[str, Tensor], *_: object
    ) -> None:
        self._batches.append({name: values.cpu() for name, values in outputs.items()})

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        whole = {name: torch.cat([part[name] for part in self._batches]).contiguous() for name in self._batches[0]}
        self._batches = []
        write_file(self.folder / _PARTS.replace("*", f"{trainer.global_rank:05d}"), save(whole))
        trainer.strategy.barrier()


def joined_samples(folder: Path, num_samples: int) -> dict[str, Tensor]:
    """Return the tensors that `SampleFiles` wrote, `images` and perhaps `heat`, in the order of the ids.

    Raises:
        ValueError: the parts do not hold each of the ids 0 ... num_samples - 1 exactly once.
    """
    parts = [load_file(path) for path in sorted(folder.glob(_PARTS))]
    whole = {name: torch.cat([part[name] for part in parts]) for name in (parts[0] if parts else ())}
    ids, order = whole.pop(ID, torch.empty(0, dtype=torch.int64)).sort()
    if not torch.equal(ids, torch.arange(num_samples)):
        raise ValueError(
            f"{folder}: expected each of the samples 0 ... {num_samples - 1} once, found {len(ids)}, "
            f"{len(ids.unique())} different ones"
        )
    return {name: values[order] for name, values in whole.items()}


def sample_over_processes(
    model: nn.Module,
    num_samples: int,
    folder: str | Path,
    *,
    devices: int,
    accelerator: str = "cpu",
    seed: int = 0,
    batch_size: int = 64,
    options: Mapping[str, Any] | None = None,
    given: Mapping[str, Tensor] | None = None,
    progress_bar: bool = True,
) -> dict[str, Tensor]:
    """Draw samples with several processes, each on its own device or on its share of the CPU's threads.

    Args:
        model: a generator in evaluation mode, which is sent to the processes.
        num_samples, seed, batch_size, options: arguments of `generate`; `batch_size` is that of one process.
        folder: folder of temporary files.
        devices: number of processes.
        accelerator: "cpu" or "gpu".
        given: see `SampleIds`.
        progress_bar: True to show the progress of the first process.

    Returns:
        `images` [num_samples, c, h, w] in [0, 1] and, for a thermodynamic computer, `heat` [num_samples] in kT. They
        equal those of one process: the images to the last bit on the fast CPU backend, everything else up to the
        rounding of matrix products.

    Raises:
        ValueError: fewer samples than processes, or sizes that do not fit.

    Cost: seconds to start the processes, which pays for minutes of sampling.
    """
    if not 1 <= devices <= num_samples:
        raise ValueError(f"devices: expected 1 ... {num_samples} (num_samples), found {devices}")
    data = SampleIds(num_samples, batch_size, given)
    folder = Path(folder)
    logging.getLogger("lightning").setLevel(logging.WARNING)  # Lightning would announce its settings
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning 2.6 under newer torch, about itself
    trainer = Trainer(
        accelerator=accelerator, devices=devices, strategy="ddp_spawn" if devices > 1 else "auto",
        callbacks=[SampleFiles(folder)], logger=False, enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=progress_bar, default_root_dir=folder,
    )  # fmt: skip
    trainer.predict(Sampling(model, seed, options), data, return_predictions=False)
    samples = joined_samples(folder, num_samples)
    for path in folder.glob(_PARTS):
        path.unlink()
    return samples
