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
    """Return the reason why a checkpoint cannot be read, None if it can; folders of some strategies are not opened.

    Cost: reading the index of the file, without its tensors.
    """
    if checkpoint.is_dir():
        return None if any(checkpoint.iterdir()) else "an empty folder"
    try:
        content = torch.load(checkpoint, map_location="meta", weights_only=True)
    except Exception as error:  # torch passes on any exception of its parsers
        return f"{type(error).__name__}: {str(error).splitlines()[0]:.100}" if str(error) else type(error).__name__
    return None if isinstance(content, dict) and "state_dict" in content else "no checkpoint of Lightning"


def readable_checkpoint(checkpoint: Path) -> tuple[Path, str | None]:
    """Return a checkpoint and None, or if it is damaged the newest readable one beside it and the damage.

    Raises:
        ValueError: this checkpoint and all others are damaged.
    """
    fault = fault_of(checkpoint)
    if fault is None:
        return checkpoint, None
    others = (path for path in checkpoint.parent.glob("*.ckpt") if path != checkpoint)
    for other in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
        if fault_of(other) is None:
            return other, fault
    raise ValueError(f"ckpt_path: {checkpoint} is damaged ({fault}), and no other checkpoint beside it can be read")
