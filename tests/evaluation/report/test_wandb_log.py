import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.evaluation.stand_ins import CLASSES, SIDE, feature_space
from thermotorch.evaluation.energy.ledger import Ledger, LedgerLine
from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.report.wandb_log import LEDGER, ROWS, WandbLog, ledger_cells, row_cells
from thermotorch.evaluation.results import Comparison, CurvePoint, ModelResult
from thermotorch.zoo.rows import Row

FRAMES, LABEL = 5, "ddpm.mnist, ddim 50"


@pytest.fixture(autouse=True)
def forgetful_wandb():
    """wandb reads its settings once in a process; the next test may have others."""
    yield
    import wandb

    wandb.teardown()


@pytest.fixture
def comparison() -> Comparison:
    device = [
        Row("Frechet distance", 2.5, "", 8, 3, "measured", 0.25),
        Row("generation heat", 40.0, "kT per sample", 8, 3, "modelled", 1.5),
        Row("energy drawn", None, "J per sample", 8, 3, "unavailable"),
    ]
    lines = (
        LedgerLine("heat", 2e-17, 1e-17, 3e-17, "modelled", "the trajectory"),
        LedgerLine("read-out", None, None, None, "unavailable", "nowhere"),
    )
    images = torch.rand(8, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    strip = torch.linspace(0, 1, FRAMES).view(-1, 1, 1, 1, 1) * images
    results = [
        ModelResult(
            "generator.mnist", True, "", device, images, [2] * CLASSES,
            ledgers=(Ledger("generator.mnist", "ideal", lines),),
            strip=strip, curve=(CurvePoint("observation time", 25.0, 2.5, 0.25, 0.8),),
        ),
        ModelResult("ddpm.mnist", False, "ddim, steps 50", device[:1], images, [2] * CLASSES, label=LABEL),
    ]  # fmt: skip
    entries = {result.label: result.name for result in results}
    real = [Row("Frechet distance", 0.1, "", 8, 3, "measured")]
    protocol = Protocol(num_samples=8, kernel_subsets=2, kernel_subset_size=4)
    done = {result.label: result for result in results}
    return Comparison(entries, protocol, feature_space(), "this machine", "thermotorch-compare", real, done)


def test_an_offline_run_holds_tables_images_and_the_report(comparison, tmp_path, monkeypatch):
    """Read back from the files that `wandb sync` would upload."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "report.html").write_text("<p>verdict</p>")
    (tmp_path / "report.json").write_text("{}")
    run = WandbLog().log(comparison, tmp_path)
    assert run.name.startswith("offline-run-")
    assert run.parent == tmp_path / "wandb"
    tables = {path.name.partition("_")[0]: json.loads(path.read_text()) for path in run.rglob("*.table.json")}
    assert {name: len(table["data"]) for name, table in tables.items()} == {"rows": 5, "ledger": 3, "curve": 1}
    assert tables["rows"]["columns"] == list(ROWS)
    assert tables["curve"]["data"] == [["generator.mnist", "observation time", 25.0, 2.5, 0.25, 0.8]]
    pictures = [Image.open(path) for path in run.rglob("media/images/**/*.png")]
    assert len(pictures) == 2
    assert {picture.width for picture in pictures} == {2 * (8 * (SIDE + 1) + 1)}
    (strip,) = run.rglob("*.gif")
    assert Image.open(strip).n_frames == FRAMES
    assert (run / "files" / "report.json").read_text() == "{}"
    assert any("verdict" in path.read_text() for path in run.rglob("media/html/*.html"))


def test_measured_and_modelled_values_never_share_a_column(comparison):
    rows = {(line[0], line[1]): dict(zip(ROWS, line, strict=True)) for line in row_cells(comparison)}
    heat, drawn = (rows["generator.mnist", name] for name in ("generation heat", "energy drawn"))
    assert (heat["modelled"], heat["measured"]) == (40.0, None)
    assert (drawn["modelled"], drawn["measured"]) == (None, None)
    assert rows[LABEL, "Frechet distance"]["measured"] == 2.5
    assert rows["real images", "Frechet distance"]["measured"] == 0.1
    lines = [dict(zip(LEDGER, line, strict=True)) for line in ledger_cells(comparison)]
    assert [line["modelled, J"] for line in lines] == [2e-17, None, 2e-17]
    assert [line["measured, J"] for line in lines] == [None] * 3
    assert [line["contribution"] for line in lines][-1] == "total, at least"  # of a line that is not known


def test_disabled_it_leaves_nothing(comparison, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    WandbLog(offline=False).log(comparison, tmp_path)
    assert not list(Path(tmp_path).rglob("*.wandb"))
