"""Draw the figures of neurons, of the cosine, and of calibration into docs/figures.

python -m scripts.pages.draw_classifiers neuron
python -m scripts.pages.draw_classifiers cosine outputs/train/cosine_genetic/RUN outputs/train/cosine_gradient/RUN
python -m scripts.pages.draw_classifiers classifier --data-dir DATA
"""

import argparse
import csv
from pathlib import Path

import torch

from scripts.pages.classifier_figures import uncertainty_figure
from scripts.pages.neuron_figures import activation_figure, cosine_figure
from thermotorch.training.checkpoint_files import LAST
from thermotorch.training.data import named_data
from thermotorch.training.release import trained_model
from thermotorch.zoo import load_checkpoint

FIGURES = Path(__file__).resolve().parents[2] / "docs" / "figures"


def history(run: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (simulated runs, error) of a finished training of the cosine."""
    rows = []
    for path in sorted(run.glob("csv/version_*/metrics.csv")):  # one for each time the run was continued
        with open(path, encoding="utf-8") as file:
            rows += [row for row in csv.DictReader(file) if row["train/runs"] and row["val/phi"]]
    return tuple(torch.tensor([float(row[name]) for row in rows]) for name in ("train/runs", "val/phi"))


def cosine(runs: list[Path]) -> None:
    named = dict(zip(("genetic algorithm", "pathwise gradient"), runs, strict=True))
    models = {name: trained_model(run / LAST) for name, run in named.items()}
    cosine_figure({name: history(run) for name, run in named.items()}, models).savefig(FIGURES / "cosine.png", dpi=100)


def classifier(data_dir: str, count: int) -> None:
    model = load_checkpoint("classifier.end_to_end")
    images, labels = named_data("MNIST", data_dir).test_images()
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]
    uncertainty_figure(model, images[chosen], labels[chosen]).savefig(FIGURES / "uncertainty.png", dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("neuron", "cosine", "classifier"))
    parser.add_argument("runs", type=Path, nargs="*", help="folders of finished trainings of the cosine")
    parser.add_argument("--data-dir", default="data", help="folder that holds MNIST/raw")
    parser.add_argument("--images", type=int, default=10_000, help="test images, chosen at random")
    arguments = parser.parse_args()
    if arguments.what == "neuron":
        activation_figure().savefig(FIGURES / "neuron.png", dpi=100)
    elif arguments.what == "cosine":
        cosine(arguments.runs)
    else:
        classifier(arguments.data_dir, arguments.images)


if __name__ == "__main__":
    main()
