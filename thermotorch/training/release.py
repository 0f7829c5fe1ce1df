"""From a training run to the zoo: weights, card, and the rows that an evaluation found."""

import json
import os
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import nn

from thermotorch.training.data import RECORDED
from thermotorch.training.resume import LAST
from thermotorch.zoo import create_model, save_checkpoint

RECORD = "training.json"


def release(run: str | os.PathLike, name: str, folder: str | os.PathLike, *, notes: str = "") -> tuple[Path, Path]:
    """Puts the model that a finished run trained into a zoo folder, and returns the paths of the weights and the card.

    The weights are those of `last.ckpt`, which holds the averaged ones where the run averaged. The card has no metrics
    yet: `thermotorch-evaluate` finds them and `record_rows` enters them.

    Args:
        run: folder of the run.
        name: `architecture.tag`.
        folder: where to write.
        notes: what a user of the weights must know.

    Raises:
        FileNotFoundError: the run has not finished; the message names the missing file.
        ValueError: the run trained another architecture than `name` begins with.
    """
    run = Path(run)
    for path in (run / LAST, run / RECORD):
        if not path.is_file():
            raise FileNotFoundError(f"run: {path} is missing, so this is no finished training run")
    config = OmegaConf.load(run / ".hydra" / "config.yaml")
    data = OmegaConf.to_container(config.data, resolve=True)
    steps = torch.load(run / LAST, map_location="cpu", weights_only=True)["global_step"]
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
    return save_checkpoint(trained_model(run / LAST), name, folder, fields)


def trained_model(checkpoint: str | os.PathLike) -> nn.Module:
    """The model inside a Lightning checkpoint of one of our modules; needs neither its configuration nor Lightning."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    spec = content["hyper_parameters"]["model"]
    model = create_model(spec["name"], **spec.get("config", {}))
    prefix = "model."
    model.load_state_dict(
        {key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)}
    )
    return model.eval()
