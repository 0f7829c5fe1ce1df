"""Which checkpoint a training run continues from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from thermotorch.training.plain import plain_mapping

LAST = Path("checkpoints") / "last.ckpt"
MUST_AGREE = ("model", "data", "objective", "optimizer", "seed")


def last_checkpoint(run: Path, config: Mapping[str, Any]) -> Path:
    """Return the `last.ckpt` that `ckpt_path=last` means.

    That of the run folder itself when it holds one (a run continued in place); otherwise the newest among the runs of
    the same experiment, the siblings of `run`, whose model, data, objective, optimizer and seed are the same.

    Args:
        run: folder of the run about to start.
        config: its composed configuration, not resolved, as it is written to `.hydra/config.yaml`.

    Raises:
        FileNotFoundError: there is none; the message says where it was looked for and why runs were passed over.
    """
    if (run / LAST).is_file():
        return run / LAST
    passed_over = []
    for checkpoint in sorted(run.parent.glob(f"*/{LAST}"), key=lambda path: path.stat().st_mtime, reverse=True):
        earlier = checkpoint.parents[1]
        different = _differences(earlier / ".hydra" / "config.yaml", config)
        if not different:
            return checkpoint
        passed_over.append(f"{earlier.name} has another {', '.join(different)}")
    reasons = "; ".join(passed_over) or "no run there has one"
    raise FileNotFoundError(
        f"ckpt_path: no {LAST} to continue from in {run} or a run beside it ({reasons}); "
        f"give the path of a checkpoint, or start without ckpt_path"
    )


def local_checkpoint(path: str | Path) -> Path:
    """Return the absolute path of a checkpoint on this machine.

    Lightning would fetch an address, or ask a registry.

    Raises:
        FileNotFoundError: there is no such file (or folder, which some strategies write).
    """
    found = Path(path).expanduser().absolute()
    if "://" in str(path) or "::" in str(found) or not found.exists():
        raise FileNotFoundError(f"ckpt_path: expected `last` or a path on this machine, found {str(path)!r:.300}")
    return found


def _differences(path: Path, config: Mapping[str, Any]) -> list[str]:
    """Return the entries that decide what is trained and in which the configuration at `path` is not `config`."""
    earlier = plain_mapping(OmegaConf.load(path), path) if path.is_file() else {}
    return [key for key in MUST_AGREE if earlier.get(key) != config.get(key)]
