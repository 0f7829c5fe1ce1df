"""The contract of models for sampling, training, evaluating and shipping.

| a model that | is a | and declares it by |
| --- | --- | --- |
| makes images | `Generator` | a method `generate` |
| makes images in several numbers of steps of several samplers | `DigitalSampler` | `samplers` and `steps_of` |
| is a simulated device, whose images cost heat and work | `Thermodynamic` | inheriting from it |
| draws noise in its forward pass | `NoisyModule` | inheriting from it |
| recognises images in repeated noisy runs | `Classifier` | inheriting from it |
| judges images | `Judge` | inheriting from it |

A generator of another package needs `generate` and nothing of this module. Only `abilities(model)` inspects a model;
other code reads the record that it returns.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

Progress = Callable[[int, int], None]  # (done, total)
TitledProgress = Callable[[str, int, int], None]  # (description, done, total)

BATCH_SIZE = 256  # default number of samples per batch


class Samples(NamedTuple):
    """Generated images, with heat and work of a thermodynamic device in multiples of its kT."""

    images: Tensor  # [sample, channel, height, width] in [0, 1]
    heat: Tensor | None = None  # [sample], heat given to the bath during the generation; None for a digital model
    work: Tensor | None = None  # [sample], work done by switching the potential on and by turning the gain
    frames: Tensor | None = None  # [time, sample, channel, height, width], images at the requested times


@runtime_checkable
class Generator(Protocol):
    """A model that makes images.

    Optional attributes:
        config: dict of the constructor's arguments, plain numbers, strings, lists and dicts.
        image_shape: (channels, height, width).
        cpu_batch_size: fastest number of samples per batch on a processor.

    Optional arguments of `generate`:
        sample_ids: noise streams, int64 [sample], so that sample i does not depend on its batch.
        labels: classes of the samples, int64 [sample], 0 ... config["num_classes"] - 1.
        watch: callback (step, images of the current batch) before the first step (step 0) and after each step.
        execution: number format and memory layout of a network, "float32" by default; see `TunableGenerator`.
        precision: format of the products of a thermodynamic model, "ieee" by default; see `simulate`.
    """

    def generate(
        self, num_samples: int, *, seed: int = 0, batch_size: int = BATCH_SIZE, progress: Progress | None = None
    ) -> Tensor:
        """Return images [sample, channel, height, width] in [0, 1].

        Args:
            num_samples: number of images; 0 returns none.
            seed: seed of all random numbers.
            batch_size: number of images per batch, which does not change them.
            progress: callback (done, total).
        """
        ...


@runtime_checkable
class TunableGenerator(Protocol):
    """A generator that can measure its fastest number format and memory layout."""

    def fastest_execution(self, batch_size: int) -> str:
        """Return the `execution` in which `generate` draws a batch fastest on this machine."""
        ...


@runtime_checkable
class DigitalSampler(Protocol):
    """A generator with several samplers, each of which takes a number of steps; its `generate` takes both.

    Attributes:
        samplers: the default number of steps of each sampler by name; None stands for the model's own number.
    """

    samplers: Mapping[str, int | None]

    def generate(self, num_samples: int, *, sampler: str = ..., steps: int | None = None) -> Tensor:
        """Return images as `Generator.generate`, by this sampler in this number of steps."""
        ...

    def steps_of(self, sampler: str, steps: int | None = None) -> int:
        """Return the number of steps of a sampler, its default for None; ValueError for what it cannot take."""
        ...


class Thermodynamic(ABC):
    """A simulated thermodynamic device that makes images and reports their heat and work.

    Attributes:
        image_shape: (channels, height, width).
        temperature: kT of the device, the unit of `Samples.heat` and `Samples.work`.
        t_final: observation time.
    """

    image_shape: tuple[int, ...]
    temperature: float
    t_final: float

    @abstractmethod
    def sample(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
        times: Sequence[float] = (),
    ) -> Samples:
        """Return images with heat and work, and with `frames` at `times`, which leave the samples unchanged."""

    def generate(
        self,
        num_samples: int,
        *,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
        **options: Any,
    ) -> Tensor:
        """Return the images of `sample` with the same arguments, [sample, channel, height, width] in [0, 1]."""
        return self.sample(num_samples, seed=seed, batch_size=batch_size, progress=progress, **options).images

    @abstractmethod
    def readable_times(self, fractions: Sequence[float]) -> list[float]:
        """Return the times at which `sample` can read the device, nearest to these fractions of `t_final`."""


class Inference(NamedTuple):
    """Outputs of repeated runs on images."""

    outputs: Tensor  # [image, run, class] at the observation time
    heat: Tensor  # [image, run], heat given to the bath, in multiples of kT


class NoisyModule:
    """A module whose differentiable forward pass draws noise: `forward(x, seed=None, sample_ids=None)`.

    Row i of a batch is a pure function of x[i], the seed and `sample_ids[i]`. Training passes both.
    """


class Classifier(NoisyModule, ABC):
    """A noisy classifier, for several runs on each image.

    Attributes:
        image_shape: (channels, height, width).
    """

    task: ClassVar[str] = "classify"
    image_shape: tuple[int, ...]

    @abstractmethod
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
        """Return outputs and heat of `runs` independent runs on each image; a seed of None draws a fresh one."""

    @abstractmethod
    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return the predictive distribution, averaged over runs: [..., run, class] -> [..., class]."""


