"""The base of our Lightning modules, with checked access to their models and data, which Lightning declares broadly."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from thermotorch.couplings import BlockCouplings
from thermotorch.potential import Potential
from thermotorch.training.data import ImageData
from thermotorch.training.optimizers import build_optimizer
from thermotorch.zoo import create_model

Kind = TypeVar("Kind", bound=nn.Module)

# Added to the seed in validation, and in training where users draw samples too: nobody meets the noise of another use.
VALIDATION_SEEDS, TRAINING_SEEDS = 1 << 32, 1 << 33


class TrainingModule(LightningModule):
    """Train the submodule `model` for an objective.

    Args:
        model: `{"name": architecture, "config": constructor arguments}`; with `"pretrained": True` training starts from
            the weights of the checkpoint `name`.
        optimizer: see `build_optimizer`.
        objective: settings in place of those in `defaults`; each class lists its own.
        seed: seed of the initial parameters and the noise.

    Attributes:
        kind: class of the models that can be trained.
        defaults: settings of the objective.
        manual: True for a rule without gradients, which calls `count_update`.

    Raises:
        TypeError: a model of another class, or an unknown setting.
    """

    kind: ClassVar[type[nn.Module]] = nn.Module
    defaults: ClassVar[dict[str, Any]] = {}
    manual: ClassVar[bool] = False

    def __init__(self, model: dict, optimizer: dict, objective: dict | None = None, seed: int = 0) -> None:
        super().__init__()
        if unknown := set(objective or {}) - set(self.defaults):
            raise TypeError(f"objective: unknown {sorted(unknown)}, expected some of {sorted(self.defaults)}")
        self.save_hyperparameters()
        self.settings, self.seed = {**self.defaults, **(objective or {})}, seed
        self.automatic_optimization = not self.manual
        with seeded(seed):
            name = model["name"]
            built = create_model(name, model.get("pretrained", False), **model.get("config", {})).train()
            self.model = of_kind("model.name", name, built, self.kind)
            self.prepare()

    def prepare(self) -> None:
        """Check the settings and set up all parts but the model; torch's generator has the seed of the module."""

    def forward(self, *arguments: Any) -> Any:
        return self.model(*arguments)

    def configure_optimizers(self) -> Any:
        return build_optimizer(self.parameters(), self.hparams["optimizer"])

    def count_update(self) -> None:
        """Take an empty step of the optimiser and its schedule, because Lightning counts updates by them."""
        self.optimizers().step()  # type: ignore[union-attr]  # there is one of each, where Lightning allows lists
        self.lr_schedulers().step()  # type: ignore[union-attr]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's global generator with a seed inside the block, which leaves its state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def of_kind(argument: str, name: object, model: nn.Module, kind: type[Kind]) -> Kind:
    """Return the model if it is of this class; a TypeError that opens with `argument` if it is not."""
    if not isinstance(model, kind):
        raise TypeError(f"{argument}: expected a {kind.__name__}, found {name!r}, a {type(model).__name__}")
    return model


def blocks_of(potential: Potential) -> BlockCouplings:
    """Return the couplings of a potential between named groups of units; TypeError for couplings of another kind."""
    return of_kind("potential.couplings", "couplings", potential.couplings, BlockCouplings)


def images_of(trainer: Trainer) -> ImageData:
    """Return the data that a trainer fits to."""
    return trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it, and declares it nowhere


def sample_ids_of(trainer: Trainer, batch: Mapping[str, Any]) -> Tensor:
    """Return the sample numbers of a batch, `step x batch_size + slot`: those of no two updates agree."""
    return batch["step"] * images_of(trainer).batch_size + batch["slot"]
