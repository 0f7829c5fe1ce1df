"""Makes the judge of generated images: the feature network of a training run, its reference statistics, and its card.

python scripts/release_feature_net.py outputs/train/feature_net/RUN feature_net.mnist --data-dir DATA

The reference is the network's features of all test images. Beside its accuracy the card records what real images score
as if they had been generated: no generator can be expected to do better.
"""

import argparse
from functools import partial
from pathlib import Path

import torch

from thermotorch.evaluation import FeatureSpace, Protocol, Row
from thermotorch.evaluation.metrics import METRICS
from thermotorch.evaluation.quality.image_rows import metric_rows
from thermotorch.evaluation.quality.judged import Judged
from thermotorch.evaluation.quality.recognition import RECOGNISED, class_probabilities, features, recognised_fraction
from thermotorch.training.data import MNISTData
from thermotorch.training.release import release
from thermotorch.zoo import load_card, load_checkpoint, record_rows, save_checkpoint, save_reference
from thermotorch.zoo.cards import GIVEN_TO_SAVE

VALIDATION = 5000  # training images that the experiment feature_net keeps for validation
SEED = 0
NOTES = (
    "The judge of thermotorch-mnist-v1: distances are measured between its 64 features before the last nonlinearity, "
    "in a unit that makes their mean square 1 on training images. Trained on 55,000 training images; the test images "
    "were looked at once, after training."
)


def rows(space: FeatureSpace, data: MNISTData, command: str) -> list[Row]:
    """Return the accuracy on the test images, and the scores of real images."""
    images, labels = data.test_images()
    probabilities = class_probabilities(space.net, images)
    correct = (probabilities.argmax(1) == labels).double()
    recognised, error = recognised_fraction(probabilities)
    row = partial(Row, unit="", num_samples=len(images), seed=SEED, kind="measured", command=command)
    found = [
        row("test accuracy", correct.mean().item(), stderr=correct.std().item() / len(correct) ** 0.5),
        row("recognised fraction of real images", recognised, stderr=error, note=f"confidence at least {RECOGNISED}"),
    ]
    held_out = torch.cat([batch["image"] for batch in data.val_dataloader()[0]])
    trained_on, _ = data.train_images()
    for what, real in (("training images it has seen", trained_on[:10_000]), ("validation images", held_out)):
        protocol = Protocol(num_samples=len(real), seed=SEED, kernel_subset_size=1000)
        note = f"{len(real):,} {what} against {len(space.reference):,} test images"
        judged = Judged(protocol, features(space.net, real), space.reference)
        for distance in metric_rows(judged, METRICS, space.name, command, note):
            found.append(Row(**{**distance.to_dict(), "metric": f"{distance.metric} of real {what}"}))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the finished training run")
    parser.add_argument("name", help="architecture.tag, such as feature_net.mnist")
    parser.add_argument("--data-dir", default="data", help="folder that holds MNIST/raw")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent.parent / "checkpoints", help="zoo folder")
    arguments = parser.parse_args()

    data = MNISTData(arguments.data_dir, val_size=VALIDATION, seed=SEED, download=False)
    data.setup()
    weights, _ = release(arguments.run, arguments.name, arguments.folder, notes=NOTES)
    net = load_checkpoint(weights)
    net.divide_features(features(net, data.train_images()[0][:10_000]).square().mean().sqrt().item())
    save_checkpoint(net, arguments.name, arguments.folder, {key: load_card(weights)[key] for key in GIVEN_TO_SAVE})
    images, labels = data.test_images()
    reference = {
        "features": features(net, images).half(),
        "labels": labels.to(torch.uint8),
        "pixel_mean": images.mean(0),
    }
    save_reference(weights, reference)
    space = FeatureSpace("thermotorch-mnist-v1", net, reference["features"].float())
    command = f"python scripts/release_feature_net.py RUN {arguments.name}"
    print(record_rows(weights, metrics=[row.to_dict() for row in rows(space, data, command)]))


if __name__ == "__main__":
    main()
