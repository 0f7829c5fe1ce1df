"""From a training run to the zoo, and on to the Hugging Face Hub: weights, card, and the rows of an evaluation.

python -m thermotorch.training.release outputs/train/ddpm_mnist/RUN ddpm.mine --folder zoo
thermotorch-evaluate model=zoo/ddpm.mine.safetensors protocol=full
python -m thermotorch.training.release --record outputs/evaluate/RUN/evaluation.json ddpm.mine --folder zoo
python -m thermotorch.training.release --die '' generator.mnist_conditional generator.mnist --folder zoo
python -m thermotorch.training.release zoo/ddpm.mine.safetensors --hub upload
hf upload OWNER/REPOSITORY upload
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

from thermotorch.evaluation.report.hub_folder import export_folder
from thermotorch.models.generator.chain import ThermodynamicChain
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.training.checkpoint_files import LAST, fault_of
from thermotorch.training.data import RECORDED
from thermotorch.training.module import of_kind
from thermotorch.training.plain import plain_mapping
from thermotorch.zoo import create_model, load_card, load_checkpoint, record_rows, save_checkpoint

RECORD = "training.json"


def release(
    run: str | os.PathLike,
    name: str,
    folder: str | os.PathLike,
    *,
    notes: str = "",
    store: torch.dtype | None = None,
    parts: Sequence[str | os.PathLike] = (),
) -> tuple[Path, Path]:
    """Write the model of a finished training run into a zoo folder, and return the paths of the weights and the card.

    The weights are those of `last.ckpt`: the averaged ones if the run averaged. The card has no metrics yet:
    `thermotorch-evaluate` measures them and `record_rows` enters them.

    Args:
        run: folder of the run.
        name: `architecture.tag`.
        folder: destination.
        notes: remarks for users of the weights.
        store: dtype of matrices in the file, see `save_checkpoint`.
        parts: folders of runs that trained other stages of the same chain, which replace those of `run`.

    Raises:
        FileNotFoundError: the run has not finished; the message names the missing file.
        ValueError: an architecture other than that of `name`.
    """
    run = Path(run)
    for path in (run / LAST, run / RECORD):
        if not path.is_file():
            raise FileNotFoundError(f"run: expected a finished training run, but {path} is missing")
    settings = run / ".hydra" / "config.yaml"
    config = OmegaConf.load(settings)
    data = plain_mapping(config.data, settings, resolve=True)
    steps = _content(run / LAST)["global_step"]
    fields = {
        "data": {
            "name": data["_target_"].rpartition(".")[2].removesuffix("Data"),
            "images": f"float [batch, {', '.join(map(str, config.image_shape))}] in [0, 1]",
            **{key: data[key] for key in RECORDED if key in data},
        },
        "metrics": [],
        "energy": [],
        "training": json.loads((run / RECORD).read_text(encoding="utf-8")) | {"steps": steps},
        "licence": "Apache-2.0",
        "notes": notes,
    }
    model = trained_model(run / LAST)
    for part in map(Path, parts):
        stages = OmegaConf.load(part / ".hydra" / "config.yaml").objective.stages
        chain = of_kind("name", name, model, ThermodynamicChain)
        trained = of_kind("parts", str(part), trained_model(part / LAST), ThermodynamicChain)
        for number in stages:
            chain.stages[number].load_state_dict(trained.stages[number].state_dict())
    return save_checkpoint(model, name, folder, fields, store=store)


def release_with_die(
    source: str | os.PathLike,
    name: str,
    folder: str | os.PathLike,
    die: Mapping[str, float],
    *,
    notes: str = "",
    store: torch.dtype | None = None,
) -> tuple[Path, Path]:
    """Write a machine or chain of the zoo, with a die in the place of its held labels, as a checkpoint of its own.

    The card has the training of the source and no metrics yet.

    Args:
        source: checkpoint, by name or path.
        die: arguments of `with_die`.
        name, folder, notes, store: as in `release`.

    Raises:
        TypeError: a checkpoint of another model.
    """
    model = load_checkpoint(source)
    if not isinstance(model, ThermodynamicGenerator | ThermodynamicChain):
        raise TypeError(
            f"source: expected a thermodynamic generator or chain, found {source}, a {type(model).__name__}"
        )
    card = load_card(source)
    fields = {key: card[key] for key in ("data", "training", "licence")}
    return save_checkpoint(
        model.with_die(**die), name, folder, fields | {"metrics": [], "energy": [], "notes": notes}, store=store
    )


def trained_model(checkpoint: str | os.PathLike) -> nn.Module:
    """Return the model in a Lightning checkpoint of one of our modules, without its configuration or Lightning.

    Raises:
        ValueError: the file is damaged, or holds no such model.
    """
    content, prefix = _content(checkpoint), "model."
    try:
        spec = content["hyper_parameters"]["model"]
        model = create_model(spec["name"], **spec.get("config", {}))
        model.load_state_dict(
            {key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)}
        )
    except Exception as error:  # any exception of a constructor with a damaged entry
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"checkpoint {checkpoint} holds no model of a training ({reason:.300})") from error
    return model.eval()


def _content(checkpoint: str | os.PathLike) -> dict[str, Any]:
    """Return what a Lightning checkpoint holds; a ValueError names one that is damaged."""
    if fault := fault_of(Path(checkpoint)):
        raise ValueError(f"checkpoint {checkpoint} is damaged ({fault})")
    content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return content


def main(folder: str | os.PathLike | None = None) -> None:
    """Run the command line above; `folder` is the default of `--folder`, $THERMOTORCH_HOME for None."""
    folder = folder or os.environ.get("THERMOTORCH_HOME")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = "folder of a finished training run; with --record an evaluation.json"
    parser.add_argument("source", type=Path, nargs="?", help=source)
    parser.add_argument("name", help="architecture.tag, such as ddpm.mnist; with --hub alone any checkpoint")
    parser.add_argument("--record", action="store_true", help="enter the rows of an evaluation into an existing card")
    parser.add_argument(
        "--die", metavar="SETTINGS", help="give a die to a checkpoint, the source: amplitude=12,threshold=4.85 or ''"
    )
    parser.add_argument("--folder", type=Path, default=folder, help="zoo folder (default: %(default)s)")
    parser.add_argument("--notes", default="", help="remarks for users of the weights")
    parser.add_argument("--store", choices=["bfloat16"], help="round matrices to this dtype in the file")
    parser.add_argument(
        "--part", type=Path, action="append", default=[], help="run that trained other stages of a chain"
    )
    parser.add_argument("--hub", type=Path, metavar="FOLDER", help="also write the checkpoint in the form of the Hub")
    parser.add_argument("--picture", type=Path, help="an image of samples to show on the Hub")
    given = parser.parse_intermixed_args()
    checkpoint = given.name
    if given.source is None and (given.hub is None or given.record):
        parser.error("source: expected the folder of a run, or --hub FOLDER to write a checkpoint that exists")
    if given.source is not None:
        if given.folder is None:
            parser.error("--folder: expected the zoo folder, or set THERMOTORCH_HOME")
        checkpoint = Path(given.folder, f"{given.name}.safetensors")
        if given.record:
            results = json.loads(given.source.read_text(encoding="utf-8"))
            print(record_rows(checkpoint, metrics=results["metrics"], energy=results["energy"]))
        else:
            store = getattr(torch, given.store) if given.store else None
            how: dict[str, Any] = {"notes": given.notes, "store": store}
            if given.die is not None:
                die = plain_mapping(OmegaConf.from_dotlist(given.die.split(",") if given.die else []), "--die")
                paths = release_with_die(str(given.source), given.name, given.folder, die, **how)
            else:
                paths = release(given.source, given.name, given.folder, parts=given.part, **how)
            print(*paths, sep="\n")
    if given.hub is not None:
        print(*export_folder(checkpoint, given.hub, picture=given.picture), sep="\n")


if __name__ == "__main__":
    main()
