"""The metrics, one record each. Everything that computes, compares or displays a metric reads its record.

To add a metric, add its record here, or call `register_metric` in your own code:

    register_metric(Metric("brightness", better="higher", measure=lambda judged: Value(judged.images.mean().item())))

Comparisons then compute it, and reports, sweeps and verdicts treat it as its record says.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from thermotorch.evaluation.estimate import mean_of
from thermotorch.evaluation.quality import distances, recognition
from thermotorch.evaluation.quality.judged import Judged, Value
from thermotorch.evaluation.quality.resampling import frechet_replicates, interval, kernel_replicates
from thermotorch.zoo.rows import Row

_ARROWS = {"lower": " ↓", "higher": " ↑", "": ""}


@dataclass(frozen=True)
class Metric:
    """One kind of number.

    Args:
        name: name in rows. The name of a row may add a detail, "name, detail" or "name (judge)".
        better: "lower", "higher", or "" where neither is better.
        unit: unit of the value, "" for a pure number.
        measure: function from judged images to their value, or to None where the metric does not apply to them. None
            for numbers that other parts of an evaluation determine, such as times and heat.
        of_features: True for a metric of the features alone, whose rows bear the name of the judge and which real
            images have too.
        headline: title of its column in the table of the README; "" for no column.
        in_sweeps: True for a column in tables of sweeps.
        plotted: True for a panel in figures of sweeps.
        question: question that it decides in a verdict; "" for none.
        answer: sentence of the verdict, with {best}, {next}, and {factor} or {difference}.

    Raises:
        ValueError: an unknown direction, or a question without a direction or an answer.
    """

    name: str
    better: str = ""
    unit: str = ""
    measure: Callable[[Judged], Value | None] | None = None
    of_features: bool = False
    headline: str = ""
    in_sweeps: bool = False
    plotted: bool = False
    question: str = ""
    answer: str = ""

    def __post_init__(self) -> None:
        if self.better not in _ARROWS:
            raise ValueError(f"better: expected 'lower', 'higher' or '', found {self.better!r}")
        if self.question and not (self.better and self.answer):
            raise ValueError(f"metric {self.name!r}: a question needs an answer and a direction, better=")

    @property
    def arrow(self) -> str:
        """ " ↓" or " ↑", the direction of better values, or ""."""
        return _ARROWS[self.better]

    def matches(self, text: str) -> bool:
        """Return True for the name of a row about this metric."""
        return text == self.name or text.startswith((f"{self.name}, ", f"{self.name} ("))

    def find(self, rows: Iterable[Row]) -> Row | None:
        """Return the first row of this metric that has a value; None if there is none."""
        return next((row for row in rows if self.matches(row.metric) and row.value is not None), None)


def _frechet(judged: Judged) -> Value:
    settings = judged.protocol
    value, stderr = distances.frechet_distance(judged.features, judged.reference)
    replicates = frechet_replicates(judged.features, judged.reference, settings.resamples, settings.seed)
    return Value(value, stderr, *interval(value, replicates), _bootstrap(judged))


def _kernel(judged: Judged) -> Value:
    settings = judged.protocol
    value, deviation, stderr = distances.kernel_distance(
        judged.features, judged.reference, settings.kernel_subsets, settings.kernel_subset_size, settings.seed
    )
    replicates = kernel_replicates(judged.features, judged.reference, settings.resamples, settings.seed)
    # The mean over random subsets has a scatter of its own.
    chance = torch.randn(settings.resamples, generator=torch.Generator().manual_seed(settings.seed))
    replicates += chance[: len(replicates)].to(replicates) * deviation / math.sqrt(max(1, settings.kernel_subsets - 1))
    subsets = f"{settings.kernel_subsets} subsets of {settings.kernel_subset_size}, standard deviation {deviation:.3g}"
    return Value(value, stderr, *interval(value, replicates), f"{subsets}, {_bootstrap(judged)}")


def _bootstrap(judged: Judged) -> str:
    return f"interval from {judged.protocol.resamples} bootstrap resamples"


def _recognised(judged: Judged) -> Value:
    note = f"the judge's confidence is at least {recognition.RECOGNISED}"
    return Value(*recognition.recognised_fraction(judged.probabilities), note=note)


def _entropy(judged: Judged) -> Value:
    counts = recognition.class_histogram(judged.probabilities)
    entropy, largest = recognition.class_entropy(counts), math.log(len(counts))
    return Value(entropy, note=f"{entropy / largest:.3f} of ln {len(counts)}, the entropy of equally frequent classes")


def _obedience(judged: Judged) -> Value | None:
    if judged.labels is None:
        return None
    accuracy = recognition.conditional_accuracy(judged.probabilities, judged.labels)
    return Value(*accuracy, note="fraction of the samples that the judge assigns to the requested class")


def _of_neighbours(name: str, more: str = "") -> Callable[[Judged], Value]:
    """Return the function that measures one field of `Neighbours`."""

    def measure(judged: Judged) -> Value:
        value, stderr = getattr(judged.neighbours, name), getattr(judged.neighbours, f"{name}_stderr", None)
        return Value(value, stderr, note=f"k = {judged.protocol.neighbours}; depends on both sample counts{more}")

    return measure


_MISSING = Value(None, note="needs the training images, which are not on this machine")


def _nearest_mean(judged: Judged) -> Value:
    return _MISSING if judged.nearest is None else Value(*mean_of(judged.nearest.images), note=judged.nearest.note)


def _nearest_least(judged: Judged) -> Value:
    nearest = judged.nearest
    return _MISSING if nearest is None else Value(nearest.images.min().item(), note=nearest.note)


def _novelty(judged: Judged) -> Value:
    """Return the ratio of mean distances, well below 1 for a generator that copies or that blurs towards many."""
    if judged.nearest is None:
        return _MISSING
    held_out = judged.nearest.held_out
    (distance, error), (floor, floor_error) = mean_of(judged.nearest.images), mean_of(held_out)
    note = (
        f"{len(held_out):,} held-out images are on average {floor:.4g} from the nearest training image, and at "
        f"least {held_out.min():.4g}"
    )
    return Value(distance / floor, math.hypot(error, distance / floor * floor_error) / floor, note=note)


FRECHET = Metric(
    "Frechet distance", "lower", measure=_frechet, of_features=True, headline="Fréchet distance", in_sweeps=True,
    plotted=True, question="Closest to real images",
    answer="{best}: the Frechet distance of {next} is {factor} times as large",
)  # fmt: skip
RECOGNISED = Metric(
    "recognised fraction", "higher", measure=_recognised, headline="recognised", in_sweeps=True, plotted=True,
    question="Most often recognised",
    answer="{best}: {difference} more of its samples are recognised than of those of {next}",
)  # fmt: skip
NOVELTY = Metric("distance to training images, relative to held-out images", "higher", measure=_novelty, in_sweeps=True)
NEAREST = (
    Metric("nearest training image, mean", measure=_nearest_mean),
    Metric("nearest training image, least", measure=_nearest_least),
)
HEAT = Metric("generation heat", unit="kT per sample", in_sweeps=True, plotted=True)
TEST_ACCURACY = Metric("test accuracy", "higher", in_sweeps=True, plotted=True)

# In the order of tables and verdicts.
METRICS: list[Metric] = [
    FRECHET,
    Metric("kernel distance", "lower", measure=_kernel, of_features=True),
    RECOGNISED,
    Metric("class entropy", unit="nat", measure=_entropy, in_sweeps=True),
    Metric("class-conditional accuracy", "higher", measure=_obedience, in_sweeps=True),
    Metric("precision", "higher", measure=_of_neighbours("precision"), of_features=True),
    Metric("recall", "higher", measure=_of_neighbours("recall", ", balls are small where samples crowd"),
           of_features=True),
    Metric("density", "higher", measure=_of_neighbours("density"), of_features=True),
    Metric(
        "coverage", "higher", measure=_of_neighbours("coverage"), of_features=True, headline="coverage",
        question="Most varied",
        answer="{best}: its samples come near {difference} more of the real images than those of {next}",
    ),
    *NEAREST,
    NOVELTY,
    Metric("time", "lower", "s per sample", headline="s per sample, measured", question="Fastest on this machine",
           answer="{best}: {next} takes {factor} times as long"),
    Metric("peak memory", "lower", "MiB"),
    HEAT,
    TEST_ACCURACY,
    Metric("inference heat", unit="kT per sample", in_sweeps=True, plotted=True),
]  # fmt: skip


def register_metric(metric: Metric) -> Metric:
    """Add a metric to those that evaluations compute and reports show.

    Raises:
        ValueError: a metric of that name exists.
    """
    if any(metric.name == known.name for known in METRICS):
        raise ValueError(f"metric {metric.name!r} exists already; choose another name")
    METRICS.append(metric)
    return metric


def metric_of(name: str) -> Metric | None:
    """Return the metric that a row of that name is about; None for a row that no record describes."""
    return next((metric for metric in METRICS if metric.matches(name)), None)
