"""Generators of the zoo by name, with one report of all errors in the names."""

from collections.abc import Sequence

from torch import nn

from thermotorch.evaluation.quality.recognition import FeatureNet
from thermotorch.models.protocol import abilities, makes_images, task_of
from thermotorch.zoo import list_checkpoints, load_card, load_checkpoint
from thermotorch.zoo.registry import architecture


def load_generators(names: Sequence[str], judge: FeatureNet | None = None) -> dict[str, nn.Module]:
    """Return the trained models of these names, all of which make images.

    Args:
        names: names or paths of checkpoints.
        judge: network whose image shape all models must have; any shape for None, or if the network has none.

    Raises:
        ValueError: names that are unknown (with the close matches), repeated, or of models that make no images or
            images of another shape; one line for each.
    """
    if repeated := sorted({name for name in names if list(names).count(name) > 1}):
        raise ValueError(f"models: {', '.join(repeated)} more than once")
    problems: list[str] = []
    for name in names:  # the cards first, so that errors of spelling show before any model is built
        try:
            load_card(name)
        except (ValueError, FileNotFoundError) as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    models, wanted = {name: load_checkpoint(name) for name in names}, getattr(judge, "image_shape", None)
    for name, model in models.items():
        if problem := not_a_generator(name, model):
            problems.append(problem)
        elif wanted is not None and (shape := abilities(model).image_shape) != tuple(wanted):
            shape_text, judge_text = ("x".join(map(str, each or ())) for each in (shape, wanted))
            problems.append(
                f"{name} makes images of {shape_text} and the judge takes {judge_text}; "
                "write judge= and a network for them"
            )
    if problems:
        raise ValueError("\n".join(problems))
    return models


def generators() -> list[str]:
    """Return the sorted names of all checkpoints that make images; it imports their architectures."""
    return [name for name in list_checkpoints() if _makes_images(name)]


def _makes_images(name: str) -> bool:
    try:
        return makes_images(architecture(load_card(name)["architecture"]))
    except (ImportError, ValueError, FileNotFoundError):  # of a missing package, or damaged
        return False


def not_a_generator(name: str, model: nn.Module) -> str:
    """Return the message about a model that makes no images, with alternatives; "" for one that does."""
    if makes_images(model):
        return ""
    text = f"{name} makes no images"
    if task_of(model):
        text += f"; evaluate it by: thermotorch-evaluate model={name}"
    elif "reference" in load_card(name):
        text += f"; it is a judge: judge={name}"
    return f"{text}. Models that make images: {', '.join(generators())}"
