"""Descriptions of the hardware of a measurement."""

import os
import platform
from pathlib import Path

import torch
from torch import nn


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the weights of a model; the processor for a model without weights."""
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def describe_hardware(device: str | torch.device = "cpu") -> str:
    """Describe processor and threads, or GPU, and torch's version, in one line."""
    device = torch.device(device)
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} of {os.cpu_count()} threads, torch {torch.__version__}"


def named_device(name: str) -> str:
    """Return the device of a configuration, where `auto` is the GPU if there is one."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
