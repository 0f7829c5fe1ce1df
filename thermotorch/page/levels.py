"""Numbers of a few bits as text: scale x level, bytes in base64 or, at six bits and fewer, a character a level."""

import base64
import string
from typing import Any

import torch
from torch import Tensor

from thermotorch.models.imperfections import quantised

# Character k is level k - 31: one of base64's 64 for each level, so that a server's compression finds them.
CHARACTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+"


def written(values: Tensor, bits: int) -> dict[str, Any]:
    """Return `quantised(values, bits)` as {"scale", "levels"}, the levels row by row.

    Args:
        values: couplings or biases of any shape.
        bits: 2 to 8.
    """
    values = quantised(values.detach().float().cpu(), bits)
    scale = values.abs().amax().item() / (2 ** (bits - 1) - 1) if values.numel() else 0.0
    levels = (values / scale).round().to(torch.int8) if scale else torch.zeros_like(values, dtype=torch.int8)
    if bits > 6:
        return {"scale": scale, "levels": base64.b64encode(levels.contiguous().numpy().tobytes()).decode()}
    places = (levels + 31).to(torch.uint8).contiguous().numpy().tobytes()
    return {"scale": scale, "levels": places.translate(bytes(CHARACTERS, "ascii").ljust(256, b"?")).decode("ascii")}
