import subprocess
import sys

import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics import build, cpu, fused


@pytest.fixture
def no_library(monkeypatch, tmp_path):
    """As in a process that has not asked for the library yet, with an empty cache folder."""
    monkeypatch.setenv("THERMOTORCH_CACHE", str(tmp_path))
    for function in (build.compiler, build.library, cpu.unavailable):
        function.cache_clear()
    monkeypatch.setattr(fused, "_known", {})
    yield tmp_path
    for function in (build.compiler, build.library, cpu.unavailable):
        function.cache_clear()


def test_without_a_compiler_auto_falls_back_and_the_name_says_why(no_library, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    potential, arguments = tt.Potential(tt.DenseCouplings(3)), {"steps": 2, "dt": 0.01, "temperature": 0.1}
    with pytest.raises(ValueError, match="backend='cpu': no C\\+\\+ compiler found \\(CXX=no-such-compiler\\); install one"):
        tt.simulate(potential, torch.zeros(2, 3), backend="cpu", **arguments)
    tt.simulate(potential, torch.zeros(2, 3), **arguments)


def test_a_compiler_that_fails_is_quoted(no_library, monkeypatch):
    monkeypatch.setenv("CXX", "false")
    assert "false -std=c++17" in cpu.unavailable()


def test_the_library_is_named_by_what_it_is_made_of(monkeypatch):
    if cpu.unavailable() is not None:
        pytest.skip(cpu.unavailable())
    name = build._fingerprint()
    assert build._fingerprint() == name
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-g"))
    assert build._fingerprint() != name


@pytest.mark.slow
def test_two_processes_build_at_once_and_say_so_once_each(tmp_path):
    if cpu.unavailable() is not None:
        pytest.skip(cpu.unavailable())
    program = (
        "import thermotorch as tt, torch\n"
        "for _ in range(2): print(tt.simulate(tt.Potential(tt.DenseCouplings(3)), torch.zeros(2, 3), steps=2, dt=0.01, "
        "temperature=0.1, backend='cpu').state.sum().item())"
    )
    environment = {"THERMOTORCH_CACHE": str(tmp_path), "PATH": subprocess.os.environ["PATH"]}
    runs = [subprocess.Popen([sys.executable, "-c", program], env=environment, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE) for _ in range(2)]
    outputs = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert len({line for out, _ in outputs for line in out.split()}) == 1
    assert all(err.count("compiling") <= 1 for _, err in outputs)
    assert len(list(tmp_path.iterdir())) == 1, "one library, nothing half made left behind"
    again = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "compiling" not in again.stderr
