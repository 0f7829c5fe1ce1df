"""Checkpoints of a training run on disk: written whole, checked before they are read, and found to continue from."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from omegaconf import OmegaConf

from thermotorch.files import replacing, user_path
from thermotorch.training.plain import plain_mapping

log = logging.getLogger(__name__)

LAST = Path("checkpoints") / "last.ckpt"
MUST_AGREE = ("model", "data", "objective", "optimizer", "seed")


class WholeCheckpoints(TorchCheckpointIO):
    """Write a checkpoint beside its destination and rename it, so that a kill leaves the earlier one whole.

    A full disk is an OSError that names the destination, and its space is free again when the error is reported.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        with replacing(Path(path)) as partial, partial.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # the archive's own, about its position, hides that of the system
                if isinstance(reason := error.__context__, OSError):
                    raise OSError(reason.errno, reason.strerror, str(path)) from error
                raise


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


def checkpoint_to_resume(wanted: str | None, run: Path, config: Mapping[str, Any]) -> Path | None:
    """Return the checkpoint that `ckpt_path` asks for, or None to start anew.

    Args:
        wanted: "last" (see `last_checkpoint`), "requeue" for that of the run folder if there is one, a path, or None.
            A damaged one is replaced by the newest readable one beside it, except where its path was given.
        run: folder of the run about to start.
        config: its composed configuration, not resolved.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: it is damaged, and no other one can be read.
    """
    if wanted is None or wanted == "requeue" and not (run / LAST).exists():
        return None
    if wanted not in ("last", "requeue"):
        given = local_checkpoint(wanted)
        if fault := fault_of(given):
            raise ValueError(f"ckpt_path: {given} is damaged ({fault})")
        log.info("continuing from %s", given)
        return given
    last = local_checkpoint(run / LAST if wanted == "requeue" else last_checkpoint(run, config))
    found, fault = readable_checkpoint(last)
    if fault:
        log.warning("%s is damaged (%s); continuing from the newest checkpoint beside it", last, fault)
    log.info("continuing from %s", found)
    return found


def keep_finished(resumed: Path, run: Path, updates: int) -> None:
    """Copy the checkpoint of a run that was over already into the folder of the run that found nothing left to do.

    Args:
        resumed: checkpoint that the run continued from; a folder, as some strategies write, is not copied.
        run: folder of the run.
        updates: number of updates at its end, those before `resumed` included.
    """
    if (run / LAST).exists() or not resumed.is_file():
        return
    if torch.load(resumed, map_location="meta", weights_only=True).get("global_step") != updates:
        return
    log.warning("nothing was left to train after the %d updates of %s, which is copied to this run", updates, resumed)
    with replacing(run / LAST) as copy:
        shutil.copyfile(resumed, copy)


def last_checkpoint(run: Path, config: Mapping[str, Any]) -> Path:
    """Return the `last.ckpt` that `ckpt_path=last` means.

    It is the one in the run folder if there is one, to continue a run in place. Otherwise it is the newest among the
    siblings of `run`, the runs of the same experiment, with the same model, data, objective, optimizer and seed.

    Args:
        run: folder of the run about to start.
        config: its composed configuration, not resolved, as in `.hydra/config.yaml`.

    Raises:
        FileNotFoundError: no such checkpoint; the message names the folder and the reasons for skipping runs.
    """
    if (run / LAST).exists():
        return run / LAST
    skipped = []
    for checkpoint in sorted(run.parent.glob(f"*/{LAST}"), key=lambda path: path.stat().st_mtime, reverse=True):
        earlier = checkpoint.parents[1]
        different = _differences(earlier / ".hydra" / "config.yaml", config)
        if not different:
            return checkpoint
        skipped.append(f"{earlier.name} has another {', '.join(different)}")
    reasons = "; ".join(skipped) or "no run there has one"
    raise FileNotFoundError(
        f"ckpt_path: no {LAST} to continue from in {run} or a run beside it ({reasons}); "
        f"give the path of a checkpoint, or start without ckpt_path"
    )


def local_checkpoint(path: str | Path) -> Path:
    """Return the absolute path of a checkpoint on this machine. Lightning itself would download from an address.

    Raises:
        FileNotFoundError: no such file (or folder, which some strategies write).
        ValueError: a path that begins with the home of a user who does not exist.
    """
    absolute = user_path("ckpt_path", path).absolute()
    if "://" in str(path) or "::" in str(absolute) or not absolute.exists():
        raise FileNotFoundError(f"ckpt_path: expected `last` or a path on this machine, found {str(path)!r:.300}")
    return absolute


def _differences(path: Path, config: Mapping[str, Any]) -> list[str]:
    """Return the entries of `MUST_AGREE` in which the configuration at `path` differs from `config`."""
    earlier = plain_mapping(OmegaConf.load(path), path) if path.is_file() else {}
    return [key for key in MUST_AGREE if earlier.get(key) != config.get(key)]
