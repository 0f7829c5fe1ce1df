"""Measure the accuracy of classifiers against their heat, record it in scripts/pages/heat_frontier.json, and draw it.

python -m scripts.pages.heat_frontier RUN ... --data-dir DATA    runs of experiment=classifier_frontier: 15 min
python -m scripts.pages.heat_frontier                            docs/figures/heat_frontier.png from the record
python -m scripts.pages.update_docs                              the table in docs/systems/classifiers.md
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from scripts.pages.classifier_figures import changed
from scripts.pages.neuron_figures import new_figure
from thermotorch.evaluation.estimate import mean_of
from thermotorch.evaluation.report.markdown import number, table
from thermotorch.models.classifier.machine import ThermodynamicClassifier
from thermotorch.training.checkpoint_files import LAST
from thermotorch.training.data import named_data
from thermotorch.training.release import trained_model
from thermotorch.zoo import load_checkpoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECORD = Path(__file__).with_suffix(".json")
FIGURE = Path(__file__).resolve().parents[2] / "docs" / "figures" / "heat_frontier.png"
SHIPPED, SEEDS = "classifier.end_to_end", (0, 1, 2, 3, 4)  # seeds of the thermal noise
HEATED, EARLY, TRAINED = "one machine, heated", "one machine, read earlier or later", "trained for each heat"
PUBLISHED = {"the paper": (1e5, 0.917)}  # heat in kT and accuracy of one run, Whitelam, PNAS 123 (2026)


def measured(model: ThermodynamicClassifier, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return heat in kT and accuracy of one run, at the machine's time step and at half of it.

    Errors are those of the thermal noise, over one run of each seed on every image.
    """
    point: dict[str, Any] = {"temperature": model.layer.temperature, "t_final": model.layer.t_final}
    for prefix, dt in (("", model.layer.dt), ("half_step_", model.layer.dt / 2)):
        machine, heat, accuracy = changed(model, dt=dt), [], []
        for seed in SEEDS:
            found = machine.infer(images, seed=seed)
            heat.append(found.heat.double().mean())
            accuracy.append((found.outputs[:, 0].argmax(-1) == labels).double().mean())
        point[f"{prefix}heat"] = torch.stack(heat).mean().item()
        point[f"{prefix}accuracy"], point[f"{prefix}stderr"] = mean_of(torch.stack(accuracy))
    return point


def measure(runs: Sequence[Path], data_dir: str) -> dict[str, Any]:
    """Return the record: the shipped machine heated and read at other times, and machines trained for each heat."""
    shipped = load_checkpoint(SHIPPED)
    images, labels = named_data("MNIST", data_dir).test_images()
    series: dict[str, list[dict]] = {
        HEATED: [measured(changed(shipped, temperature=kT), images, labels) for kT in (1, 2, 4, 7, 14, 25, 50)],
        EARLY: [measured(changed(shipped, t_final=t), images, labels) for t in (0.02, 0.03, 0.05, 0.1, 0.2, 0.3)],
        TRAINED: [],
    }
    for run in runs:
        objective = OmegaConf.load(run / ".hydra" / "config.yaml").objective
        settings = {"price": objective.heat, "sharpness": objective.sharpness}
        series[TRAINED].append(settings | measured(trained_model(run / LAST), images, labels))
    return {"images": len(images), "seeds": list(SEEDS), "series": series}


def frontier_figure(record: Mapping[str, Any]) -> "Figure":
    """Draw error rate against heat of an inference, one line for each series of a record, and the paper's point."""
    figure = new_figure(6, 4)
    axes = figure.subplots()
    for name, points in record["series"].items():
        ordered = sorted(points, key=lambda point: point["heat"])
        heat, error = [point["heat"] for point in ordered], [1 - point["accuracy"] for point in ordered]
        axes.errorbar(heat, error, [point["stderr"] for point in ordered], fmt="o-", markersize=4, label=name)
    for name, (kT, accuracy) in PUBLISHED.items():
        axes.plot([kT], [1 - accuracy], "k*", markersize=10, label=name)
    axes.set(xscale="log", yscale="log", xlabel="heat of an inference, kT (modelled)", ylabel="error rate of one run")
    axes.set_ylim(top=1.5)  # room for the legend above the lines
    axes.legend(frameon=False, ncols=2, loc="upper center")
    return figure


def frontier_table(record: Mapping[str, Any]) -> str:
    """Return a Markdown table of the machines of a record, heated or trained, by heat."""
    points = [(name, point) for name in (HEATED, TRAINED) for point in record["series"][name]]
    lines = [
        [
            name, f"{point['temperature']:g}",
            *(f"{point[setting]:g}" if setting in point else "" for setting in ("sharpness", "price")),
            f"{point['heat']:,.0f}", *(_percent(point, prefix) for prefix in ("", "half_step_")),
        ]
        for name, point in sorted(points, key=lambda item: item[1]["heat"])
    ]  # fmt: skip
    columns = ["machine", "kT", "sharpness", "price", "heat, kT (modelled)", "one run", "at half its time step"]
    seeds = f"{min(record['seeds'])} to {max(record['seeds'])}"
    caption = f"Measured with {record['images']:,} test images, noise seeds {seeds}; errors are those of the noise."
    return f"{table(columns, lines, right=range(1, len(columns)))}\n\n{caption}"


def _percent(point: Mapping[str, Any], prefix: str) -> str:
    return f"{number(100 * point[f'{prefix}accuracy'], 100 * point[f'{prefix}stderr'])} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="folders of finished trainings; none draws what is recorded")
    parser.add_argument("--data-dir", default="data", help="folder that holds MNIST/raw")
    asked = parser.parse_args()
    if asked.runs:
        RECORD.write_text(json.dumps(measure(asked.runs, asked.data_dir), indent=1) + "\n", encoding="utf-8")
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    frontier_figure(record).savefig(FIGURE, dpi=100)


if __name__ == "__main__":
    main()
