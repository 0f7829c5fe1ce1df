"""The checkpoint from which a training run continues."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from thermotorch.training.plain import plain_mapping

LAST = Path("checkpoints") / "last.ckpt"
MUST_AGREE = ("model", "data", "objective", "optimizer", "seed")


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
    if (run / LAST).is_file():
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
    """
    absolute = Path(path).expanduser().absolute()
    if "://" in str(path) or "::" in str(absolute) or not absolute.exists():
        raise FileNotFoundError(f"ckpt_path: expected `last` or a path on this machine, found {str(path)!r:.300}")
    return absolute


def _differences(path: Path, config: Mapping[str, Any]) -> list[str]:
    """Return the entries of `MUST_AGREE` in which the configuration at `path` differs from `config`."""
    earlier = plain_mapping(OmegaConf.load(path), path) if path.is_file() else {}
    return [key for key in MUST_AGREE if earlier.get(key) != config.get(key)]
