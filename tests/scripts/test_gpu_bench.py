"""Verdicts and files of the measurements on a GPU, from made times."""

import json
from types import SimpleNamespace

import pytest

from scripts import gpu_bench
from scripts.gpu_bench import Bench, Row


@pytest.mark.parametrize(
    ("limits", "verdict"),
    [
        ({}, "measured"),
        ({"goal_ms": 2.0}, "goal met"),
        ({"goal_ms": 1.9}, "floor met"),
        ({"goal_ms": 1.9, "floor_ms": 2.0}, "floor met"),
        ({"goal_ms": 2.0, "floor_ms": 1.9}, "MISSED floor 1.9 ms"),
        ({"eager_ms": 8.0, "floor_ratio": 4.0}, "floor met"),
        ({"eager_ms": 8.0, "floor_ratio": 4.1}, "MISSED floor 4.1x eager"),
        ({"eager_ms": 8.0, "floor_ratio": 4.1, "floor_ms": 1.0}, "MISSED floor 1.0 ms and floor 4.1x eager"),
        ({"floor_ratio": 4.1}, "floor met"),
    ],
)
def test_a_verdict_is_that_of_the_goal_and_of_the_floors(limits, verdict):
    row = Row("a case", 2.0, 0.25, **limits)
    assert row.verdict() == verdict and "2.000 ms  +- 25%" in row.line() and verdict in row.line()
    assert row.ratio == (4.0 if "eager_ms" in limits else None)
    assert ("eager     8.000 ms      4.0x" in row.line()) == ("eager_ms" in limits)


def test_medians_leave_out_the_first_call_and_a_part_of_eager_counts_for_the_whole(tmp_path, monkeypatch, capsys):
    bench = Bench(tmp_path, dry=False)
    left = {"ours": iter([9.0, 4.0, 2.0, 6.0, 4.0]), "eager": iter([50.0, 3.0, 1.0, 2.0])}
    order = []
    monkeypatch.setattr(bench, "time", lambda program: order.append(program()) or next(left[order[-1]]))
    row = bench.measure("it", lambda: "ours", lambda: "eager", eager_scale=10.0, repeats=4, goal_ms=5.0)
    assert order == ["ours", "eager"] * 4 + ["ours"]
    assert (row.ms, row.spread, row.eager_ms, row.goal_ms) == (4.0, 1.0, 20.0, 5.0)
    assert row.notes == {"first call, ms": 9.0} and bench.rows == [row] and "goal met" in capsys.readouterr().out
    left["ours"] = iter([9.0, 4.0])
    bench.dry = True
    assert bench.measure("alone", lambda: "ours").eager_ms is None
    assert (bench.size(100, 3), Bench(tmp_path, dry=False).size(100, 3)) == (3, 100)
    assert (Bench(tmp_path, dry=True).device, Bench(tmp_path, dry=False).device) == ("cpu", "cuda")


def test_files_hold_every_row_and_every_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(gpu_bench.sys.modules, "triton", SimpleNamespace(__version__="9"))
    bench = Bench(tmp_path, dry=True)
    bench.rows = [
        Row("slow", 2.0, 0.0, floor_ms=1.0),
        Row("plain", 2.0, 0.0),
        Row("fast", 2.0, 0.0, 9.0, floor_ratio=3),
    ]

    def broken(_):
        raise ValueError("no")

    bench.attempt(broken)
    bench.attempt(lambda each: each.rows.pop(1))
    verdicts = bench.write()
    assert verdicts.splitlines() == ["MISSED floor 1.0 ms: slow", "floor met: fast", "FAILED broken: ValueError: no"]
    assert "FAILED broken: ValueError: no" in capsys.readouterr().out
    found = json.loads((tmp_path / "results.json").read_text())
    assert [(row["name"], row["ratio"], row["verdict"]) for row in found["rows"]] == [
        ("slow", None, "MISSED floor 1.0 ms"), ("fast", 4.5, "floor met")
    ]  # fmt: skip
    assert found["failures"] == ["broken: ValueError: no"] and found["machine"].startswith("dry run, torch ")
    text = (tmp_path / "report.txt").read_text()
    assert text.startswith(found["machine"]) and text.endswith(f"{verdicts}\n") and "slow" in text.split("\n\n")[1]


def test_a_call_is_timed_from_the_event_before_it_to_the_event_after_it(tmp_path, monkeypatch):
    clock = [0.0]

    class Event:
        def __init__(self, enable_timing) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at = clock[0]

        def elapsed_time(self, other) -> float:
            return other.at - self.at

    waited = []
    monkeypatch.setattr(gpu_bench.torch.cuda, "Event", Event)
    monkeypatch.setattr(gpu_bench.torch.cuda, "synchronize", lambda: waited.append(clock[0]))
    assert Bench(tmp_path, dry=False).time(lambda: clock.append(clock.pop() + 3.0)) == 3.0
    assert waited == [0.0, 3.0], "before the first event and after the last"
    assert 0 <= Bench(tmp_path, dry=True).time(lambda: None) < 1000 and len(waited) == 2
