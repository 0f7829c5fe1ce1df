import platform
import subprocess
import sys
from itertools import product

import pytest
import torch

import thermotorch as tt
from thermotorch.dynamics import fused
from thermotorch.dynamics.cpu import build
from thermotorch.dynamics.cpu import operators as cpu


@pytest.fixture
def no_library(monkeypatch, tmp_path):
    """Restore the state of a process that has not used the library yet, with an empty cache folder."""
    monkeypatch.setenv("THERMOTORCH_CACHE", str(tmp_path))
    for function in (build.compiler, build.library, cpu.library, cpu.unavailable):
        function.cache_clear()
    monkeypatch.setattr(fused, "_known", {})
    yield tmp_path
    for function in (build.compiler, build.library, cpu.library, cpu.unavailable):
        function.cache_clear()


def test_without_a_compiler_auto_falls_back_and_the_name_says_why(no_library, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    potential, arguments = tt.Potential(tt.DenseCouplings(3)), {"steps": 2, "dt": 0.01, "temperature": 0.1}
    with pytest.raises(
        ValueError, match="backend='cpu': no C\\+\\+ compiler found \\(CXX=no-such-compiler\\); install one"
    ):
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


def test_another_processor_gets_another_library(monkeypatch):
    if cpu.unavailable() is not None:
        pytest.skip(cpu.unavailable())
    name = build._fingerprint()
    monkeypatch.setattr(build, "_processor", lambda: "another")
    assert build._fingerprint() != name


def test_a_library_that_is_not_the_one_built_is_built_again(no_library, monkeypatch, capsys):
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-O0"))  # only that it loads matters, and it builds faster
    if cpu.unavailable() is not None:
        pytest.skip(cpu.unavailable())
    (path,) = (no_library / "native").glob("*.so")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    whole = path.read_bytes()
    for damage in ("truncated", "replaced", "without its digest"):
        path.unlink()  # this process has mapped the file: it stays as it is
        if damage == "without its digest":
            path.with_suffix(".sha256").unlink()
        path.write_bytes({"truncated": whole[: len(whole) // 2], "replaced": whole + b"x"}.get(damage, whole))
        capsys.readouterr()
        build.library.cache_clear()
        build.library()
        assert "compiling" in capsys.readouterr().err, damage
        assert build._is_whole(path)


def test_a_private_folder_is_used_again(no_library):
    assert build._private_folder() == build._private_folder() == no_library / "native"


@pytest.mark.parametrize("fault", ["others write it", "a link", "a file"])
def test_a_folder_that_others_could_write_is_not_used(fault, no_library, tmp_path_factory):
    folder = no_library / "native"
    if fault == "others write it":
        folder.mkdir()
        folder.chmod(0o777)
    elif fault == "a link":
        folder.symlink_to(tmp_path_factory.mktemp("elsewhere"))
    else:
        folder.write_text("")
    private = build._private_folder()
    assert private != folder
    assert private.stat().st_mode & 0o777 == 0o700


def test_a_user_without_a_home_has_a_cache_folder(monkeypatch):
    def no_home(*_):
        raise RuntimeError("Could not determine home directory.")

    for name in ("THERMOTORCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(build.Path, "home", no_home)
    assert build.cache_folder().name.startswith("thermotorch-")
    monkeypatch.setenv("THERMOTORCH_CACHE", "~no_such_user/x")
    with pytest.raises(
        ValueError, match="THERMOTORCH_CACHE: expected a path, found '~no_such_user/x', of no known user"
    ):
        build.cache_folder()


OTHER_PROCESSORS = {
    "x86-64": ("-march=x86-64",),
    "x86-64 with AVX2": ("-march=x86-64-v3",),
    "this one without its matrix unit": ("-march=native", "-mno-amx-tile", "-mno-amx-bf16"),
    "this one, if it did not add beside its multiply-adds": ("-march=native", *(f"-U__znver{i}__" for i in (3, 4, 5))),
    "this one, if it did": ("-march=native", "-D__znver4__=1"),
}


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of x86-64 processors")
@pytest.mark.parametrize("processor", OTHER_PROCESSORS)
def test_what_other_processors_would_compile_computes_the_same(processor, no_library, monkeypatch):
    """Runs and gradients in rows, and in lanes (64 samples), against the reference backend."""
    monkeypatch.setattr(build, "_target_flags", lambda: OTHER_PROCESSORS[processor])
    if cpu.unavailable() is not None:
        pytest.skip(cpu.unavailable())
    torch.manual_seed(0)
    # Rows of couplings are multiplied three at a time on some: 14 and 37 leave two and one over, 15 and 39 none.
    for batch, sizes in product((9, 64), ((23, 14), (24, 15))):
        couplings = tt.BlockCouplings(dict(zip("ab", sizes, strict=True)), [("a", "b"), ("b", "b")])
        potential = tt.Potential(couplings, 1.0, 0.1, 0.5, 0.3)
        for bonds in couplings.parameters():
            torch.nn.init.normal_(bonds, std=0.4)
        start = torch.randn(batch, sum(sizes))
        found = {}
        for backend in ("cpu", "reference"):
            x = start.clone().requires_grad_()
            path = tt.simulate(potential, x, steps=20, dt=0.01, temperature=0.3, seed=5, backend=backend)
            path.state.pow(3).sum().backward()
            found[backend] = [path.state.detach(), x.grad, *(bonds.grad for bonds in potential.couplings.parameters())]
            potential.zero_grad()
        for ours, expected in zip(*found.values(), strict=True):
            assert (ours - expected).norm() < 1e-5 * expected.norm()
        run = {"steps": 20, "dt": 0.01, "temperature": 0.3, "seed": 5, "backend": "cpu"}
        rounded = [tt.simulate(potential, start, precision=name, **run).state for name in ("ieee", "tf32", "bf16")]
        assert (rounded[2] - rounded[0]).norm() < 2**-8 * rounded[0].norm()
        if not cpu.library().thermotorch_has_matrix_unit():
            assert torch.equal(rounded[0], rounded[1])


@pytest.mark.slow
def test_two_processes_build_at_once_and_say_so_once_each(tmp_path):
    if cpu.unavailable() is not None:
        pytest.skip(cpu.unavailable())
    program = (
        "import thermotorch as tt, torch\n"
        "for _ in range(2): print(tt.simulate(tt.Potential(tt.DenseCouplings(3)), torch.zeros(2, 3), steps=2, dt=0.01, "
        "seed=0, temperature=0.1, backend='cpu').state.sum().item())"
    )
    environment = {"THERMOTORCH_CACHE": str(tmp_path), "PATH": subprocess.os.environ["PATH"]}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    outputs = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert len({line for out, _ in outputs for line in out.split()}) == 1
    assert all(err.count("compiling") <= 1 for _, err in outputs)
    left = sorted(path.suffix for path in (tmp_path / "native").iterdir())
    assert left == [".sha256", ".so"], "one library, nothing half made left behind"
    again = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "compiling" not in again.stderr
