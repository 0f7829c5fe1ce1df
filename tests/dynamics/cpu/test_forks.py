"""Fewer threads than were asked for: in a forked child, and where the system grants no more."""

import os
import subprocess
import sys

import pytest

from thermotorch.dynamics import fused

PROGRAM = """
import multiprocessing, torch, thermotorch as tt

torch.set_num_threads(2)
potential, state = tt.Potential(tt.DenseCouplings(300)), torch.zeros(64, 300)

def run(backend):
    with torch.no_grad():
        end = tt.simulate(potential, state, steps=20, dt=1e-3, temperature=0.1, seed=0, backend=backend).state
    return end.double().sum().item(), torch.get_num_threads()

def child(queue):
    queue.put([run("cpu"), run("reference")])

if __name__ == "__main__":
    here, fork = run("cpu"), multiprocessing.get_context("fork")
    queue = fork.Queue()
    process = fork.Process(target=child, args=(queue,), daemon=True)
    process.start()
    try:
        there = queue.get(timeout=30)
        assert there[0] == (here[0], 1) and abs(there[1][0] - here[0]) < 1e-2 and torch.get_num_threads() == 2, there
        print("the same")
    finally:
        process.kill()
"""


SHARES = """
import torch, thermotorch as tt

potential, state = tt.Potential(tt.DenseCouplings(40)), torch.zeros(200, 40)
ends = []
for threads in (1, 4):
    torch.set_num_threads(threads)
    with torch.no_grad():
        ends.append(tt.simulate(potential, state, steps=20, dt=1e-3, temperature=0.1, seed=0, backend="cpu").state)
assert torch.get_num_threads() == 4 and torch.equal(*ends) and ends[1].ne(0).all()
print("the same")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fork")
@pytest.mark.skipif(fused._backend("cpu")[0] is not None, reason="no C++ compiler")
def test_a_forked_child_goes_on_with_one_thread():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "the same", done.stderr


@pytest.mark.skipif(fused._backend("cpu")[0] is not None, reason="no C++ compiler")
def test_threads_that_are_not_granted_leave_their_share_to_the_others():
    granted = {**os.environ, "OMP_THREAD_LIMIT": "2"}
    done = subprocess.run(
        [sys.executable, "-c", SHARES], capture_output=True, text=True, check=False, timeout=120, env=granted
    )
    assert done.stdout.strip() == "the same", done.stderr
