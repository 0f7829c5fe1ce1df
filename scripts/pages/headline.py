"""The comparison of the README in one table: quality and speed measured, energy modelled, from a `report.json`."""

from collections.abc import Mapping
from typing import Any

from thermotorch.evaluation.energy import Ledger
from thermotorch.evaluation.report.markdown import number, table

# What stands for the least and for a whole machine: an ideal device beside bare circuits, analog nodes beside a board.
LEAST, WHOLE = ("ideal", "45 nm fp32"), ("rc_analog", "A100 fp32")


def headline(report: Mapping[str, Any]) -> str:
    """A Markdown table with a line for each finished model of a report, best distance first, real images above them.

    Args:
        report: the content of a `report.json`, see `report_data`.

    Raises:
        ValueError: no model of the report is finished.
    """
    space, protocol = report["feature_space"]["name"], report["protocol"]
    frechet = f"Frechet distance ({space})"
    finished = {label: model for label, model in report["models"].items() if model["finished"]}
    if not finished:
        raise ValueError("report: expected at least one finished model, found none")
    lines = []
    for label, model in finished.items():
        row = {each["metric"]: each for each in model["rows"]}
        lines.append((row[frechet]["value"], [
            f"`{model['name']}`{label.removeprefix(model['name'])}",
            *(_value(row.get(metric)) for metric in (frechet, "recognised fraction", f"coverage ({space})", "time")),
            *(_joule(model["ledgers"], scenarios) for scenarios in (LEAST, WHOLE)),
        ]))  # fmt: skip
    real = {each["metric"]: each for each in report["real_images"]["rows"]}
    above = [["as many real images", _value(real.get(frechet)), *[""] * 5]] if frechet in real else []
    columns = [
        f"{protocol['num_samples']:,} samples, seed {protocol['seed']}", f"Fréchet distance ({space})", "recognised",
        "coverage", "s per sample, measured", *(f"J, modelled: {' or '.join(each)}" for each in (LEAST, WHOLE)),
    ]  # fmt: skip
    rows = [line for _, line in sorted(lines, key=lambda line: line[0])]
    caption = f"By `{report['command']}` on {report['hardware']}."
    return f"{table(columns, above + rows, right=range(1, 7))}\n\n{caption}"


def _value(row: Mapping | None) -> str:
    return "" if row is None or row.get("value") is None else number(row["value"], row.get("stderr"))


def _joule(ledgers: list[Mapping], scenarios: tuple[str, ...]) -> str:
    """The total of the ledger that has one of the scenarios."""
    totals = [Ledger.from_dict(each).total for each in ledgers if each["scenario"] in scenarios]
    return ", ".join(
        "unavailable" if total.joule is None else f"{'at least ' * total.at_least}{total.joule:.1e}" for total in totals
    )
