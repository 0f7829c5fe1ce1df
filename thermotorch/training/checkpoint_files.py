"""Checkpoints of a training run on disk: written whole or not at all, and checked before they are read."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from thermotorch.files import replacing


class WholeCheckpoints(TorchCheckpointIO):
    """Write a checkpoint beside its destination and rename it, so that a kill leaves the earlier one whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(Path(path)) as partial:
            torch.save(checkpoint, partial)


def fault_of(checkpoint: Path) -> str | None:
    """Return why a checkpoint cannot be read, or None if it can; a folder, as some strategies write, is not opened.

    Cost: the file's index; tensors are not read.
    """
    if checkpoint.is_dir():
        return None
    try:
        found = torch.load(checkpoint, map_location="meta", weights_only=True)
    except Exception as error:  # torch raises whatever its parsers meet
        return f"{type(error).__name__}: {str(error).splitlines()[0]:.100}" if str(error) else type(error).__name__
    return None if isinstance(found, dict) and "state_dict" in found else "no checkpoint of Lightning"


def readable_checkpoint(checkpoint: Path) -> tuple[Path, str | None]:
    """Return a checkpoint, or the newest readable one beside it if it is damaged, with what is wrong with it.

    Raises:
        ValueError: it is damaged, and so are all others.
    """
    fault = fault_of(checkpoint)
    if fault is None:
        return checkpoint, None
    others = (path for path in checkpoint.parent.glob("*.ckpt") if path != checkpoint)
    for other in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
        if fault_of(other) is None:
            return other, fault
    raise ValueError(f"ckpt_path: {checkpoint} is damaged ({fault}), and no other checkpoint beside it can be read")
