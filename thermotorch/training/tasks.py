"""The tasks of trained models: to generate images, to classify them, and linear algebra on a simulated board.

A task takes the plain settings of `configs/zoo/evaluate.yaml` and returns rows. It looks up the training data of the
model, and is therefore part of the training.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from thermotorch.evaluation.compare import evaluate
from thermotorch.evaluation.generators import not_a_generator
from thermotorch.evaluation.linear_algebra.tasks import run_task, write_task
from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.quality.classification import ClassificationProtocol, classification_rows
from thermotorch.evaluation.quality.feature_space import FeatureSpace
from thermotorch.evaluation.report.denoising_figures import save_figures
from thermotorch.evaluation.report.energy_tables import ledgers_tables, ledgers_text
from thermotorch.evaluation.speed.hardware import device_of
from thermotorch.files import write_file
from thermotorch.models.classifier.machine import ThermodynamicClassifier
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.models.protocol import TitledProgress, task_of
from thermotorch.names import unknown_name
from thermotorch.training.data import known_images, named_data, recorded_data
from thermotorch.zoo import load_card
from thermotorch.zoo.rows import Row

Task = Callable[[Mapping[str, Any], nn.Module, str, TitledProgress], tuple[dict, list[Row]]]

_NOISED_IMAGES = 10  # rows of the noising figure at most


def run(
    settings: Mapping[str, Any], model: nn.Module, command: str, progress: TitledProgress
) -> tuple[str, dict, list[Row]]:
    """Evaluate a model on `settings["task"]`; None means the task that the model declares, or else image generation.

    Args:
        settings: the plain settings of `configs/zoo/evaluate.yaml`.
        model: the model `settings["model"]`, on its device.
        command: command that reproduces the rows.
        progress: called with (description, done, total).

    Returns:
        The task, the settings that its numbers depend on, and its rows.

    Raises:
        ValueError: an unknown task, or one that the model cannot do.
    """
    task = settings["task"] or task_of(model) or "generate"
    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    return task, *TASKS[task](settings, model, command, progress)


def save_figures_of(name: str, model: nn.Module, folder: Path, *, seed: int, data_dir: str) -> list[Path]:
    """Write the figures of the paper for a generator of the zoo, and return their paths.

    The noising row needs the images of the model's card with per-image normalisation, and is left out without them.

    Raises:
        ValueError: a model that is no thermodynamic generator.
    """
    if not isinstance(model, ThermodynamicGenerator):
        raise ValueError(f"figures: expected a thermodynamic generator, found {name!r}, a {type(model).__name__}")
    pixels, card = None, load_card(name)
    if card["data"].get("normalisation") == "per_image" and Path(data_dir, "MNIST", "raw").is_dir():
        data = recorded_data(card["data"], data_dir)
        data.setup()
        pixels = data.normalise(data.train_images()[0])[:_NOISED_IMAGES].flatten(1)
    return list(save_figures(model, folder, seed=seed, pixels=pixels))


def _generate(settings: Mapping, model: nn.Module, command: str, progress: TitledProgress) -> tuple[dict, list[Row]]:
    """Generate images by the protocol, and measure their quality, time and energy; the ledgers go to `energy.md`."""
    protocol, name = Protocol(**settings["protocol"]), settings["model"]
    if problem := not_a_generator(name, model):
        raise ValueError(problem)
    device = device_of(model)
    space, known = FeatureSpace.from_zoo(settings["judge"]).to(device), known_images(name, settings["data_dir"])
    result = evaluate(name, model, protocol, space, known=known, command=command, progress=progress)
    path = write_file(Path(settings["output_dir"], "energy.md"), ledgers_text(result.ledgers))
    print("", ledgers_tables(result.ledgers), path, sep="\n")
    return protocol.to_dict(), result.rows


def _classify(settings: Mapping, model: nn.Module, command: str, progress: TitledProgress) -> tuple[dict, list[Row]]:
    """Classify the test images of the model's data set."""
    protocol = ClassificationProtocol(**settings["classification"])
    if not isinstance(model, ThermodynamicClassifier):
        raise ValueError(f"model: expected a thermodynamic classifier, found a {type(model).__name__}")
    data = named_data(load_card(settings["model"])["data"]["name"], settings["data_dir"])
    device = device_of(model)
    images, labels = (part.to(device) for part in data.test_images())
    return protocol.to_dict(), classification_rows(model, images, labels, protocol, command=command, progress=progress)


def _linear_algebra(
    task: str, settings: Mapping, model: nn.Module, command: str, progress: TitledProgress
) -> tuple[dict, list[Row]]:
    """Compute with a stochastic processing unit, and write the figure and its data into the run folder."""
    settings_of_task = settings[task]
    result = run_task(task, model, settings_of_task, command, progress=partial(progress, task))
    print(*write_task(task, result, Path(settings["output_dir"])), sep="\n")
    return settings_of_task, result.rows


TASKS: dict[str, Task] = {
    "generate": _generate,
    "classify": _classify,
    **{task: partial(_linear_algebra, task) for task in ("invert", "mitigation", "scaling")},
}
