"""A checkpoint as a folder that uploads to the Hugging Face Hub as it is, and loads back from there or from disk."""

import os
from pathlib import Path

from thermotorch.evaluation.report.hub_card import hub_card
from thermotorch.files import locked, write_file
from thermotorch.zoo import load_card, load_checkpoint, load_reference
from thermotorch.zoo.cards import check_card
from thermotorch.zoo.checkpoints import enter
from thermotorch.zoo.lookup import FOLDER_CARD, FOLDER_WEIGHTS
from thermotorch.zoo.tensor_files import packed

REFERENCE, PICTURE = "reference.safetensors", "samples"


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
