import time
from dataclasses import replace

import pytest
import torch

from tests.evaluation.stand_ins import SIDE, Device, Digital, Watched, WatchedDigital, feature_space, noise
from thermotorch.evaluation import FeatureSpace, Protocol, compare, evaluate
from thermotorch.evaluation.cache import ResultCache
from thermotorch.evaluation.metrics import NOVELTY
from thermotorch.evaluation.quality.distances import frechet_distance
from thermotorch.evaluation.quality.novelty import KnownImages
from thermotorch.evaluation.quality.recognition import class_probabilities, features, recognised_fraction
from thermotorch.evaluation.speed.hardware import describe_hardware

PROTOCOL = Protocol(
    name="test", num_samples=40, seed=3, batch_size=16, sampler="dpm++", steps=4, kernel_subsets=10,
    kernel_subset_size=20,
)  # fmt: skip


@pytest.fixture(scope="module")
def space() -> FeatureSpace:
    return feature_space()


def by_metric(result):
    return {row.metric: row for row in result.rows}


def test_a_thermodynamic_device_gets_its_heat(space):
    result = evaluate("device", Device(), PROTOCOL, space)
    rows = by_metric(result)
    assert result.thermodynamic
    assert (rows["generation heat"].value, rows["generation heat"].kind) == (20.0, "modelled")
    assert rows["work of switching on"].value == 5.0
    assert rows["device overhead"].kind == "unavailable"
    assert rows["parameters"].value == 7
    assert f"Landauer bound, {SIDE * SIDE} bits" in rows
    assert not [metric for metric in rows if metric.startswith("arithmetic")]


def test_a_digital_model_gets_its_arithmetic_and_the_protocols_sampler(space):
    result = evaluate("digital", Digital(), PROTOCOL, space)
    rows = by_metric(result)
    assert not result.thermodynamic
    assert rows["arithmetic, operations"].value == 4 * 2 * 36 * 36  # steps x multiply-adds x 2
    assert rows["arithmetic, operations"].note.endswith("sampler dpm++, steps 4")
    assert "sampler dpm++, steps 4" in rows["recognised fraction"].note
    assert "generation heat" not in rows


def test_every_result_has_its_ledgers_modelled_and_measured_apart(space):
    device = evaluate("device", Device(), PROTOCOL, space)
    ideal, drawn = device.ledgers
    assert (ideal.scenario, drawn.scenario) == ("ideal", "this machine")
    assert ideal.lines[0].joule == pytest.approx(20 * 1.380649e-23 * 300, rel=1e-6, abs=0)
    digital = evaluate("digital", Digital(), PROTOCOL, space)
    assert {ledger.model for ledger in digital.ledgers} == {digital.label}
    assert digital.ledgers[0].lines[0].joule == pytest.approx(
        4 * 36 * 36 * 4.6e-12
    )  # steps x multiply-adds, 45 nm fp32
    assert {ledger.kind for ledger in digital.ledgers[:-1]} == {"modelled"}
    assert digital.ledgers[-1].kind in ("measured", "unavailable")


def test_a_model_that_is_told_the_class_says_so(space):
    class Labelled(Digital):
        config = {"num_classes": 10, "guidance": 2.5}

        def generate(
            self, num_samples, *, seed=0, batch_size=256, progress=None, sampler="dpm++", steps=None, labels=None
        ):
            assert labels is None or labels.tolist() == [k % 10 for k in range(num_samples)]
            return super().generate(num_samples, seed=seed, progress=progress, sampler=sampler, steps=steps)

    model = Labelled()
    assert evaluate("told", model, PROTOCOL, space).sampling == (
        "sampler dpm++, steps 4, each class in turn, guidance 2.5"
    )
    model.config = {"num_classes": 0, "guidance": 1.0}
    assert evaluate("free", model, PROTOCOL, space).sampling == "sampler dpm++, steps 4"


