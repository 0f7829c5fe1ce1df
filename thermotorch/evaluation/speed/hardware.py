"""What a measurement ran on, in words."""

import os
import platform
from pathlib import Path

import torch
from torch import nn


def device_of(model: nn.Module) -> torch.device:
    """Where the weights of a model are; the processor for a model that has none."""
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def describe_hardware(device: str | torch.device = "cpu") -> str:
    """One line that belongs to every measured second and joule: processor, threads or GPU, and torch's version."""
    device = torch.device(device)
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} of {os.cpu_count()} threads, torch {torch.__version__}"


def named_device(name: str) -> str:
    """The device of a configuration: `auto` is the GPU when there is one, anything else is itself."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
