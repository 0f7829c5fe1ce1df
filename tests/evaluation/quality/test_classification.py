import copy
from statistics import mean, stdev

import pytest
import torch

from thermotorch.evaluation.quality.classification import (
    ClassificationProtocol,
    accuracy_of_the_confident,
    calibration_error,
    classification_rows,
    reliability,
)
from thermotorch.models.classifier.machine import Inference, ThermodynamicClassifier
from thermotorch.models.imperfections import realise
from thermotorch.training.data import MNISTData
from thermotorch.zoo import create_model, list_models, load_card


def test_calibrated_predictions_have_no_calibration_error():
    """Labels drawn from the probabilities themselves: what is left is the sampling error of the bins."""
    generator = torch.Generator().manual_seed(0)
    probabilities = (3 * torch.randn(40_000, 4, generator=generator)).softmax(-1)
    labels = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
    assert calibration_error(probabilities, labels) < 0.01
    sharpened = probabilities**3 / (probabilities**3).sum(-1, keepdim=True)
    assert calibration_error(sharpened, labels) > 0.05


def test_calibration_error_by_hand():
    probabilities = torch.tensor([[0.93, 0.07], [0.93, 0.07], [0.64, 0.36], [0.16, 0.84]])
    labels = torch.tensor([0, 1, 0, 1])
    by_hand = 0.5 * 0.43 + 0.25 * 0.36 + 0.25 * 0.16
    assert calibration_error(probabilities, labels, bins=10).item() == pytest.approx(by_hand)
    accuracy, confidence, weight = reliability(probabilities, labels, 10)
    assert accuracy[9] == 0.5
    assert confidence[9].item() == pytest.approx(0.93)
    assert weight.sum() == 1


def test_rejection_keeps_the_confident():
    probabilities = torch.tensor([[0.9, 0.1], [0.55, 0.45], [0.3, 0.7], [0.2, 0.8]])
    labels = torch.tensor([0, 1, 1, 1])
    assert accuracy_of_the_confident(probabilities, labels, 1.0) == 0.75
    assert accuracy_of_the_confident(probabilities, labels, 0.75) == 1.0


class Scripted(ThermodynamicClassifier):
    """Right on every image but the first, on which only every second run is right."""

    def infer(self, images, *, runs=1, seed=0, sample_ids=None, batch_size=0, progress=None):
        outputs = torch.zeros(len(images), runs, 2)
        outputs[..., 1] = 1.0
        outputs[0, ::2, 0] = 3.0
        return Inference(outputs, torch.full((len(images), runs), 50.0))


def test_rows_count_runs_groups_devices_and_heat():
    model = Scripted([1, 2, 2], num_classes=2, hidden=3)
    images, labels = torch.rand(4, 1, 2, 2), torch.ones(4, dtype=torch.int64)
    protocol = ClassificationProtocol(runs=4, averaged=2, devices=2)
    told = []
    found = classification_rows(
        model, images, labels, protocol, command="type this", progress=lambda *done: told.append(done)
    )
    assert told == [("imperfect devices", 1, 2), ("imperfect devices", 2, 2)]
    rows = {row.metric: row for row in found}
    single = rows["test accuracy, one run"]
    assert single.value == pytest.approx((0.75 + 1.0) / 2)
    assert single.stderr == pytest.approx(torch.tensor([0.75, 1.0, 0.75, 1.0]).std().item() / 2)
    assert rows["test accuracy, 2 runs averaged"].value == 0.75  # 3 against 1 on average
    assert rows["top-2 accuracy, one run"].value == 1.0
    assert rows["test accuracy, noiseless dynamics"].value == 0.75
    assert rows["test accuracy, one run, 5-bit couplings, 5% mismatch"].value == 0.75
    assert (rows["inference heat"].value, rows["inference heat"].kind) == (50.0, "modelled")
    assert rows["parameters"].value == 4 * 5 + 10 + 5
    assert {row.command for row in rows.values()} == {"type this"}


def test_imperfect_devices_differ_and_the_model_stays():
    torch.manual_seed(0)
    model = ThermodynamicClassifier([1, 4, 4], num_classes=3, hidden=4, dt=0.02)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images, labels = torch.rand(200, 1, 4, 4), torch.randint(3, (200,))
    protocol = ClassificationProtocol(runs=2, averaged=1, devices=3, mismatch=0.5)
    rows = {row.metric: row for row in classification_rows(model, images, labels, protocol)}
    assert rows["test accuracy, one run, 5-bit couplings, 50% mismatch"].stderr > 0
    assert model.layer.temperature == 1.0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("settings", [{"runs": 10, "averaged": 10}, {"runs": 15}, {"devices": 1}])