def test_a_model_that_takes_labels_is_asked_for_each_class_in_turn(space):
    class Told(Digital):
        config = {"num_classes": 3}

        def generate(self, num_samples, *, labels=None, steps=None, **options):
            self.labels = labels if num_samples > 1 else self.labels
            return super().generate(num_samples, steps=steps, **options)

    model = Told()
    model.labels = None
    rows = by_metric(evaluate("told", model, PROTOCOL, space))
    assert model.labels.tolist() == [k % 3 for k in range(40)]
    seen = space.net(noise(40, 3).square()).argmax(1)
    assert rows["class-conditional accuracy"].value == (seen == model.labels).double().mean()
    assert "class-conditional accuracy" not in by_metric(evaluate("free", Digital(), PROTOCOL, space))


def test_each_model_is_compared_with_its_own_training_images(space):
    known = {"a": KnownImages(noise(40, 3), noise(70, 9))}  # the very samples of the device
    result = compare({"a": Device(), "b": Digital()}, PROTOCOL, space, known=known.get)
    assert result.results["a"].row(NOVELTY.name).value == 0.0
    assert result.results["b"].row(NOVELTY.name).kind == "unavailable"


def test_rows_carry_the_samples_seed_and_command(space):
    known = KnownImages(noise(70, 8), noise(70, 9))
    rows = by_metric(evaluate("device", Device(), PROTOCOL, space, known=known, command="here"))
    for metric, row in rows.items():
        assert row.seed == 3
        assert row.num_samples in ((40,) if row.stderr else (40, 0)), metric
    assert rows["time"].command == "here" and rows["time"].value > 0
    assert rows["nearest training image, least"].kind == "measured"


def test_class_counts_and_images_of_the_result(space):
    result = evaluate("device", Device(), replace(PROTOCOL, num_samples=90), space)
    assert sum(result.class_counts) == 90
    assert torch.equal(result.images, noise(90, 3)[:64])


def test_progress_names_the_model_and_comes_to_an_end(space):
    calls = []
    compare({"a": Device(), "b": Digital()}, PROTOCOL, space, progress=lambda *call: calls.append(call))
    assert ("1 of 2, a: generating", 40, 40) in calls and ("2 of 2, b: generating", 4, 4) in calls
    assert calls[-1] == ("2 of 2, b: counting energy", 1, 1)
    assert all(0 <= done <= total for _, done, total in calls)


def test_what_is_done_is_saved_before_an_interruption(space):
    class Interrupted(Digital):
        def generate(self, num_samples, **options):
            raise KeyboardInterrupt

    saved = []
    with pytest.raises(KeyboardInterrupt):
        compare({"a": Device(), "b": Interrupted()}, PROTOCOL, space, save=saved.append)
    assert [list(comparison.results) for comparison in saved] == [[], ["a"]]
    assert saved[-1].labels == ["a", "b"]


def test_no_models_are_refused(space):
    with pytest.raises(ValueError, match="models: expected at least one"):
        compare({}, PROTOCOL, space)


def test_the_strip_ends_in_the_samples(space):
    for model, frames in ((Watched(), 5), (WatchedDigital(), 5)):
        result = evaluate("watched", model, PROTOCOL, space)
        assert result.strip.shape == (frames, 8, 1, SIDE, SIDE)
        assert torch.equal(result.strip[-1], result.images[:8])
        assert result.strip[0].std() == 0
    assert evaluate("long", WatchedDigital(), replace(PROTOCOL, steps=100), space).strip.shape[0] == 24
    assert evaluate("unwatched", Digital(), PROTOCOL, space).strip is None


def test_the_curve_of_a_device_is_judged_at_halvings_of_its_observation_time(space):
    result = evaluate("watched", Watched(), replace(PROTOCOL, curve_points=3), space)
    assert [(point.axis, point.x) for point in result.curve] == [("observation time", x) for x in (0.5, 1.0, 2.0)]
    for point in result.curve:
        images = torch.full((40, 1, SIDE, SIDE), 0.5).lerp(noise(40, 3), point.x / 2.0)
        assert (point.frechet, point.frechet_stderr) == frechet_distance(features(space.net, images), space.reference)
        assert point.recognised == recognised_fraction(class_probabilities(space.net, images))[0]
    assert result.curve[-1].frechet == result.row("Frechet distance (thermotorch-test-v1)").value
    assert evaluate("watched", Watched(), replace(PROTOCOL, curve_points=0), space).curve == ()
    assert evaluate("unwatched", Device(), PROTOCOL, space).curve == ()


