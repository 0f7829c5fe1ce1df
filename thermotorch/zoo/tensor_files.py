"""Tensors in safetensors files: written whole, read only after their length and digest have been checked."""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import Tensor

from thermotorch.files import write_file


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Writes tensors by name and returns the sha256 of the file, a function of the tensors alone."""
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    data = safetensors_save(plain, metadata={"format": "pt"})  # the Hub and its libraries ask for the framework
    write_file(path, data)
    return hashlib.sha256(data).hexdigest()


def read_tensors(path: Path, sha256: str, label: str = "") -> dict[str, Tensor]:
    """The tensors of a file, once its length and its digest have been checked; errors call it `label`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is truncated or altered; nothing has been parsed.
    """
    label = label or str(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {label}: no such file")
    data = path.read_bytes()
    if (expected := _expected_length(data)) is None or len(data) < expected:
        raise ValueError(
            f"checkpoint {label} is truncated: {len(data)} bytes of {expected or 'an unreadable header'}; "
            f"fetch it again"
        )
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ValueError(f"checkpoint {label} was altered: its card says sha256 {sha256}, found {found}")
    return safetensors_load(data)


def _expected_length(data: bytes) -> int | None:
    """The length that a safetensors file announces (8 bytes, header, tensors); None if the header is cut off."""
    if len(data) < 8 or len(data) < 8 + (header := struct.unpack("<Q", data[:8])[0]):
        return None
    try:
        entries = json.loads(data[8 : 8 + header])
    except ValueError:
        return None
    ends = [entry["data_offsets"][1] for key, entry in entries.items() if key != "__metadata__"]
    return 8 + header + max(ends, default=0)
