"""A metric is one record: whatever is added here is computed, cached, shown,
swept and judged without another change.
"""

from math import hypot, log

import pytest
import torch

from tests.evaluation.report.comparisons import comparison, row
from tests.evaluation.stand_ins import Digital, feature_space, noise
from thermotorch.evaluation import Metric, Protocol, Value, compare, register_metric
from thermotorch.evaluation.cache import real_key
from thermotorch.evaluation.metrics import FRECHET, METRICS, NEAREST, NOVELTY, metric_of
from thermotorch.evaluation.quality.distances import kernel_distance
from thermotorch.evaluation.quality.image_rows import quality_rows
from thermotorch.evaluation.quality.judged import Judged
from thermotorch.evaluation.quality.neighbours import neighbours
from thermotorch.evaluation.quality.novelty import KnownImages
from thermotorch.evaluation.quality.resampling import kernel_replicates
from thermotorch.evaluation.report.quality_tables import measured_tables
from thermotorch.evaluation.report.sides import sides_of
from thermotorch.evaluation.report.verdict import verdict
from thermotorch.evaluation.sweep import Point, Sweep

PROTOCOL = Protocol("test", 40, kernel_subsets=4, kernel_subset_size=10, resamples=4, steps=2)


@pytest.fixture
def brightness():
    metric = register_metric(
        Metric("brightness", "higher", "lux", lambda judged: Value(judged.images.mean().item(), 0.01, note="of pixels"),
               in_sweeps=True, question="Brightest", answer="{best} over {next}")
    )  # fmt: skip
    yield metric
    METRICS.remove(metric)


def test_a_new_metric_is_computed_for_every_model(brightness):
    result = compare({"a": Digital()}, PROTOCOL, feature_space()).results["a"]
    found = result.row("brightness")
    assert found.value == pytest.approx(1 / 3, abs=0.05)  # squares of uniform numbers
    assert (found.unit, found.stderr, found.num_samples, found.kind) == ("lux", 0.01, 40, "measured")
    assert found.note.startswith("of pixels, ")


def test_a_new_metric_is_another_question_to_the_cache(brightness):
    with_it = real_key(PROTOCOL.to_dict(), feature_space(), "here")
    METRICS.remove(brightness)
    without = real_key(PROTOCOL.to_dict(), feature_space(), "here")
    other = register_metric(Metric("brightness", measure=lambda judged: Value(judged.images.max().item())))
    changed = real_key(PROTOCOL.to_dict(), feature_space(), "here")
    METRICS[METRICS.index(other)] = brightness
    assert with_it != without and with_it != changed
    assert real_key(PROTOCOL.to_dict(), feature_space(), "here") == with_it


def test_reports_sweeps_and_verdicts_follow_its_record(brightness):
    found = comparison(2)
    for result, value in zip(found.results.values(), (0.2, 0.5), strict=True):
        result.rows.append(row("brightness", value, "lux", stderr=0.01))
    (table,) = measured_tables(found, sides_of(found, {}))
    assert "brightness ↑" in [line[0] for line in table.rows]
    (best,) = [line for line in verdict(found, list(found.results.values())).rows if line[0] == "Brightest"]
    dark, bright = found.results
    assert best[1] == f"**{bright}** over {dark}"
    points = [Point({"x": k}, {each.metric: each for each in r.rows}) for k, r in enumerate(found.results.values())]
    assert "brightness" in Sweep(["x"], points, {}).metrics()


def test_a_row_is_about_the_metric_whose_name_it_begins_with():
    assert metric_of("Frechet distance (thermotorch-mnist-v1)") is FRECHET
    assert metric_of("test accuracy, 10 runs averaged").name == "test accuracy"
    assert metric_of("distance to training images, relative to held-out images").better == "higher"
    assert metric_of("timeless") is None and metric_of("generation heat at 300 K") is None


