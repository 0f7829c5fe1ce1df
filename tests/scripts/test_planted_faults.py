"""The script that plants faults says what a test saw, and leaves its copy as it was."""

import sys
import types

import pytest

from scripts import planted_faults
from scripts.planted_faults import can_be_planted, planted, read_faults

FAULT = '[[fault]]\nfile = "scripts/sample.py"\nold = "sample_main()"\nnew = "pass"\ntests = ["tests"]\n'


def test_a_fault_has_four_entries(tmp_path):
    path = tmp_path / "faults.toml"
    path.write_text(FAULT)
    (fault,) = read_faults(path)
    assert can_be_planted(fault)
    assert not can_be_planted({**fault, "old": "no such text"}) and not can_be_planted({**fault, "file": "nowhere.py"})
    assert not can_be_planted({**fault, "old": "i"}), "it stands there more than once"
    path.write_text(FAULT + FAULT.replace("new", "newer"))
    with pytest.raises(
        ValueError, match=r"faults.toml: fault 1: expected file, old, new and tests, found \['file', 'newe"
    ):
        read_faults(path)


def test_a_fault_is_there_as_long_as_the_block_runs_even_if_it_fails(tmp_path):
    (tmp_path / "code.py").write_text("one = 1\n")
    with pytest.raises(KeyboardInterrupt), planted(tmp_path, {"file": "code.py", "old": "1", "new": "2"}):
        assert (tmp_path / "code.py").read_text() == "one = 2\n"
        raise KeyboardInterrupt
    assert (tmp_path / "code.py").read_text() == "one = 1\n"


def test_a_run_of_tests_is_passed_failed_or_no_run_of_them(tmp_path, monkeypatch):
    """The module that was tested is one of the copy; that of this process would be none."""
    (tmp_path / "test_it.py").write_text("def test_right():\n    pass\n\n\ndef test_wrong():\n    raise ValueError\n")
    (tmp_path / "test_none.py").write_text("")
    monkeypatch.setitem(sys.modules, "thermotorch", types.SimpleNamespace(__file__=str(tmp_path / "thermotorch.py")))
    assert planted_faults.tests_pass(tmp_path, ["test_it.py::test_right"])[0]
    passed, _ = planted_faults.tests_pass(tmp_path, ["test_it.py"])
    assert not passed
    for nothing in ("test_none.py", "test_nowhere.py"):
        with pytest.raises(ValueError, match=nothing):
            planted_faults.tests_pass(tmp_path, [nothing])
    monkeypatch.setitem(sys.modules, "thermotorch", types.SimpleNamespace(__file__="/elsewhere/thermotorch.py"))
    with pytest.raises(ValueError, match=r"test_it.py::test_right"):
        planted_faults.tests_pass(tmp_path, ["test_it.py::test_right"])
