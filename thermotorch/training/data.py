"""Images for training, in batches that are a pure function of (seed, step).

Global batch number `step` holds the same images in a resumed run, and when several processes each take a slice of it.
A resumed run therefore equals an uninterrupted one, and many processes equal one.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor

from thermotorch.arguments import count_of
from thermotorch.evaluation.quality.novelty import KnownImages
from thermotorch.files import user_path
from thermotorch.names import unknown_name
from thermotorch.zoo import load_card

# A missing validation set is no reason for a warning.
warnings.filterwarnings("ignore", message="Total length of `list` across ranks is zero")

NORMALISATIONS = ("unit", "per_image", "global")
RECORDED = ("digits", "images_per_digit", "normalisation", "val_size", "seed")  # arguments that a model card keeps
_DIGITS_TRAIN = 1500  # of the 1797 images of scikit-learn; the others are the test set
_EVALUATION_BATCH = 500
_UPDATES_PER_EPOCH = 100


class Part(NamedTuple):
    """Images of a data set."""

    images: Tensor  # [n, c, h, w]
    labels: Tensor  # int64 [n]
    indices: Tensor  # int64 [n], positions in the data set

    def at(self, rows: Tensor) -> "Part":
        """Return these of the images."""
        return Part(*(values[rows] for values in self))

    def batch(self, rows: Tensor, slot: Tensor, step: int) -> dict:
        """Return these of the images as a batch, with their slots in the global batch `step`."""
        image, label, index = self.at(rows)
        return {"image": image, "label": label, "index": index, "slot": slot, "step": step}


class Batches:
    """An endless sequence of global batches; an iteration gives `len(self)` of them, one epoch.

    The images come in the order of one random permutation after another, so that each is used equally often, even if a
    batch is larger than the data set.

    Args:
        part: images.
        batch_size: number of images in a global batch.
        seed: seed of the permutations.
        position: function from the number of batches since the iteration began to the step; called before each batch.
        rank, world_size: number of this process, which takes the slots from `rank * batch_size / world_size` on, and
            number of processes.
    """

    def __init__(
        self,
        part: Part,
        batch_size: int,
        seed: int,
        position: Callable[[int], int] = lambda step: step,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1 or batch_size % world_size:
            raise ValueError(
                f"batch_size: expected a positive multiple of {world_size} (the number of processes), found "
                f"{batch_size}"
            )
        self.part, self.batch_size, self.seed, self.position = part, batch_size, seed, position
        share = batch_size // world_size
        self._slots = np.arange(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        return max(1, len(self.part.images) // self.batch_size)

    def __iter__(self) -> Iterator[dict]:
        for count in range(len(self)):
            yield self.batch(self.position(count))

    def batch(self, step: int) -> dict:
        """Return this process's part of global batch `step`.

        It holds image, label, index (in the data set), slot (in the batch) and step.
        """
        place = step * self.batch_size + self._slots
        epochs, within = np.divmod(place, len(self.part.images))
        rows = np.empty_like(place)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            rows[here] = _permutation(len(self.part.images), self.seed, int(epoch))[within[here]]
        return self.part.batch(torch.from_numpy(rows), torch.from_numpy(self._slots), step)

    # Lightning asks resumable loaders for a state. The position of this one is the trainer's own count of batches.
    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state_dict: dict) -> None:
        pass


class FixedBatches:
    """Batches as they are. Lightning changes no such loader, but puts a sampler of its own into a `DataLoader`."""

    def __init__(self, batches: Sequence[dict]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict]:
        return iter(self.batches)


class ImageData(LightningDataModule):
    """Base of the data modules: subsets, normalisation, the validation split, and the batches.

    Args:
        data_dir: folder of the data.
        batch_size: number of images in a global batch, over all processes.
        digits: classes to keep; None for all.
        images_per_digit: number of images of each class to keep, the first ones; None for all.
        normalisation: "unit" for pixels in [0, 1]; "per_image" for zero mean and unit variance over the pixels of every
            image; "global" for zero mean and unit variance over all pixels of the training set.
        val_size: number of images of the training set, chosen by `seed`, for validation.
        seed: seed of the split and of the order of images.
        download: True to download missing data.

    Raises:
        ValueError: an unknown normalisation or digit, or a split without training images.
    """

    image_shape: tuple[int, int, int]
    num_classes = 10

    def __init__(
        self,
        data_dir: str = "data",
        batch_size: int = 128,
        digits: Sequence[int] | None = None,
        images_per_digit: int | None = None,
        normalisation: str = "unit",
        val_size: int = 0,
        seed: int = 0,
        download: bool = True,
    ) -> None:
        super().__init__()
        if normalisation not in NORMALISATIONS:
            raise ValueError(f"normalisation: expected one of {list(NORMALISATIONS)}, found {normalisation!r}")
        unknown = [digit for digit in digits or () if digit not in range(self.num_classes)]
        if unknown or digits is not None and not len(digits):
            raise ValueError(f"digits: expected some of 0 ... {self.num_classes - 1}, found {list(digits or ())}")
        if images_per_digit is not None:
            count_of("images_per_digit", images_per_digit)
        self.data_dir = user_path("data_dir", data_dir)
        self.batch_size = batch_size
        self.digits = None if digits is None else list(digits)
        self.images_per_digit = images_per_digit
        self.normalisation = normalisation
        self.val_size = val_size
        self.seed = seed
        self.download = download

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Return the whole training or test set: uint8 or float images [n, h, w] and labels [n]."""
        raise NotImplementedError

    def train_images(self) -> tuple[Tensor, Tensor]:
        """Return the training images [n, c, h, w] in [0, 1], validation images included, and labels int64 [n]."""
        return self._subset(train=True)[:2]

    def fitted_images(self) -> tuple[Tensor, Tensor]:
        """Return the training images [n, c, h, w] in [0, 1] without those for validation, and labels int64 [n]."""
        part = self._subset(train=True)
        return part.at(self._split(len(part.images))[0])[:2]

    def test_images(self) -> tuple[Tensor, Tensor]:
        """Return the test images [n, c, h, w] in [0, 1] and labels int64 [n]."""
        return self._subset(train=False)[:2]

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise images [n, c, h, w] in [0, 1] as in the batches."""
        if self.normalisation == "per_image":
            centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
            return centred / centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-6)
        if self.normalisation == "global":
            mean, std = self._pixel_moments
            return (images - mean) / std
        return images

    def setup(self, stage: str | None = None) -> None:
        part = self._subset(train=True)
        self._pixel_moments = part.images.mean(), part.images.std(correction=0)
        part = part._replace(images=self.normalise(part.images))
        self._train, self._val = map(part.at, self._split(len(part.images)))

    def train_dataloader(self) -> Batches:
        return Batches(self._train, self.batch_size, self.seed, *place_of(self.trainer))

    def val_dataloader(self) -> list[FixedBatches]:
        return [self._once(self._val)] if self.val_size else []

    def test_dataloader(self) -> FixedBatches:
        part = self._subset(train=False)
        return self._once(part._replace(images=self.normalise(part.images)))

    def _subset(self, train: bool) -> Part:
        images, labels = self.load(train)
        labels = labels.long()
        keep = torch.ones(len(labels), dtype=torch.bool)
        if self.digits is not None:
            keep &= torch.isin(labels, torch.tensor(self.digits))
        if self.images_per_digit is not None:
            for digit in range(self.num_classes):
                keep[torch.nonzero(labels == digit)[self.images_per_digit :, 0]] = False
        images = images[keep].unsqueeze(1)
        images = images.float() / 255.0 if images.dtype == torch.uint8 else images
        return Part(images, labels[keep], torch.nonzero(keep)[:, 0])

    def _split(self, count: int) -> tuple[Tensor, Tensor]:
        """Split the indices 0 ... count - 1 into training and validation images, both in order."""
        if not 0 <= self.val_size < count:
            raise ValueError(f"val_size: expected 0 ... {count - 1} of {count} images, found {self.val_size}")
        order = torch.from_numpy(_permutation(count, self.seed, _SPLIT))
        return order[self.val_size :].sort().values, order[: self.val_size].sort().values

    def _once(self, part: Part) -> FixedBatches:
        """Return every image once, in order; of n processes each takes every n-th image."""
        _, rank, world_size = place_of(self.trainer)
        batches = torch.arange(rank, len(part.images), world_size).split(_EVALUATION_BATCH)
        return FixedBatches([part.batch(rows, rows, step=0) for rows in batches])


class MNISTData(ImageData):
    """MNIST: 60,000 training and 10,000 test images of 28x28, in torchvision's layout `<data_dir>/MNIST/raw`."""

    image_shape = (1, 28, 28)

    def prepare_data(self) -> None:
        self._open(train=True)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        dataset = self._open(train)
        return dataset.data, dataset.targets

    def _open(self, train: bool):
        from torchvision.datasets import MNIST

        try:
            return MNIST(self.data_dir, train=train, download=self.download)
        except (RuntimeError, OSError) as error:
            files = ", ".join(name.removesuffix(".gz") for name, _ in MNIST.resources)
            raise FileNotFoundError(
                f"MNIST is not in {self.data_dir.resolve() / 'MNIST' / 'raw'} and was not downloaded "
                f"({str(error).strip() or type(error).__name__}). Expected there: {files} (or the "
                "same with .gz). Set THERMOTORCH_DATA or paths.data_dir to the folder that holds MNIST/, or with a "
                f"network run\n  python -c \"import torchvision; torchvision.datasets.MNIST('{self.data_dir}', "
                'download=True)"\nWithout MNIST, data=digits8x8 runs every experiment on the digits of scikit-learn.'
            ) from error


