"""Tensors in safetensors files, which are parsed only after a check of size and digest."""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from torch import Tensor

MAX_BYTES = 1 << 32  # largest file, since all of it is read into memory
MAX_HEADER = 1 << 22  # bytes of names and shapes


def packed(tensors: Mapping[str, Tensor], label: str) -> tuple[bytes, str]:
    """Return the bytes of a safetensors file, a function of the tensors alone, and their sha256.

    Args:
        tensors: tensors by name.
        label: name of the file in messages.

    Raises:
        ValueError: numbers that are not finite, or a file too large to load.
    """
    check_finite(tensors, label)
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    data = safetensors_save(plain, metadata={"format": "pt"})  # the Hub and its libraries require the framework
    _check_size(label, len(data), struct.unpack("<Q", data[:8])[0])
    return data, hashlib.sha256(data).hexdigest()


def read_tensors(path: Path, sha256: str, label: str = "") -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    Args:
        path: safetensors file.
        sha256: its digest, in hexadecimal digits.
        label: name of the file in messages; the path by default.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is too large, truncated or altered, and was not parsed; or it is no safetensors file, or
            holds numbers that are not finite.

    Cost: memory for two copies of the file.
    """
    label = label or str(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {label}: no such file")
    with path.open("rb") as file:
        size = path.stat().st_size
        start = file.read(8)
        header = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if size < 8 + header:
            raise ValueError(f"checkpoint {label} is truncated: {size} bytes of at least {8 + header}; fetch it again")
        _check_size(label, size, header)
        data = start + file.read(size - 8)
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        if len(data) < (expected := _expected_length(data, header)):
            raise ValueError(f"checkpoint {label} is truncated: {len(data)} bytes of {expected}; fetch it again")
        raise ValueError(f"checkpoint {label} was altered: its card says sha256 {sha256}, found {found}")
    try:
        tensors = safetensors_load(data)
    except Exception as error:  # the classes of its errors differ between versions
        raise ValueError(f"checkpoint {label} is no safetensors file of torch: {error}"[:500]) from error
    check_finite(tensors, label)
    return tensors


def check_finite(tensors: Mapping[str, Tensor], label: str) -> None:
    """Refuse tensors with a number that is not finite; the ValueError names the first of them."""
    for key, value in tensors.items():
        if not value.is_floating_point() or not value.numel():
            continue
        value = value.float() if value.element_size() == 1 else value  # float8 cannot be compared
        if not all(map(torch.isfinite, torch.aminmax(value))):  # NaN is both; 5 times as fast as isfinite of all
            raise ValueError(f"checkpoint {label}: tensor {key!r:.200} holds numbers that are not finite")


def _check_size(label: str, size: int, header: int) -> None:
    for what, found, limit in (("file", size, MAX_BYTES), ("header", header, MAX_HEADER)):
        if found > limit:
            raise ValueError(f"checkpoint {label}: expected a {what} of at most {limit} bytes, found {found}")


def _expected_length(data: bytes, header: int) -> int:
    """Return the length that the header of a damaged file announces, or 0 if the header is damaged too."""
    try:
        entries = json.loads(data[8 : 8 + header])
        ends = [entry["data_offsets"][1] for key, entry in entries.items() if key != "__metadata__"]
        return 8 + header + max(map(int, ends), default=0)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        return 0
