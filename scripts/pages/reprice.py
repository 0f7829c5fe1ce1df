"""Price the machines of docs/comparison and of the cards anew after a change in a device model.

python -m scripts.pages.reprice && python -m scripts.pages.update_docs        # five minutes

Nothing is sampled again. Ledgers of device models average over 64 simulated samples of seed 0, as in
`thermotorch-compare`, with the heat of the samples as recorded. The rest of the report stays as it was measured, and so
do the pictures of samples.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from thermotorch.evaluation import energy
from thermotorch.evaluation.energy.card_rows import HEAT, OVERHEAD, overhead_row
from thermotorch.evaluation.energy.digital_count import DigitalCount
from thermotorch.evaluation.energy.ledger import Ledger
from thermotorch.evaluation.energy.machine_run import MachineRun, has_cycle
from thermotorch.evaluation.entries import Entry, entries_of, in_words
from thermotorch.evaluation.protocol import Protocol
from thermotorch.evaluation.quality.feature_space import FeatureSpace
from thermotorch.evaluation.report.content import Gallery
from thermotorch.evaluation.report.markdown import as_markdown
from thermotorch.evaluation.report.sections import report_of
from thermotorch.evaluation.report.write import report_data
from thermotorch.evaluation.results import Comparison, CurvePoint, ModelResult
from thermotorch.zoo import load_card, load_checkpoint, record_rows
from thermotorch.zoo.lookup import packaged_folder
from thermotorch.zoo.rows import Row

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "comparison"
SAMPLES = 64


def repriced(entry: Entry, found: dict[str, Any]) -> ModelResult:
    """Return the recorded result of a model with its modelled ledgers priced anew; its images are blank."""
    label, model, protocol = entry.label, entry.model, entry.protocol
    rows = [Row.from_dict(row) for row in found["rows"]]
    able, options = entry.able, entry.options
    said = {key: value for key, value in options.items() if key != "execution"}  # of the machine at hand
    ledgers = tuple(Ledger.from_dict(ledger) for ledger in found["ledgers"])
    work: MachineRun | DigitalCount | None = None
    run: MachineRun | None = None
    if able.thermodynamic:
        heat = next(row for row in rows if row.metric == HEAT)
        if has_cycle(model):
            simulated = energy.machine_run(model, SAMPLES, protocol.seed)
            work = run = replace(simulated, heat=heat.known, heat_stderr=heat.stderr)
        modelled = energy.thermodynamic_ledgers(label, model, run=run, num_samples=SAMPLES, seed=protocol.seed)
        priced = {ledger.scenario: ledger for ledger in modelled}
        ledgers = (*modelled, *(ledger for ledger in ledgers if ledger.scenario not in priced))
        row = overhead_row(protocol.seed, priced["rc_analog"], heat.command, SAMPLES)
        rows = [row if each.metric == OVERHEAD else each for each in rows]
    else:
        work = energy.count(model, lambda: able.draw(1, seed=protocol.seed, **options).images)
    blank = torch.zeros(SAMPLES, 1, 28, 28)
    return ModelResult(
        name=found["name"], thermodynamic=able.thermodynamic, sampling=in_words(able, said), rows=rows,
        images=blank, class_counts=found["class_counts"], label=label, ledgers=ledgers, work=work,
        strip=blank[None] if able.thermodynamic or able.takes_sampler else None,
        curve=tuple(CurvePoint(**point) for point in found["curve"]),
    )  # fmt: skip


def reprice_cards() -> None:
    """Enter the overhead of `rc_analog` anew into the cards that have it, with the command of their heat."""
    for path in sorted(packaged_folder().glob("*.safetensors")):
        if not path.with_suffix(".json").is_file():
            continue
        rows = {row["metric"]: Row.from_dict(row) for row in load_card(path)["energy"]}
        if OVERHEAD in rows:
            seed, command = rows[HEAT].seed, rows[HEAT].command
            ledgers = energy.thermodynamic_ledgers(path.stem, load_checkpoint(path), num_samples=SAMPLES, seed=seed)
            ledger = next(ledger for ledger in ledgers if ledger.scenario == "rc_analog")
            record_rows(path, energy=[overhead_row(seed, ledger, command, SAMPLES).to_dict()])


def main() -> None:
    reprice_cards()
    recorded = json.loads((FOLDER / "report.json").read_text(encoding="utf-8"))
    protocol = Protocol(**recorded["protocol"])
    models = {found["name"]: load_checkpoint(found["name"]) for found in recorded["models"].values()}
    entries = {entry.name: entry for entry in entries_of(models, protocol)}
    results = {
        label: repriced(replace(entries[found["name"]], label=label), found)
        for label, found in recorded["models"].items()
    }
    comparison = Comparison(
        {label: found["name"] for label, found in recorded["models"].items()}, protocol, FeatureSpace.from_zoo(),
        recorded["hardware"], recorded["command"], [Row.from_dict(row) for row in recorded["real_images"]["rows"]],
        results,
    )  # fmt: skip
    cards = {result.name: load_card(result.name) for result in results.values()}
    report = report_of(comparison, cards)
    content = json.dumps(report_data(comparison, cards), indent=2, allow_nan=False, ensure_ascii=False)
    (FOLDER / "report.json").write_text(f"{content}\n", encoding="utf-8")
    (FOLDER / "report.md").write_text(as_markdown(report), encoding="utf-8")
    for block in report.blocks():
        if isinstance(block, Gallery):
            for picture in block.pictures:
                if "energy" in picture.file:
                    (FOLDER / picture.file).write_bytes(picture.data)


if __name__ == "__main__":
    main()
