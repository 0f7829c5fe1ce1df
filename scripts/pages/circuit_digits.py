"""Draw the digits of generator.digits8x8 by `simulate` and by ngspice, and let a classifier of these digits judge them.

python scripts/pages/circuit_digits.py             # 1,000 samples by simulate: seconds; enters the row in the card
python scripts/pages/circuit_digits.py --ngspice   # also 50 by ngspice, and docs/figures/circuit_digits.png: 20 minutes
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torchvision.utils import make_grid

from thermotorch.circuit import analog_machine, netlist, run_netlist
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.zoo import load_checkpoint, record_rows

NAME, SAMPLES, DRAWN, TRAINING = "generator.digits8x8", 1000, 50, 1437
FIGURE = Path(__file__).parents[2] / "docs/figures/circuit_digits.png"


def judge() -> SVC:
    """Return a support vector classifier trained on the first digits, and print its accuracy on the others."""
    images, classes = load_digits(return_X_y=True)
    classifier = SVC(gamma=0.05, C=10).fit(images[:TRAINING] / 16, classes[:TRAINING])
    print(f"judge: {classifier.score(images[TRAINING:] / 16, classes[TRAINING:]):.3f} right on its test images")
    return classifier


def obeyed(classifier: SVC, images: torch.Tensor) -> float:
    """Return the fraction of images, one of each class in turn, that show the class asked for."""
    found = torch.as_tensor(classifier.predict(images.flatten(1).numpy()))
    return (found == torch.arange(len(images)) % 10).float().mean().item()


def by_ngspice(machine: ThermodynamicGenerator) -> torch.Tensor:
    """Return images of the exported netlist; ngspice draws other noise in every run."""
    images = []
    for sample in range(DRAWN):
        circuit = netlist(analog_machine(machine, label=sample % 10), step=0.01, waveform=False, reltol=1e-3)
        images.append(machine.to_images(run_netlist(circuit).read.float()))  # what is read are the visible units
    return torch.stack(images)


def draw(rows: dict[str, torch.Tensor]) -> None:
    """Write the figure: fifty images of each way."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(rows), 1, figsize=(5, 5.6))
    for axis, (title, images) in zip(axes, rows.items(), strict=True):
        sheet = make_grid(images, nrow=10, padding=1, pad_value=0.5)[0]
        axis.imshow(sheet, cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=NAME, help="checkpoint, by name or path (default: %(default)s)")
    parser.add_argument("--ngspice", action="store_true", help="draw by ngspice too, and the figure")
    asked, classifier = parser.parse_args(), judge()
    machine = load_checkpoint(asked.model)
    assert isinstance(machine, ThermodynamicGenerator)
    images = machine.generate(SAMPLES, seed=0)
    fraction = obeyed(classifier, images)
    print(f"simulate: {fraction:.3f} of {SAMPLES}")
    row = {
        "metric": "class-conditional accuracy", "value": fraction, "unit": "", "num_samples": SAMPLES, "seed": 0,
        "kind": "measured", "stderr": (fraction * (1 - fraction) / SAMPLES) ** 0.5,
        "command": "python scripts/pages/circuit_digits.py",
        "note": "fraction of the samples, each class in turn, that a support vector classifier of these digits assigns "
        "to the requested class",
    }  # fmt: skip
    record_rows(asked.model, metrics=[row])
    if asked.ngspice:
        found = by_ngspice(machine)
        print(f"ngspice: {obeyed(classifier, found):.2f} of {DRAWN}")
        draw({"simulate": images[:DRAWN], "ngspice, the exported netlist": found})


if __name__ == "__main__":
    main()
