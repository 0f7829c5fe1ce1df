import re
from pathlib import Path

import pytest
import torch
from torch import nn

from thermotorch.evaluation.speed.hardware import describe_hardware, device_of, named_device


def test_hardware_is_one_line_with_what_decides_the_speed():
    line = describe_hardware()
    assert "\n" not in line and not line.startswith(",")
    assert f"{torch.get_num_threads()} of " in line and f"torch {torch.__version__}" in line


def test_the_processor_is_named_as_the_system_names_it():
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.+?)\s*$", cpuinfo.read_text() if cpuinfo.is_file() else "", re.MULTILINE)
    if not names:
        pytest.skip("a system that does not tell")
    assert describe_hardware().startswith(f"{names[0]}, ")


def test_auto_is_the_gpu_when_there_is_one():
    assert named_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert named_device("cuda:1") == "cuda:1"


def test_a_model_is_where_its_tensors_are_and_without_any_on_the_processor():
    fixed = nn.BatchNorm1d(2, affine=False, device="meta")  # buffers alone
    assert device_of(nn.Linear(1, 1, device="meta")) == device_of(fixed) == torch.device("meta")
    assert device_of(nn.Identity()) == torch.device("cpu")