def test_the_interval_of_the_kernel_distance_holds_the_scatter_of_its_subsets():
    """Three subsets of five images differ by more than resampled images do, and so would three others."""
    features, reference = torch.randn(2, 200, 4, generator=torch.Generator().manual_seed(1))
    protocol = Protocol("test", 200, kernel_subsets=3, kernel_subset_size=5, resamples=2000)
    found = metric_of("kernel distance").measure(Judged(protocol, features, reference))
    _, deviation, _ = kernel_distance(features, reference, 3, 5, protocol.seed)
    of_subsets = deviation / 2**0.5
    of_samples = kernel_replicates(features, reference, 2000, protocol.seed).std().item()
    assert of_subsets > 2 * of_samples
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * hypot(of_samples, of_subsets), rel=0.08)


def test_records_that_contradict_themselves_are_refused():
    with pytest.raises(ValueError, match="better: expected 'lower', 'higher' or '', found 'more'"):
        Metric("x", "more")
    with pytest.raises(ValueError, match="metric 'x': a question needs an answer and a direction"):
        Metric("x", question="Which?", answer="{best}")
    with pytest.raises(ValueError, match="metric 'time' exists already"):
        register_metric(Metric("time"))


def test_new_images_of_the_law_are_better_than_darkened_ones_and_than_copies():
    """By the direction of each record, which tables and verdicts follow."""
    protocol = Protocol("test", 60, kernel_subsets=4, kernel_subset_size=30, resamples=4)
    known, space = KnownImages(noise(100, 8), noise(100, 9)), feature_space(400)
    new, dark, copies = (
        quality_rows(images, protocol, space, known)[0]
        for images in (noise(60, 10), noise(60, 10).pow(4), known.training[:60])
    )
    compared = [metric for metric in METRICS if metric.better and metric.of_features] + [NOVELTY]
    assert len(compared) == 7
    for metric in compared:
        good, bad = metric.find(new), metric.find(dark if metric.of_features else copies)
        assert good.known != bad.known and (good.known > bad.known) == (metric.better == "higher"), metric.name
    assert {metric.name: metric.better for metric in METRICS if metric.better and not metric.measure} == {
        "time": "lower", "peak memory": "lower", "test accuracy": "higher",
    }  # fmt: skip


def test_the_entropy_is_told_as_a_part_of_that_of_equal_classes():
    probabilities = torch.eye(4).repeat(3, 1)
    judged = Judged(PROTOCOL, probabilities, probabilities, probabilities)
    found = metric_of("class entropy").measure(judged)
    assert found.value == pytest.approx(log(4)) and found.note.startswith("1.000 of ln 4, ")
    few = metric_of("class entropy").measure(
        Judged(PROTOCOL, probabilities, probabilities, probabilities[[0, 1, 4, 5]])
    )
    assert few.value == pytest.approx(log(2)) and few.note.startswith("0.500 of ln 4, ")


def test_readers_meet_these_metrics_in_these_places():
    """Columns of the README, of sweeps, panels of their figures, and the questions of a verdict, in their order."""
    assert [metric.headline for metric in METRICS if metric.headline] == [
        "Fréchet distance", "recognised", "coverage", "s per sample, measured",
    ]  # fmt: skip
    assert [metric.name for metric in METRICS if metric.in_sweeps] == [
        "Frechet distance", "recognised fraction", "class entropy", "class-conditional accuracy", NOVELTY.name,
        "generation heat", "test accuracy", "inference heat",
    ]  # fmt: skip
    assert [metric.name for metric in METRICS if metric.plotted] == [
        "Frechet distance", "recognised fraction", "generation heat", "test accuracy", "inference heat",
    ]  # fmt: skip
    assert [metric.question for metric in METRICS if metric.question] == [
        "Closest to real images", "Most often recognised", "Most varied", "Fastest on this machine",
    ]  # fmt: skip
    assert {metric.name: metric.unit for metric in METRICS if metric.unit} == {
        "class entropy": "nat", "time": "s per sample", "peak memory": "MiB", "generation heat": "kT per sample",
        "inference heat": "kT per sample",
    }  # fmt: skip


