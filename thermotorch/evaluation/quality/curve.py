"""Quality against the length of the generation: observation time of a device, evaluations of a digital network."""

from torch import Tensor

from thermotorch.evaluation.quality import distances, recognition
from thermotorch.evaluation.quality.feature_space import FeatureSpace
from thermotorch.evaluation.results import NETWORK_EVALUATIONS, OBSERVATION_TIME, CurvePoint
from thermotorch.zoo.rows import Row


def device_curve(times: list[float], frames: Tensor | None, space: FeatureSpace) -> tuple[CurvePoint, ...]:
    """Return a point for each time at which a device was read, frames [time, n, c, h, w]; none without frames.

    Cost: the judge and a Frechet distance for each time.
    """
    points = []
    for time, images in zip(times, () if frames is None else frames, strict=True):
        on_device = images.to(space.reference.device)
        frechet, error = distances.frechet_distance(recognition.features(space.net, on_device), space.reference)
        recognised, _ = recognition.recognised_fraction(recognition.class_probabilities(space.net, on_device))
        points.append(CurvePoint(OBSERVATION_TIME, time, frechet, error, recognised))
    return tuple(points)


def digital_point(evaluations: float, frechet: Row, recognised: Row) -> CurvePoint:
    """Return the point of a digital model, sampled in one way, at its number of network evaluations."""
    return CurvePoint(NETWORK_EVALUATIONS, evaluations, frechet.known, frechet.stderr or 0.0, recognised.known)
