from dataclasses import replace

import pytest
import torch

from tests.evaluation.stand_ins import SIDE, Device, Digital, feature_space, noise
from thermotorch.evaluation import FeatureSpace, Protocol, compare, evaluate
from thermotorch.evaluation.novelty import RELATIVE, KnownImages

PROTOCOL = Protocol(
    name="test", num_samples=40, seed=3, batch_size=16, steps=4, kernel_subsets=10, kernel_subset_size=20
)


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


def test_a_model_that_is_told_the_class_says_so(space):
    model = Digital()
    model.config = {"num_classes": 10, "guidance": 2.5}
    assert evaluate("told", model, PROTOCOL, space).sampling == (
        "sampler dpm++, steps 4, told each class in turn, guidance 2.5"
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
    result = compare({"a": Device(), "b": Digital()}, PROTOCOL, space, known=known)
    assert result.results["a"].row(RELATIVE).value == 0.0
    assert result.results["b"].row(RELATIVE).kind == "unavailable"


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
    assert ("a: generating", 40, 40) in calls and ("b: generating", 4, 4) in calls
    assert calls[-1] == ("b: judging", 1, 1)
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