def test_protocols_without_a_standard_error_are_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        ClassificationProtocol(**settings)


@pytest.mark.parametrize("name", list_models("classifier.*", pretrained=True))
def test_a_shipped_classifier_is_as_accurate_as_its_card_says(name, mnist_dir):
    """On 1000 of the 10,000 test images, within 4 standard errors of a sample without replacement."""
    recorded = {row["metric"]: row["value"] for row in load_card(name)["metrics"]}
    images, labels = MNISTData(mnist_dir, download=False).test_images()
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:1000]
    found = create_model(name, pretrained=True).infer(images[chosen], seed=1, sample_ids=chosen)
    accuracy = (found.outputs[:, 0].argmax(1) == labels[chosen]).double().mean().item()
    wanted = recorded["test accuracy, one run"]
    assert abs(accuracy - wanted) < 4 * (wanted * (1 - wanted) / 1000 * 0.9) ** 0.5


def test_confidence_is_judged_for_one_run_and_for_an_average_of_runs():
    """The first image is right in every second run, with another confidence; averages over two runs are all alike."""
    model = Scripted([1, 2, 2], num_classes=2, hidden=3)
    images, labels = torch.rand(4, 1, 2, 2), torch.ones(4, dtype=torch.int64)
    protocol = ClassificationProtocol(runs=4, averaged=2, devices=0)
    rows = {row.metric: row for row in classification_rows(model, images, labels, protocol)}
    outputs = model.infer(images, runs=4).outputs
    one = torch.stack([calibration_error(model.probabilities(outputs[:, [k]]), labels) for k in range(4)])
    row = rows["expected calibration error, one run"]
    assert (row.value, row.stderr) == (pytest.approx(one.mean().item()), pytest.approx(one.std().item() / 2))
    two = torch.stack([calibration_error(model.probabilities(outputs[:, k : k + 2]), labels) for k in (0, 2)])
    row = rows["expected calibration error, 2 runs"]
    assert (row.value, row.stderr) == (pytest.approx(two.mean().item()), pytest.approx(two.std().item() / 2**0.5))
    assert row.value != pytest.approx(rows["expected calibration error, one run"].value, rel=0.01)
    assert rows["accuracy on the 90 % most confident, one run"].value == (0.75 + 1.0) / 2
    assert not any("mismatch" in metric for metric in rows)


def test_the_time_of_an_inference_is_that_of_one_run_on_one_image(monkeypatch):
    times = iter([100.0, 108.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(times, 0.0))
    model, images = Scripted([1, 2, 2], num_classes=2, hidden=3), torch.rand(4, 1, 2, 2)
    rows = classification_rows(
        model, images, torch.ones(4, dtype=torch.int64), ClassificationProtocol(runs=4, averaged=2, devices=0)
    )
    assert next(row.value for row in rows if row.metric == "time") == 8.0 / (4 * 4)


def test_devices_are_those_of_the_seed_with_their_numbers_in_turn():
    torch.manual_seed(0)
    model = ThermodynamicClassifier([1, 4, 4], num_classes=3, hidden=4, dt=0.02)
    images, labels = torch.rand(200, 1, 4, 4), torch.randint(3, (200,))
    protocol = ClassificationProtocol(runs=2, averaged=1, devices=3, bits=None, mismatch=0.5, seed=7)
    rows = {row.metric: row for row in classification_rows(model, images, labels, protocol)}
    found = []
    for number in range(3):
        device = realise(copy.deepcopy(model), bits=None, mismatch=0.5, seed=7, device_id=number)
        found.append((device.infer(images, seed=7).outputs[:, 0].argmax(-1) == labels).double().mean().item())
    row = rows["test accuracy, one run, 50% mismatch"]
    assert row.value == pytest.approx(mean(found)) and row.stderr == pytest.approx(stdev(found) / 3**0.5)
    assert (row.num_samples, row.seed, row.note) == (200, 7, "3 devices")
    cold = copy.deepcopy(model)
    cold.layer.temperature = 0.0
    right = (cold.infer(images, seed=7).outputs[:, 0].argmax(-1) == labels).double().mean().item()
    assert rows["test accuracy, noiseless dynamics"].value == right
