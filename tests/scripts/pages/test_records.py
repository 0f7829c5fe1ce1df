"""Scripts that write pages from records: pricing anew repeats what was priced, histories and rows are read whole."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from scripts.pages import coupling_figure, draw_classifiers, live, reprice, update_docs
from scripts.pages.update_docs import BEGIN, END
from tests.evaluation.stand_ins import WatchedDigital, feature_space
from thermotorch.evaluation import Protocol, evaluate
from thermotorch.evaluation.energy.card_rows import OVERHEAD
from thermotorch.evaluation.energy.ledger import Ledger
from thermotorch.evaluation.energy.thermodynamic import DEVICES
from thermotorch.evaluation.entries import entries_of
from thermotorch.models.generator.machine import ThermodynamicGenerator
from thermotorch.zoo import load_card, save_checkpoint

PROTOCOL = Protocol(num_samples=64, seed=3, steps=2, kernel_subset_size=20, kernel_subsets=2, curve_points=1)


def machine() -> ThermodynamicGenerator:
    torch.manual_seed(0)
    model = ThermodynamicGenerator(image_shape=(1, 6, 6), hidden=4, t_final=0.04, dt=0.01)
    for bonds in model.potential.couplings.parameters():
        torch.nn.init.normal_(bonds)
    return model


@pytest.mark.parametrize("model", [machine(), WatchedDigital()], ids=["machine", "digital"])
def test_a_result_that_is_priced_anew_is_what_it_was(model):
    """With other joules in the record, which stay if they were measured and are priced anew if they were modelled."""
    measured = evaluate("it", model, PROTOCOL, feature_space(), command="as typed")
    (entry,) = entries_of({"it": model}, PROTOCOL)
    found = measured.to_dict()
    stale = [ledger for ledger in found["ledgers"] if ledger["scenario"] != "this machine"]
    for ledger in stale:
        for line in ledger["lines"]:
            line.update({key: None if line[key] is None else 7.0 for key in ("joule", "low", "high")})
    for row in found["rows"]:
        if row["metric"] == OVERHEAD and row["value"] is not None:
            row["value"] = 7.0
    again = reprice.repriced(replace(entry, label="the label"), found)
    assert Ledger.from_dict(found["ledgers"][-1]) in again.ledgers
    if isinstance(model, ThermodynamicGenerator):
        assert again.ledgers[:-1] == tuple(replace(ledger, model="the label") for ledger in measured.ledgers[:-1])
        assert again.rows == measured.rows and again.work == measured.work
    assert (again.label, again.name, again.class_counts) == ("the label", "it", measured.class_counts)
    assert again.curve == measured.curve and again.thermodynamic == measured.thermodynamic
    assert (again.strip is None) == (measured.strip is None) and again.images.shape == (64, 1, 28, 28)


def test_cards_get_the_overhead_of_their_seed_and_keep_the_command(monkeypatch, tmp_path):
    from thermotorch.evaluation.energy.card_rows import heat_rows, overhead_row

    model = machine()
    heat = heat_rows(model.sample(8, seed=5).heat, 5, command="as typed")
    stale = overhead_row(5, DEVICES[1].ledger("it", reprice.energy.machine_run(model, 4, 0)), "as typed", 4)
    fields = {"data": {}, "metrics": [], "training": {}, "licence": "", "notes": ""}
    energies = {"generator.priced": [*heat, stale], "generator.bare": heat}
    for name, rows in energies.items():
        save_checkpoint(model, name, tmp_path, {**fields, "energy": [row.to_dict() for row in rows]})
    (tmp_path / "reference.safetensors").write_bytes(b"no checkpoint")
    monkeypatch.setattr(reprice, "packaged_folder", lambda: tmp_path)
    reprice.reprice_cards()
    bare, priced = (
        load_card(tmp_path / f"{name}.safetensors")["energy"] for name in ("generator.bare", "generator.priced")
    )
    assert bare == [row.to_dict() for row in heat]
    ledger = next(device for device in DEVICES if device.name == "rc_analog").ledger(
        "it", reprice.energy.machine_run(model, reprice.SAMPLES, 5)
    )
    assert priced == [*bare, overhead_row(5, ledger, "as typed", 64).to_dict()] and priced[-1] != stale.to_dict()


def test_a_history_is_read_over_all_continuations_where_both_numbers_stand(tmp_path):
    for version, lines in {"0": ["10,0.5", "20,", ",0.4"], "1": ["30,0.25"]}.items():
        file = tmp_path / "csv" / f"version_{version}" / "metrics.csv"
        file.parent.mkdir(parents=True)
        file.write_text("\n".join(["train/runs,val/phi", *lines, ""]))
    runs, phi = draw_classifiers.history(tmp_path)
    assert (runs.tolist(), phi.tolist()) == ([10.0, 30.0], [0.5, 0.25])


def test_ten_units_of_each_machine_stand_in_a_row(monkeypatch):
    def made(name, pretrained):
        stage = SimpleNamespace(potential=f"last stage of {name}")
        return SimpleNamespace(potential=name, stages=["another", stage], image_shape=(1, 2, 2))

    def fields(potential, shape, count, columns):
        asked.append((potential, shape, count, columns))
        return torch.full((3, 1, 4), float(len(asked)))

    asked = []
    monkeypatch.setattr(coupling_figure.tt, "create_model", made)
    monkeypatch.setattr(coupling_figure, "connection_fields", fields)
    rows = coupling_figure.coupling_rows()
    names = ("generator.three_digits", "generator.mnist", "last stage of generator.mnist_chain")
    assert asked == [(name, (1, 2, 2), 10, 10) for name in names]
    assert rows.shape == (3, 3, 4) and rows[0, :, 0].tolist() == [1.0, 2.0, 3.0], "one below the other"


def test_a_page_is_written_anew_between_its_marks_alone(tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    monkeypatch.setattr(update_docs, "ROOT", tmp_path)
    monkeypatch.setitem(update_docs.PAGES, "page.md", lambda: "new")
    assert update_docs.updated("page.md") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_the_site_gets_a_page_of_each_machine_that_runs_live(monkeypatch):
    files = SimpleNamespace(File=SimpleNamespace(generated=lambda config, path, content: (config, path, content)))
    monkeypatch.setitem(sys.modules, "mkdocs", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "mkdocs.structure", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "mkdocs.structure.files", files)
    monkeypatch.setattr(live, "load_checkpoint", lambda name: f"model of {name}")
    monkeypatch.setattr(live, "page", lambda model, name: f"{model} as {name}")
    assert live.on_files(["a file"], "config") == [
        "a file", *(("config", f"live/{name}.html", f"model of {name} as {name}") for name in live.LIVE),
    ]  # fmt: skip
