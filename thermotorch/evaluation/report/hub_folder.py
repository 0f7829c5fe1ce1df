"""A checkpoint as a folder that uploads to the Hugging Face Hub as it is, and loads back from there or from disk.

Its README.md is the card of the Hub: metadata for the search there, then our card as text.
"""

import inspect
import os
import re
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from thermotorch.evaluation.metrics import TEST_ACCURACY
from thermotorch.evaluation.report.markdown import table, with_unit
from thermotorch.files import locked, write_file
from thermotorch.models.protocol import Judge, task_of
from thermotorch.zoo import load_card, load_checkpoint, load_reference
from thermotorch.zoo.cards import check_card
from thermotorch.zoo.checkpoints import enter
from thermotorch.zoo.lookup import FOLDER_CARD, FOLDER_WEIGHTS
from thermotorch.zoo.rows import rows_of
from thermotorch.zoo.tensor_files import packed

REFERENCE, PICTURE = "reference.safetensors", "samples"
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


def export_folder(
    name: str | os.PathLike, folder: str | os.PathLike, *, picture: str | os.PathLike | None = None
) -> list[Path]:
    """Write a checkpoint in the form of the Hub; `tt.create_model(folder)` loads it.

    | file | what is in it |
    | --- | --- |
    | `README.md` | the card of the Hub, see `hub_card` |
    | `config.json` | our card: `architecture`, `config` (the constructor arguments), `sha256` and all the rest |
    | `model.safetensors` | the weights, with the metadata `format: pt` |
    | `reference.safetensors` | reference statistics, if the checkpoint has any |

    The checkpoint is loaded first, so nothing is written of one that is damaged. Other files of the folder stay.

    Args:
        name: name of the checkpoint, as in `load_checkpoint`.
        folder: destination, created if missing.
        picture: image file to copy and to display in `README.md`, such as `samples.png` of `thermotorch-sample`.

    Returns:
        The paths written.

    Raises:
        ValueError, FileNotFoundError: as `load_checkpoint`; or there is no such picture.
    """
    card, model = load_card(name), load_checkpoint(name)
    check_card(card)
    if picture is not None and not Path(picture).is_file():
        raise FileNotFoundError(f"picture: {picture} is no file")
    folder = Path(folder)
    readme, config, weights = (folder / file for file in ("README.md", FOLDER_CARD, FOLDER_WEIGHTS))
    written = [readme, config, weights]
    files = {weights: packed(model.state_dict(), str(weights))}
    fields = {**card, "sha256": files[weights][1]}
    if "reference" in card:
        written.append(folder / REFERENCE)
        files[folder / REFERENCE] = packed(load_reference(name), str(folder / REFERENCE))
        fields["reference"] = {"file": REFERENCE, "sha256": files[folder / REFERENCE][1]}
    if picture is not None:
        written.append(folder / f"{PICTURE}{Path(picture).suffix}")
        write_file(written[-1], Path(picture).read_bytes())
    with locked(folder):
        enter(files, config, fields)
    write_file(readme, hub_card(fields, model, written[-1].name if picture is not None else None))
    return written


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
