"""Composed configurations as plain Python values."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf


def plain_mapping(
    config: DictConfig | ListConfig, source: str | Path = "configuration", *, resolve: bool = False
) -> dict[str, Any]:
    """Return a configuration as a dict of plain values.

    Raises:
        ValueError: it is a list; the message names `source`.
    """
    plain = OmegaConf.to_container(config, resolve=resolve)
    if not isinstance(plain, dict):
        raise ValueError(f"{source}: expected a mapping, found a {type(plain).__name__}")
    return {str(key): value for key, value in plain.items()}