def test_a_digital_model_has_one_point_for_each_way_of_sampling_it(space):
    found = compare({"a": WatchedDigital()}, PROTOCOL, space, samplers=["ddim:3", "dpm++:5"])
    assert list(found.entries.items()) == [("a, ddim 3", "a"), ("a, dpm++ 5", "a")]
    points = [point for result in found.results.values() for point in result.curve]
    assert [(point.axis, point.x) for point in points] == [("network evaluations", 6), ("network evaluations", 10)]
    for label, result in found.results.items():
        assert (result.label, result.name) == (label, "a")
        assert result.curve[0].frechet == result.row("Frechet distance (thermotorch-test-v1)").value
        assert result.curve[0].recognised == result.row("recognised fraction").value
    assert found.results["a, ddim 3"].sampling == "sampler ddim, steps 3"


def test_speed_warm_up_and_memory_have_rows_of_their_own(space):
    class Slow(Device):
        calls = 0

        def sample(self, num_samples, **options):
            self.calls += 1
            time.sleep(0.2 if self.calls == 1 else 0.02)
            return super().sample(num_samples, **options)

    rows = by_metric(evaluate("slow", Slow(), PROTOCOL, space))
    assert rows["warm-up"].value >= 0.2 and rows["warm-up"].num_samples == 0
    assert 0.02 <= 40 * rows["time"].value < 0.2
    assert rows["speed"].value == pytest.approx(1 / rows["time"].value)
    assert any(metric.startswith("peak memory") for metric in rows)


@pytest.fixture
def judged():
    """A judge that is known by its weights, so that results can be kept."""
    return replace(feature_space(), sha256="judge")


class Counted(Watched):
    made = 0

    def sample(self, num_samples, **options):
        self.made += num_samples
        return super().sample(num_samples, **options)


def test_a_second_comparison_takes_the_results_of_the_first(judged, tmp_path):
    model, cache = Counted(), ResultCache(tmp_path)
    arguments = {"cache": cache, "weights": {"a": "1", "b": "1"}}
    first = compare({"a": model}, PROTOCOL, judged, command="first", **arguments).results["a"]
    assert (model.made, first.cached) == (48, False)
    saved = []
    again = compare({"b": model}, PROTOCOL, judged, command="second", save=saved.append, **arguments)
    found = again.results["b"]
    assert model.made == 48
    assert found.cached and (found.name, found.label) == ("b", "b")
    assert (found.rows, found.curve, found.date, found.hardware) == (
        first.rows,
        first.curve,
        first.date,
        first.hardware,
    )
    assert torch.equal(found.strip, first.strip) and torch.equal(found.images, first.images)
    assert saved[0].real == compare({"a": model}, PROTOCOL, judged, command="first").real != []
    assert not compare({"a": model}, PROTOCOL, judged, cache=cache).results["a"].cached  # weights that nobody knows


