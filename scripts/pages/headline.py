"""The comparison of the README in one table: quality and speed measured, energy modelled, from a `report.json`."""

from collections.abc import Mapping
from typing import Any

from thermotorch.evaluation.energy import Ledger
from thermotorch.evaluation.metrics import FRECHET, METRICS, Metric
from thermotorch.evaluation.report.markdown import number, table

# What stands for the least and for a whole machine: an ideal device beside bare circuits, analog nodes beside a board.
LEAST, WHOLE = ("ideal", "45 nm fp32"), ("rc_analog", "A100 fp32")


def headline(report: Mapping[str, Any]) -> str:
    """Return a Markdown table with a line for each finished model of a report, real images first, then by distance.

    Args:
        report: content of a `report.json`, see `report_data`.

    Raises:
        ValueError: no model of the report is finished.
    """
    space, protocol = report["feature_space"]["name"], report["protocol"]
    finished = {label: model for label, model in report["models"].items() if model["finished"]}
    if not finished:
        raise ValueError("report: expected at least one finished model, found none")
    shown = [metric for metric in METRICS if metric.headline]
    lines = [
        (_find(FRECHET, model["rows"])["value"], [
            f"`{model['name']}`{label.removeprefix(model['name'])}",
            *(_value(_find(metric, model["rows"])) for metric in shown),
            *(_joule(model["ledgers"], scenarios) for scenarios in (LEAST, WHOLE)),
        ])
        for label, model in finished.items()
    ]  # fmt: skip
    real = _value(_find(FRECHET, report["real_images"]["rows"]))
    above = [["as many real images", *(real if metric is FRECHET else "" for metric in shown), "", ""]] if real else []
    columns = [
        f"{protocol['num_samples']:,} samples, seed {protocol['seed']}",
        *(f"{metric.headline} ({space})" if metric is FRECHET else metric.headline for metric in shown),
        *(f"J, modelled: {' or '.join(each)}" for each in (LEAST, WHOLE)),
    ]
    rows = [line for _, line in sorted(lines, key=lambda line: line[0])]
    caption = f"By `{report['command']}` on {report['hardware']}."
    return f"{table(columns, above + rows, right=range(1, len(columns)))}\n\n{caption}"


def _find(metric: Metric, rows: list[Mapping]) -> Mapping:
    return next((row for row in rows if metric.matches(row["metric"])), {})


def _value(row: Mapping) -> str:
    return "" if row.get("value") is None else number(row["value"], row.get("stderr"))


def _joule(ledgers: list[Mapping], scenarios: tuple[str, ...]) -> str:
    """The total of the ledger that has one of the scenarios."""
    totals = [Ledger.from_dict(each).total for each in ledgers if each["scenario"] in scenarios]
    return ", ".join(
        "unavailable" if total.joule is None else f"{'at least ' * total.at_least}{total.joule:.1e}" for total in totals
    )