class Digits8x8Data(ImageData):
    """The 1797 real digits of 8x8 pixels bundled with scikit-learn (UCI, Alpaydin and Kaynak 1998); no download."""

    image_shape = (1, 8, 8)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        part = slice(_DIGITS_TRAIN) if train else slice(_DIGITS_TRAIN, None)
        images = torch.from_numpy(digits.images[part]).float() / 16.0
        return images, torch.from_numpy(digits.target[part])


class Updates(LightningDataModule):
    """Batches `{"step": number of the update}` without images, for tasks that make their own inputs.

    Args:
        batch_size: unused; every data module takes one.
    """

    def __init__(self, batch_size: int = 1) -> None:
        super().__init__()

    def train_dataloader(self) -> Batches:
        numbers = torch.zeros(_UPDATES_PER_EPOCH, dtype=torch.int64)
        return Batches(Part(torch.zeros(_UPDATES_PER_EPOCH, 0), numbers, numbers), 1, 0, place_of(self.trainer)[0])


def place_of(trainer: Trainer | None) -> tuple[Callable[[int], int], int, int]:
    """Return `position` of `Batches`, the trainer's own count of the batches of all epochs, rank and world size."""
    if trainer is None:
        return lambda step: step, 0, 1
    progress = trainer.fit_loop.epoch_loop.batch_progress.total
    # Lightning declares a tracker without this count, and keeps one with it.
    return lambda count: progress.processed, trainer.global_rank, trainer.world_size  # type: ignore[attr-defined]