def test_cached_results_are_saved_together_before_the_next_measurement(judged, tmp_path):
    """A report takes seconds, and a comparison that is cached whole should take none."""
    models = {name: Counted() for name in "abcd"}
    arguments = {"cache": ResultCache(tmp_path), "weights": {name: name for name in models}}
    compare({name: models[name] for name in "abd"}, PROTOCOL, judged, **arguments)
    saved = []
    compare(models, PROTOCOL, judged, save=saved.append, **arguments)
    assert [list(comparison.results) for comparison in saved] == [[], ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"]]


@pytest.mark.parametrize("change", [{"seed": 4}, {"num_samples": 41}, {"neighbours": 4}])
def test_another_question_is_measured(judged, tmp_path, change):
    model, arguments = Counted(), {"cache": ResultCache(tmp_path), "weights": {"a": "1"}}
    compare({"a": model}, PROTOCOL, judged, **arguments)
    assert not compare({"a": model}, replace(PROTOCOL, **change), judged, **arguments).results["a"].cached
    assert not compare({"a": model}, PROTOCOL, judged, **{**arguments, "weights": {"a": "2"}}).results["a"].cached
    assert not compare({"a": model}, PROTOCOL, replace(judged, sha256="x"), **arguments).results["a"].cached


def test_a_kept_result_without_the_training_images_is_measured_when_they_are_there(judged, tmp_path):
    arguments = {"cache": ResultCache(tmp_path), "weights": {"a": "1"}}
    known = {"a": KnownImages(noise(40, 3), noise(70, 9))}
    assert compare({"a": Device()}, PROTOCOL, judged, **arguments).results["a"].row(NOVELTY.name).value is None
    assert compare({"a": Device()}, PROTOCOL, judged, **arguments).results["a"].cached
    found = compare({"a": Device()}, PROTOCOL, judged, known=known.get, **arguments).results["a"]
    assert (found.cached, found.row(NOVELTY.name).value) == (False, 0.0)
    without = compare({"a": Device()}, PROTOCOL, judged, **arguments).results["a"]
    assert (without.cached, without.row(NOVELTY.name).value) == (True, 0.0)


def test_what_was_done_before_an_interruption_is_in_the_cache(judged, tmp_path):
    class Interrupted(Digital):
        def generate(self, num_samples, *, sampler="dpm++", steps=None, **options):
            raise KeyboardInterrupt

    arguments = {"cache": ResultCache(tmp_path), "weights": {"a": "1", "b": "2"}}
    with pytest.raises(KeyboardInterrupt):
        compare({"a": Device(), "b": Interrupted()}, PROTOCOL, judged, **arguments)
    result = compare({"a": Device(), "b": Digital()}, PROTOCOL, judged, **arguments)
    assert [each.cached for each in result.results.values()] == [True, False]


def test_a_wrong_sampler_is_said_before_any_compute(space):
    model = Counted()
    with pytest.raises(ValueError, match="samplers: expected 'name' or 'name:steps'"):
        compare({"a": model, "b": Digital()}, PROTOCOL, space, samplers=["ddim:x"])
    assert model.made == 0


def test_a_model_generates_as_many_at_a_time_as_suits_it_unless_the_protocol_says(space):
    class Small(WatchedDigital):
        cpu_batch_size = 7

        def generate(self, num_samples, *, batch_size=256, sampler="dpm++", steps=None, **options):
            self.seen = batch_size
            return super().generate(num_samples, steps=steps, **options)

    for given, model, expected in ((None, Small(), 7), (16, Small(), 16)):
        rows = by_metric(evaluate("digital", model, replace(PROTOCOL, batch_size=given), space))
        assert f", {expected} at a time" in rows["time"].note
    device = Counted()
    assert (
        ", 40 at a time"
        in by_metric(evaluate("device", device, replace(PROTOCOL, batch_size=None), space))["time"].note
    )


def test_every_row_of_a_comparison_has_its_command_and_the_hardware_stands_beside_it(judged, tmp_path):
    found = compare({"a": Device(), "b": Digital()}, PROTOCOL, judged, command="typed", cache=ResultCache(tmp_path))
    assert (found.command, found.protocol, found.space) == ("typed", PROTOCOL, judged)
    assert found.hardware == describe_hardware() == found.results["a"].hardware
    assert found.real and {row.command for row in found.real} == {"typed"}
    for result in found.results.values():
        without = {row.metric for row in result.rows if row.value is not None and row.command != "typed"}
        assert without == {"parameters", f"Landauer bound, {SIDE * SIDE} bits"}, "properties of the model alone"
    entries = dict(found.entries)
    assert entries == {"a": "a", "b": "b"} and all(result.date for result in found.results.values())
    others = compare({"a": Device()}, PROTOCOL, judged, command="again", cache=ResultCache(tmp_path))
    assert {row.command for row in others.real} == {"typed"}, "as they were measured, on the same hardware"
