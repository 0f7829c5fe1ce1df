"""Writers that race and are killed at any moment: every file is whole or absent, and a model can always be loaded."""

import itertools
import json
import signal
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.campaign.processes import Child
from tests.evaluation.report.comparisons import comparison
from tests.evaluation.test_results import result
from tests.page.test_machine import small
from tests.zoo.test_checkpoints import FIELDS, Affine, architectures  # noqa: F401
from thermotorch.circuit.export import write_netlist
from thermotorch.evaluation.cache import ResultCache
from thermotorch.evaluation.report import write_report
from thermotorch.evaluation.report.hub_folder import export_folder
from thermotorch.page.write import write_page
from thermotorch.zoo import load_checkpoint, record_rows, save_checkpoint

pytestmark = pytest.mark.slow

KILLS = 12
ENDS = {".cir": ".end", ".svg": "</svg>"}


def affine(value: float) -> Affine:
    model = Affine(4, scale=value)
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, value)
    return model


def writing(write, folder: Path, first: float) -> Child:
    """A process that writes without an end, with another number each time."""

    def run() -> None:
        for number in itertools.count():
            write(first + number)

    return Child(run, folder)


def kill_some_writers(write, tmp_path: Path, chance, check, writers: int = 2) -> None:
    """Kill writers at random moments, and check meanwhile and afterwards that what they wrote is whole."""
    for attempt in range(KILLS):
        children = [writing(write, tmp_path / f"writer-{attempt}-{k}", 1000.0 * k + 1) for k in range(writers)]
        end = time.monotonic() + chance.uniform(0.01, 0.15)
        while time.monotonic() < end:
            check()
        for child in children:
            assert child.poll() is None, child.output.read_text()
            child.send(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
        check()


@pytest.mark.parametrize("writers", [1, 2])
def test_a_model_that_is_released_again_and_again_can_always_be_loaded(tmp_path, chance, writers):
    """Its numbers are those of one release, with the configuration of the same one."""
    path, _ = save_checkpoint(affine(1.0), "affine.test", tmp_path / "zoo", FIELDS)

    def release(value: float) -> None:
        save_checkpoint(affine(value), "affine.test", tmp_path / "zoo", FIELDS)

    def check() -> None:
        model = load_checkpoint(path)
        assert {value.item() for parameter in model.parameters() for value in parameter.flatten()} == {
            model.config["scale"]
        }

    kill_some_writers(release, tmp_path, chance, check, writers)
    release(7.0)
    check()
    assert len(list((tmp_path / "zoo").glob("*.json"))) == 1


def test_a_folder_for_the_hub_that_is_written_again_and_again_can_always_be_loaded(tmp_path, chance):
    made = [save_checkpoint(affine(value), "affine.test", tmp_path / f"{value}", FIELDS)[0] for value in (1.0, 2.0)]
    folder = tmp_path / "hub"

    def export(number: float) -> None:
        export_folder(made[int(number) % 2], folder)

    export(0.0)
    kill_some_writers(export, tmp_path, chance, lambda: load_checkpoint(folder))


def test_rows_that_are_recorded_beside_each_other_are_all_kept(tmp_path):
    """Four processes enter ten rows each into one card."""
    path, card = save_checkpoint(affine(1.0), "affine.test", tmp_path / "zoo", FIELDS)
    row = FIELDS["metrics"][0]

    def enter(writer: int) -> None:
        for number in range(10):
            record_rows(path, metrics=[{**row, "metric": f"metric {writer} {number}"}])

    children = [Child(lambda writer=writer: enter(writer), tmp_path / f"writer-{writer}") for writer in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    assert len(json.loads(card.read_text())["metrics"]) == 1 + 40


def test_results_in_the_cache_are_whole_or_absent(tmp_path, chance, caplog):
    cache, key, saved = ResultCache(tmp_path / "cache"), {"what": "model"}, result()

    def check() -> None:
        found = cache.load_result(key)
        assert found is None or found.rows == saved.rows
        assert "damaged" not in caplog.text

    kill_some_writers(lambda _: cache.save_result(key, saved), tmp_path, chance, check)


class Whole(HTMLParser):
    """Notices the end of a document."""

    ended = False

    def handle_endtag(self, tag: str) -> None:
        self.ended = self.ended or tag == "html"


def assert_whole(path: Path) -> None:
    if path.suffix == ".html":
        page = Whole()
        page.feed(path.read_text(encoding="utf-8"))
        assert page.ended, path
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".png":
        Image.open(path).load()
    elif path.suffix in ENDS:
        assert path.read_text(encoding="utf-8").rstrip().endswith(ENDS[path.suffix]), path
    else:
        assert path.suffix == ".md" and path.read_text(encoding="utf-8").endswith("\n"), path


def test_reports_pages_and_netlists_are_whole_or_absent(tmp_path, chance):
    made, machine, folder = comparison(2), small(hidden=4), tmp_path / "out"

    def write(number: float) -> None:
        write_page(machine, "machine", folder / "page.html", seed=int(number))
        write_netlist(machine, folder, label=0)
        write_report(made, folder)

    def check() -> None:
        for path in folder.rglob("*.*"):
            if path.suffix != ".partial":
                assert_whole(path)

    write(0.0)
    kinds = {path.suffix for path in folder.rglob("*.*")}
    assert {".html", ".json", ".md", ".png", ".svg", ".cir"} <= kinds
    kill_some_writers(write, tmp_path, chance, check)