DATA_SETS = {"MNIST": MNISTData, "Digits8x8": Digits8x8Data}  # by the names that model cards use


def named_data(name: str, data_dir: str, **part: Any) -> ImageData:
    """Return the data set with this name in model cards, from this machine; nothing is downloaded.

    `part` holds the arguments of `ImageData` that select images.
    """
    if name not in DATA_SETS:
        raise unknown_name("data set", name, DATA_SETS)
    return DATA_SETS[name](data_dir, download=False, **part)


def recorded_data(record: Mapping[str, Any], data_dir: str) -> ImageData:
    """Return the data set in the `data` field of a model card; nothing is downloaded."""
    return named_data(record["name"], data_dir, **{key: record[key] for key in RECORDED if key in record})


def known_images(name: str, data_dir: str) -> KnownImages | None:
    """Return the training images of a model of the zoo, and test images of the same classes.

    None if they are not on this machine, or belong to a data set of another package.
    """
    record = load_card(name)["data"]
    if record.get("name") not in DATA_SETS:
        return None
    try:
        training, _ = recorded_data(record, data_dir).fitted_images()
    except FileNotFoundError:
        return None
    held_out, _ = recorded_data({**record, "images_per_digit": None}, data_dir).test_images()
    return KnownImages(training, held_out)


_SPLIT = 2**64 - 1  # the "epoch" whose permutation defines the validation split


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64))).permutation(count)
