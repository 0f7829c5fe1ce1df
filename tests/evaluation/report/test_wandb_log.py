import json
import sys
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


class Told:
    """A stand-in for wandb that keeps what it was told."""

    def __init__(self, folder) -> None:
        self.summary, self.logged, self.saved, self.finished = {}, {}, [], 0
        self.dir = str(folder / "run" / "files")

    def init(self, **settings):
        self.settings = settings
        return self

    def log(self, content):
        self.logged |= content

    def save(self, path, base_path, policy):
        self.saved.append((path, base_path, policy))

    def finish(self):
        self.finished += 1

    def Settings(self, **settings):
        return settings

    def Table(self, columns, data):
        return columns, data

    def Image(self, picture, caption):
        return picture, caption

    def Video(self, path, caption, format):
        return Path(path), caption, format

    def Html(self, text):
        return text


@pytest.fixture
def told(monkeypatch, tmp_path) -> Told:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    stand_in = Told(tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    stand_in.teardown = lambda: None
    return stand_in


def test_a_run_says_of_which_models_by_which_protocol_on_which_machine(comparison, tmp_path, told):
    folder = WandbLog("the project", "the run").log(comparison, tmp_path)
    assert folder == tmp_path / "run"
    settings = told.settings
    assert (settings["project"], settings["name"], settings["dir"]) == ("the project", "the run", tmp_path)
    assert (settings["mode"], settings["job_type"]) == ("offline", "compare")
    better = settings["config"].pop("better")
    assert better["Frechet distance"] == "lower" and better["recognised fraction"] == "higher"
    assert "generation heat" not in better or better["generation heat"] == "lower"
    assert settings["config"] == {
        "protocol": comparison.protocol.to_dict(), "models": dict(comparison.entries), "command": "thermotorch-compare",
        "hardware": "this machine", "judge": "thermotorch-test-v1",
    }  # fmt: skip
    assert told.summary == {
        "generator.mnist/Frechet distance": 2.5, "generator.mnist/generation heat": 40.0,
        f"{LABEL}/Frechet distance": 2.5,
    }  # fmt: skip
    assert told.finished == 1


def test_pictures_have_the_labels_of_their_models_and_only_files_that_are_there_are_kept(comparison, tmp_path, told):
    (tmp_path / "report.md").write_text("# verdict")
    WandbLog().log(comparison, tmp_path)
    assert told.settings["project"] == "thermotorch" and told.settings["name"] is None
    for label in ("generator.mnist", LABEL):
        picture, caption = told.logged[f"samples/{label}"]
        assert caption == f"{label}, the first 8 samples"
        shown = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(picture.height, -1, 3)
        images = comparison.results[label].images
        assert shown[2 : 2 + 2 * SIDE : 2, 2 : 2 + 2 * SIDE : 2, 0].tolist() == (images[0, 0] * 255).round().tolist()
    assert told.logged["strip/generator.mnist"][1:] == ("generator.mnist: noise becoming images", "gif")
    assert told.logged["strip/generator.mnist"][0].is_file() and f"strip/{LABEL}" not in told.logged
    assert "report" not in told.logged  # there is no report.html
    assert told.saved == [(tmp_path / "report.md", tmp_path, "now")]
    assert told.logged["ledger"] == (list(LEDGER), list(ledger_cells(comparison)))
    (tmp_path / "report.html").write_text("<p>verdict</p>")
    WandbLog().log(comparison, tmp_path)
    assert told.logged["report"] == "<p>verdict</p>"


@pytest.mark.parametrize(
    ("offline", "asked", "mode"),
    [(True, None, "offline"), (False, None, "online"), (False, "offline", "offline"), (True, "online", "online")],
)
def test_the_environment_decides_before_the_argument(offline, asked, mode, comparison, tmp_path, told, monkeypatch):
    if asked:
        monkeypatch.setenv("WANDB_MODE", asked)
    WandbLog(offline=offline).log(comparison, tmp_path)
    assert told.settings["mode"] == mode


def test_a_run_is_closed_even_if_logging_fails(comparison, tmp_path, told, monkeypatch):
    def full(content):
        raise OSError("no space left")

    monkeypatch.setattr(told, "log", full)
    with pytest.raises(OSError, match="no space left"):
        WandbLog().log(comparison, tmp_path)
    assert told.finished == 1


def test_every_cell_stands_in_the_column_of_its_name(comparison):
    rows = [dict(zip(ROWS, line, strict=True)) for line in row_cells(comparison)]
    expected = [("real images", row) for row in comparison.real]
    expected += [(label, row) for label, result in comparison.results.items() for row in result.rows]
    for line, (label, row) in zip(rows, expected, strict=True):
        assert line == {
            "label": label, "metric": row.metric, "stderr": row.stderr, "unit": row.unit, "seed": row.seed,
            "measured": row.value if row.kind == "measured" else None, "num_samples": row.num_samples,
            "modelled": row.value if row.kind == "modelled" else None, "note": row.note, "command": row.command,
        }  # fmt: skip
    (ledger,) = comparison.results["generator.mnist"].ledgers
    for line, drawn in zip(ledger_cells(comparison), (*ledger.lines, ledger.total), strict=True):
        assert dict(zip(LEDGER, line, strict=True)) == {
            "label": "generator.mnist", "scenario": "ideal", "contribution": drawn.contribution,
            "modelled, J": drawn.joule, "measured, J": None, "low, J": drawn.low, "high, J": drawn.high,
            "source": drawn.source, "note": drawn.note,
        }  # fmt: skip
