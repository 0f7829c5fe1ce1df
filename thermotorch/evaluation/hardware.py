"""What a measurement ran on, in words."""

import os
import platform
from pathlib import Path

import torch


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
