"""Buffers that follow from a module's configuration: not saved, and made again when weights are loaded."""

from typing import Any

import torch
from torch import Tensor, nn


class DerivedBuffers(nn.Module):
    """A module whose unsaved buffers are functions of its configuration.

    So they are right after `to_empty` and `load_state_dict`, too, as torch's way of building a large model on the meta
    device wants it.
    """

    def derived_buffers(self) -> dict[str, Tensor]:
        """Return the buffers by name, on the CPU."""
        return {}

    def register_derived_buffers(self) -> None:
        """Register them, on torch's default device."""
        device = torch.empty(0).device
        with torch.device("cpu"):
            found = self.derived_buffers()
        for name, tensor in found.items():
            self.register_buffer(name, tensor.to(device), persistent=False)

    @torch.no_grad()
    def _load_from_state_dict(self, state_dict: dict[str, Tensor], *arguments: Any) -> None:
        super()._load_from_state_dict(state_dict, *arguments)
        with torch.device("cpu"):
            found = self.derived_buffers()
        for name, tensor in found.items():
            buffer = getattr(self, name)
            if buffer.is_meta:  # a load that assigns: the buffer goes where the weights are
                setattr(self, name, tensor.to(next(iter(state_dict.values()), tensor).device, buffer.dtype))
            else:
                buffer.copy_(tensor)
