from dataclasses import replace

import pytest
import torch

import thermotorch as tt
from thermotorch.evaluation.speed import rivals
from thermotorch.evaluation.speed.benchmark import as_markdown, benchmark, save_figure
from thermotorch.evaluation.speed.rivals import Equation

SMALL = {"image_shape": [1, 4, 4], "hidden": 8, "t_final": 0.025}


@pytest.fixture(scope="module")
def result() -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rivals, "_compiled_step", lambda: rivals._plain_step)  # tested in test_rivals; compiling is slow
        return benchmark(batch_sizes=[1, 4], steps=20, repeats=3, model=SMALL)


def test_every_row_is_the_median_of_the_runs_it_lists(result):
    for row in result["rows"]:
        assert len(row["seconds"]) == 3
        assert row["median_seconds"] == sorted(row["seconds"])[1]
    for what in {row["what"] for row in result["rows"]}:
        first, *others = [row for row in result["rows"] if row["what"] == what]
        assert first["program"].startswith("eager torch")
        assert first["times_as_fast"] == 1.0
        for row in others:
            assert row["times_as_fast"] == pytest.approx(first["median_seconds"] / row["median_seconds"])


def test_every_case_has_ours_beside_eager_torch(result):
    assert [what.split()[0] for what in dict.fromkeys(row["what"] for row in result["rows"])] == [
        "24", "24", "layer", "training"]  # fmt: skip
    for what in {row["what"] for row in result["rows"]}:
        assert "thermotorch" in {row["program"] for row in result["rows"] if row["what"] == what}


def test_operations_are_counted_as_the_programs_do_them(result):
    """Eager torch multiplies with the whole matrix, ours with its blocks; a splitting step with the whole again."""
    batch_4 = [row for row in result["rows"] if row["what"].endswith("batch 4")]
    counted = {row["program"]: row["flops_per_second"] * row["median_seconds"] for row in batch_4}
    assert counted["eager torch loop"] == pytest.approx(2 * 24 * 24 * 4 * 20)
    assert counted["thermotorch"] == pytest.approx(2 * (2 * 16 * 8 + 8 * 8) * 4 * 20)
    assert counted["thermotorch, whole matrix"] == pytest.approx(counted["eager torch loop"])
    assert counted["eager torch loop, blocks"] == pytest.approx(counted["thermotorch"])
    assert counted["thermotorch, splitting, 20 x dt"] == pytest.approx(2 * 24 * 24 * 4 * 2)


def test_rivals_with_and_without_blocks_run_the_same_machine():
    couplings = tt.BlockCouplings({"a": 5, "b": 3}, [("a", "b"), ("b", "b")])
    for bonds in couplings.parameters():
        torch.nn.init.normal_(bonds)
    whole = Equation(couplings.matrix().detach(), torch.randn(8), 1.0, 0.5, 3, 0.01, 0.1)
    x = torch.randn(4, 8)
    torch.testing.assert_close(replace(whole, field=couplings.bind()).gradient(x), whole.gradient(x))


def test_the_table_and_the_figure_hold_every_row(result, tmp_path):
    text = as_markdown(result)
    assert result["hardware"] in text
    assert all(row["program"] in text for row in result["rows"])
    assert save_figure(result, tmp_path / "benchmark.png").stat().st_size > 1000
