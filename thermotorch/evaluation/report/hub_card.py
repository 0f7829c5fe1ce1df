"""The README.md of a checkpoint on the Hugging Face Hub: metadata for its search, then the card as text."""

import inspect
import re
from collections.abc import Mapping

from torch import nn

from thermotorch.evaluation.metrics import TEST_ACCURACY
from thermotorch.evaluation.report.markdown import table, with_unit
from thermotorch.models.protocol import Judge, task_of
from thermotorch.zoo.rows import rows_of

HUB_DATASETS = {"MNIST": "mnist"}  # names of the Hub for data sets that are there
HUB_LICENCES = {  # SPDX identifiers in small letters that the Hub shares
    "afl-3.0", "agpl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-4.0", "cc-by-nc-4.0",
    "cc-by-sa-4.0", "cc0-1.0", "gpl-2.0", "gpl-3.0", "isc", "lgpl-3.0", "mit", "mpl-2.0", "unlicense",
}  # fmt: skip
_ARGUMENTS = ("kind", "num_samples", "seed", "stderr", "unit", "command", "note")  # fields of a row beside its value
_OF_THIS_COMPUTER = ("s", "samples", "MiB")  # first words of the units of times, speeds and memory
_USE = {
    "unconditional-image-generation": "images = model.generate(4, seed=0)  # [4, channel, height, width] in [0, 1]",
    "image-classification": "logits = model(images)  # images [batch, channel, height, width] in [0, 1]",
    "image-feature-extraction": "features = model.features(images)  # images [batch, channel, height, width] in [0, 1]",
}


def hub_card(card: Mapping, model: nn.Module, picture: str | None = None) -> str:
    """Return the text of README.md.

    The metadata holds the measured qualities of samples as `model-index` if the data set is on the Hub, which requires
    one. Modelled numbers, and those of this computer such as times and memory, are in the text alone.

    Args:
        card: card of the checkpoint.
        model: the model.
        picture: name of an image in the same folder, to display.
    """
    return f"---\n{_metadata(card, model)}\n---\n\n{_words(card, model, picture)}"


def pipeline_tag(model: nn.Module) -> str | None:
    """Return the Hub's name of the model's purpose; None if it has none."""
    named = {"generate": "unconditional-image-generation", "classify": "image-classification"}
    return "image-feature-extraction" if isinstance(model, Judge) else named.get(task_of(model) or "")


def _metadata(card: Mapping, model: nn.Module) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    task, data = pipeline_tag(model), card["data"].get("name")
    dataset = HUB_DATASETS.get(data)
    results = [
        EvalResult(
            task_type=task or "",
            dataset_type=dataset or "",
            dataset_name=data,
            metric_type=_metric_type(row.metric),
            metric_name=row.metric,
            metric_value=row.value,
            metric_args={key: value for key in _ARGUMENTS if (value := getattr(row, key)) not in (None, "")},
        )
        for row in rows_of(card)
        if dataset and task and row.kind == "measured" and row.num_samples and not row.is_energy
        if row.unit.partition(" ")[0] not in _OF_THIS_COMPUTER
    ]
    licence = card["licence"].lower()
    known = licence in HUB_LICENCES
    return ModelCardData(
        license=licence if known else "other",
        license_name=None if known else licence or "unknown",
        library_name="thermotorch",
        pipeline_tag=task,
        datasets=[dataset] if dataset else None,
        tags=["thermotorch", "thermodynamic-computing", card["architecture"]],
        model_name=card["name"] if results else None,
        eval_results=results or None,
    ).to_yaml()


def _words(card: Mapping, model: nn.Module, picture: str | None) -> str:
    kind, package = type(model), type(model).__module__.partition(".")[0]
    data = card["data"].get("name")
    about = [
        f"A `{kind.__name__}` of thermotorch, {card['parameters']:,} parameters"
        f"{f', trained on {data}' if data else ''}. {(inspect.getdoc(kind) or '').partition(chr(10) * 2)[0]}".strip(),
        card["notes"],
        f"![Samples of {card['name']}]({picture})" if picture else "",
    ]
    adds = f", and the package `{package}`, which adds `{card['architecture']}` to it"
    needs = adds if package != "thermotorch" else ""
    load = (
        f"## Use\n\nIt needs thermotorch{needs}.\n\n```python\nimport thermotorch as tt\n\n"
        'model = tt.create_model("hf://OWNER/REPOSITORY")  # or the path of this folder\n'
        f"{_USE.get(pipeline_tag(model) or '', '')}".rstrip()
        + "\n```\n\n`model.safetensors` is loaded only if its sha256 is that in `config.json`."
    )
    training = card["training"]
    origin = {
        "command": f"`{training['command']}`" if training.get("command") else "",
        "seed": training.get("seed"),
        "steps": training.get("steps"),
        "seconds": training.get("seconds"),
        "hardware": training.get("hardware"),
        "data": ", ".join(str(value) if key == "name" else f"{key} {value}" for key, value in card["data"].items()),
        "note": training.get("note"),
        "revision": card["git_revision"],
        "versions": ", ".join(f"{key} {value}" for key, value in card["versions"].items()),
    }
    how = [f"- {key}: {value}" for key, value in origin.items() if value not in (None, "")]
    parts = [f"# {card['name']}", *about, load, *_numbers(card), "## How it was made\n\n" + "\n".join(how)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _numbers(card: Mapping) -> list[str]:
    """Return a table of the measured rows, one of the modelled rows, and the unavailable ones."""
    titles = {"measured": "Measured", "modelled": "Modelled, for a device that was not at hand"}
    header, rows, parts = ["number", "value", "samples", "seed", "command", "note"], rows_of(card), []
    for kind, title in titles.items():
        cells = [
            [row.metric, with_unit(row), *((f"{row.num_samples:,}", str(row.seed)) if row.num_samples else ("", "")),
             f"`{row.command}`" if row.command else "", row.note]
            for row in rows if row.kind == kind
        ]  # fmt: skip
        parts += [f"## {title}\n\n" + table(header, cells, right=(2, 3))] if cells else []
    missing = "; ".join(f"{row.metric} ({row.note or 'no reason given'})" for row in rows if row.value is None)
    return [*parts, *([f"Not determined: {missing}."] if missing else [])]


def _metric_type(metric: str) -> str:
    """Return the Hub's identifier of a metric where it has one, else the name in small letters."""
    return "accuracy" if TEST_ACCURACY.matches(metric) else re.sub(r"[^a-z0-9]+", "-", metric.lower()).strip("-")