def test_each_number_of_neighbours_is_its_own_with_the_error_where_there_is_one():
    features, reference = torch.randn(2, 60, 3, generator=torch.Generator().manual_seed(2)).double()
    protocol = Protocol("test", 57, neighbours=4, kernel_subset_size=10)
    judged = Judged(protocol, 1.3 * features[:57] + 0.3, reference)
    expected = neighbours(judged.features, reference, 4)
    assert len({*expected[:4]}) == 4
    for name in ("precision", "recall", "density", "coverage"):
        found = metric_of(name).measure(judged)
        assert (found.value, found.stderr) == (
            getattr(expected, name), getattr(expected, f"{name}_stderr", None),
        )  # fmt: skip
        assert found.note.startswith("k = 4; depends on both sample counts")


def test_notes_say_what_a_number_was_computed_from():
    """Resamples, subsets, thresholds, neighbours and distances, each as it was asked for or measured."""
    images, known = noise(40, 3), KnownImages(noise(70, 8), noise(90, 9))
    space = feature_space()
    features, probabilities = space.net.features(images).detach(), space.net(images).softmax(-1)
    labels = torch.zeros(40, dtype=torch.int64)
    judged = Judged(PROTOCOL, features, space.reference, probabilities, images, labels, known)
    notes = {metric.name: metric.measure(judged).note for metric in METRICS if metric.measure}
    _, deviation, _ = kernel_distance(judged.features, space.reference, 4, 10, 0)
    held_out = judged.nearest.held_out
    far = f"40 held-out images are on average {held_out.mean():.4g} from the nearest training image"
    assert notes == {
        "Frechet distance": "interval from 4 bootstrap resamples",
        "kernel distance": f"4 subsets of 10, standard deviation {deviation:.3g}, interval from 4 bootstrap resamples",
        "recognised fraction": "the judge's confidence is at least 0.9",
        "class entropy": notes["class entropy"],  # see below
        "class-conditional accuracy": "fraction of the samples that the judge assigns to the requested class",
        "precision": "k = 5; depends on both sample counts",
        "recall": "k = 5; depends on both sample counts, balls are small where samples crowd",
        "density": "k = 5; depends on both sample counts",
        "coverage": "k = 5; depends on both sample counts",
        "nearest training image, mean": "Euclidean distance over 36 pixels in [0, 1], 70 training images",
        "nearest training image, least": "Euclidean distance over 36 pixels in [0, 1], 70 training images",
        NOVELTY.name: f"{far}, and at least {held_out.min():.4g}",
    }  # fmt: skip
    without = Judged(PROTOCOL, judged.features, space.reference, judged.probabilities, images)
    for metric in METRICS:
        if metric.measure and ("training image" in metric.name):
            found = metric.measure(without)
            assert (found.value, found.note) == (None, "needs the training images, which are not on this machine")


def test_the_novelty_has_the_errors_of_both_distances():
    images, known = noise(40, 3).square(), KnownImages(noise(70, 8), noise(90, 9))
    judged = Judged(PROTOCOL, torch.zeros(40, 0), torch.zeros(40, 0), images=images, known=known)
    mine, held_out = judged.nearest.images, judged.nearest.held_out
    ratio, error = mine.mean() / held_out.mean(), [each.std() / 40**0.5 / each.mean() for each in (mine, held_out)]
    found = NOVELTY.measure(judged)
    assert found.value == pytest.approx(ratio.item())
    assert found.stderr == pytest.approx((ratio * hypot(*error)).item())
    mean, least = (metric.measure(judged) for metric in NEAREST)
    assert (mean.value, mean.stderr) == pytest.approx((mine.mean().item(), (mine.std() / 40**0.5).item()))
    assert (least.value, least.stderr) == (pytest.approx(mine.min().item()), None)


def test_features_without_images_have_no_nearest_training_images():
    """Whatever images are known; and images without known ones have none either."""
    features, images = torch.rand(6, 3), torch.rand(6, 1, 2, 2)
    known = KnownImages(torch.rand(5, 1, 2, 2), torch.rand(4, 1, 2, 2))
    assert Judged(PROTOCOL, features, features, known=known).nearest is None
    assert Judged(PROTOCOL, features, features, images=images).nearest is None
    assert len(Judged(PROTOCOL, features, features, images=images, known=known).nearest.images) == 6
