import json
import subprocess
import sys

import pytest
import torch

from thermotorch.evaluation.speed.memory import ON_CPU, PeakMemory

# In a process of its own: where earlier tests have left holes in the heap, malloc serves the blocks from them and keeps
# them resident.
ONE_AFTER_THE_OTHER = """
import dataclasses, json, torch
from thermotorch.evaluation.speed.memory import PeakMemory
with PeakMemory() as memory:
    for _ in range(4):  # 64 MiB at once
        torch.ones(16, 2**20)
print(json.dumps(dataclasses.asdict(memory.row(10, 3, "here"))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_what_was_in_use_at_once():
    done = subprocess.run([sys.executable, "-c", ONE_AFTER_THE_OTHER], capture_output=True, text=True, check=True)
    row = json.loads(done.stdout)
    if row["kind"] == "unavailable":
        pytest.skip(row["note"])
    assert (row["metric"], row["unit"], row["kind"], row["command"]) == (ON_CPU, "MiB", "measured", "here")
    assert 60 <= row["value"] <= 100


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_before_the_block_does_not_count():
    torch.ones(64, 2**20)
    with PeakMemory() as memory:
        pass
    row = memory.row(1, 0)
    assert row.kind == "unavailable" or row.value < 10


def test_a_system_that_does_not_say_is_unavailable(tmp_path):
    with PeakMemory(process=tmp_path / "nothing") as memory:
        pass
    row = memory.row(1, 0)
    assert row.kind == "unavailable" and "does not say" in row.note


def test_it_reads_the_growth_of_the_peak(tmp_path):
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t 9999 kB\nVmRSS:\t 1024 kB\n")
    with PeakMemory(process=tmp_path) as memory:
        assert (tmp_path / "clear_refs").read_text() == "5"
        (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t 4096 kB\nVmRSS:\t 2048 kB\n")
    assert memory.row(1, 0).value == 3.0
