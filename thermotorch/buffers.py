"""Buffers that follow from a module's configuration: not saved, and computed again when weights are loaded."""

from typing import Any

import torch
from torch import Tensor, nn


class DerivedBuffers(nn.Module):
    """A module whose unsaved buffers are functions of its configuration.

    They are therefore right after `to_empty` and `load_state_dict` too, with which torch builds large models from the
    meta device.
    """

    def derived_buffers(self) -> dict[str, Tensor]:
        """Return the buffers by name, on the CPU."""
        return {}

    def register_derived_buffers(self) -> None:
        """Register the buffers on torch's default device."""
        device = torch.empty(0).device
        with torch.device("cpu"):
            buffers = self.derived_buffers()
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor.to(device), persistent=False)

    @torch.no_grad()
    def _load_from_state_dict(self, state_dict: dict[str, Tensor], *arguments: Any) -> None:
        super()._load_from_state_dict(state_dict, *arguments)
        with torch.device("cpu"):
            buffers = self.derived_buffers()
        for name, tensor in buffers.items():
            buffer = getattr(self, name)
            if buffer.is_meta:  # load_state_dict(assign=True): the buffer follows the weights
                setattr(self, name, tensor.to(next(iter(state_dict.values()), tensor).device, buffer.dtype))
            else:
                buffer.copy_(tensor)
