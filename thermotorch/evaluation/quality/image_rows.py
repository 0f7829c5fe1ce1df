"""Rows about images, whoever generated them: every metric that is a function of images or of their features."""

from collections.abc import Iterable

import torch
from torch import Tensor

from thermotorch.evaluation.metrics import METRICS, Metric
from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.quality import recognition
from thermotorch.evaluation.quality.feature_space import FeatureSpace
from thermotorch.evaluation.quality.judged import Judged
from thermotorch.evaluation.quality.novelty import KnownImages
from thermotorch.zoo.rows import Row, joined, unavailable


def quality_rows(
    images: Tensor,
    protocol: Protocol,
    space: FeatureSpace,
    known: KnownImages | None = None,
    command: str = "",
    how: str = "",
    labels: Tensor | None = None,
) -> tuple[list[Row], list[int]]:
    """Return a row for each metric of the images, and the number of images of each class according to the judge.

    Args:
        images: [n, c, h, w] in [0, 1].
        protocol: settings that the images were generated with.
        space: the judge.
        known: training and held-out images; without them the rows about copies are unavailable.
        command: command that reproduces the rows.
        how: description of the sampling, for the notes.
        labels: int64 [n], the requested classes; None where none were requested.
    """
    on_device = images.to(space.reference.device)
    probabilities = recognition.class_probabilities(space.net, on_device)
    judged = Judged(
        protocol, recognition.features(space.net, on_device), space.reference, probabilities, images, labels, known
    )
    against = f"against {len(space.reference):,} real images"
    rows = metric_rows(judged, METRICS, space.name, command, against, how)
    return rows, recognition.class_histogram(probabilities).tolist()


def real_rows(protocol: Protocol, space: FeatureSpace, command: str = "") -> list[Row]:
    """Return the distances of as many real images from the rest of the reference, the score of a perfect model.

    The list is empty when the reference is less than twice as large as the sample count of the protocol.
    """
    n = protocol.num_samples
    if len(space.reference) < 2 * n:
        return []
    order = torch.randperm(len(space.reference), generator=torch.Generator().manual_seed(protocol.seed))
    held_out, rest = space.reference[order[:n]], space.reference[order[n:]]
    note = f"{n:,} real images against the other {len(rest):,}"
    return metric_rows(Judged(protocol, held_out, rest), METRICS, space.name, command, note)


def metric_rows(
    judged: Judged, metrics: Iterable[Metric], space_name: str, command: str = "", against: str = "", how: str = ""
) -> list[Row]:
    """Return the rows of those metrics that apply: all of them, or where there are no images those of features.

    Args:
        judged: the images.
        metrics: the metrics; those without a function are left out.
        space_name: name of the judge, which metrics of features bear.
        command: command that reproduces the rows.
        against: reference of the metrics of features, for their notes.
        how: description of the sampling, for the notes.
    """
    n, seed, rows = len(judged.features), judged.protocol.seed, []
    for metric in metrics:
        if metric.measure is None or (not len(judged.images) and not metric.of_features):
            continue
        value = metric.measure(judged)
        name = f"{metric.name} ({space_name})" if metric.of_features else metric.name
        if value is None:
            continue
        if value.value is None:
            rows.append(unavailable(name, metric.unit, seed, value.note))
            continue
        note = joined(against if metric.of_features else "", value.note, how)
        rows.append(
            Row(name, value.value, metric.unit, n, seed, "measured", value.stderr, command, note, value.low, value.high)
        )
    return rows