class Judge(ABC):
    """A network whose features compare images.

    Attributes:
        image_shape: (channels, height, width) of its images.
        num_features: size of a feature vector.
    """

    image_shape: tuple[int, ...]
    num_features: int

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Return the features of images: [batch, channel, height, width] in [0, 1] -> [batch, num_features]."""


@dataclass(frozen=True)
class Abilities:
    """Abilities of a generator."""

    model: nn.Module
    config: Mapping[str, Any]  # arguments of its constructor; empty if unknown
    image_shape: tuple[int, ...] | None  # (channels, height, width); None if unknown
    options: frozenset[str]  # names of the arguments for drawing samples, without their number
    num_classes: int  # 0 if it takes no labels
    draws_class: bool  # samples without labels draw their own class
    guidance: float  # default strength of classifier-free guidance; 1 is none
    samplers: Mapping[str, int | None]  # default number of steps by sampler; empty for a single sampler
    compared: tuple[str, ...]  # the cheapest and the best ways to sample, `sampler:steps`; empty if it names none
    cpu_batch_size: int  # fastest number of samples per batch on a processor
    thermodynamic: bool  # a simulated device, whose samples have heat and work

    @property
    def takes_sampler(self) -> bool:
        """Return True if the images depend on a sampler and a number of steps."""
        return {"sampler", "steps"} <= self.options

    @property
    def first_sampler(self) -> str | None:
        """Return the sampler unless another is named; None for a model that lists none."""
        return next(iter(self.samplers), None)

    def draw(self, num_samples: int, **options: Any) -> Samples:
        """Return samples of any generator, with heat and work if it is thermodynamic.

        `options` are further arguments of the model's `generate`, or of `sample` if it is thermodynamic.
        """
        if isinstance(self.model, Thermodynamic):
            return self.model.sample(num_samples, **options)
        return Samples(self.model.generate(num_samples, **options))  # type: ignore[operator]

    def steps_of(self, sampler: str, steps: int | None = None) -> int | None:
        """Return the number of steps of a sampler, or `steps` itself for a model without `steps_of`."""
        return self.model.steps_of(sampler, steps) if isinstance(self.model, DigitalSampler) else steps

    def fastest_execution(self, batch_size: int) -> str:
        """Return the `execution` in which the model draws a batch fastest; "float32" unless it can measure that."""
        return self.model.fastest_execution(batch_size) if isinstance(self.model, TunableGenerator) else "float32"

    def readable_times(self, fractions: Sequence[float]) -> list[float]:
        """Return the times nearest to these fractions of the observation time; none for a digital model."""
        return self.model.readable_times(fractions) if isinstance(self.model, Thermodynamic) else []


def abilities(model: nn.Module) -> Abilities:
    """Return the abilities of a generator; TypeError for a model without a method `generate`."""
    if not isinstance(model, Generator):
        raise TypeError(f"model: expected a generator, with a method generate, got {type(model).__name__}")
    config: Mapping[str, Any] = getattr(model, "config", {})
    image_shape: Sequence[int] | None = getattr(model, "image_shape", None)
    draw = model.sample if isinstance(model, Thermodynamic) else model.generate
    options = frozenset(inspect.signature(draw).parameters) - {"num_samples"}
    num_classes = config.get("num_classes") or getattr(model, "num_classes", None) or 0
    return Abilities(
        model=model,
        config=config,
        image_shape=None if image_shape is None else tuple(image_shape),
        options=options,
        num_classes=num_classes if "labels" in options else 0,
        draws_class=getattr(model, "draws_class", False),
        guidance=config.get("guidance", 1.0),
        samplers=model.samplers if isinstance(model, DigitalSampler) else {},
        compared=tuple(getattr(model, "compared", ())),
        cpu_batch_size=getattr(model, "cpu_batch_size", BATCH_SIZE),
        thermodynamic=isinstance(model, Thermodynamic),
    )


def makes_images(model: object) -> bool:
    """Return True for a generator, or for the class of one."""
    return isinstance(model, Generator)


def task_of(model: nn.Module) -> str | None:
    """Return the evaluation of a model: its attribute `task`, or "generate" for a generator; None for neither."""
    declared = getattr(model, "task", None)
    return declared or ("generate" if makes_images(model) else None)
