"""The comparison in one table, short for the README and whole for docs/results.md, from a `report.json`."""

from collections.abc import Mapping
from typing import Any

from thermotorch.evaluation.energy.ledger import Ledger
from thermotorch.evaluation.metrics import FRECHET, METRICS, RECOGNISED, Metric
from thermotorch.evaluation.report.markdown import number, table
from thermotorch.zoo.rows import Row

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
    finished = _finished(report)
    shown = [metric for metric in METRICS if metric.headline]
    lines = [
        [
            f"`{model['name']}`{label.removeprefix(model['name'])}",
            *(_value(metric, model["rows"]) for metric in shown),
            *(_joules(model["ledgers"], scenarios) for scenarios in (LEAST, WHOLE)),
        ]
        for label, model in finished.items()
    ]
    real = _value(FRECHET, report["real_images"]["rows"])
    above = [["as many real images", *(real if metric is FRECHET else "" for metric in shown), "", ""]] if real else []
    columns = [
        f"{protocol['num_samples']:,} samples, seed {protocol['seed']}",
        *(f"{metric.headline} ({space})" if metric is FRECHET else metric.headline for metric in shown),
        *(f"J, modelled: {' or '.join(each)}" for each in (LEAST, WHOLE)),
    ]
    caption = f"By `{report['command']}` on {report['hardware']}."
    return f"{table(columns, above + lines, right=range(1, len(columns)))}\n\n{caption}"


def short_headline(report: Mapping[str, Any]) -> str:
    """Return a Markdown table of three columns for each finished model of a report, ordered by distance.

    The energy runs from the least scenario (`LEAST`) to that of a whole machine (`WHOLE`).

    Raises:
        ValueError: no model of the report is finished.
    """
    protocol = report["protocol"]
    columns = ["model", "distance to real digits", "recognised as digits", "energy per image, modelled"]
    lines = [
        [f"`{model['name']}`", *(_value(metric, model["rows"]) for metric in (FRECHET, RECOGNISED)), _range(model)]
        for model in _finished(report).values()
    ]
    caption = f"Measured with {protocol['num_samples']:,} samples from each model, seed {protocol['seed']}."
    return f"{table(columns, lines, right=range(1, len(columns)))}\n\n{caption}"


def _finished(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the finished models by label, by increasing distance."""
    models = {label: model for label, model in report["models"].items() if model["finished"]}
    if not models:
        raise ValueError("report: expected at least one finished model, found none")
    return dict(sorted(models.items(), key=lambda item: _row(FRECHET, item[1]["rows"]).known))


def _row(metric: Metric, rows: list[Mapping]) -> Row | None:
    return metric.find(map(Row.from_dict, rows))


def _value(metric: Metric, rows: list[Mapping]) -> str:
    return number(row.known, row.stderr) if (row := _row(metric, rows)) else ""


def _joules(ledgers: list[Mapping], scenarios: tuple[str, ...]) -> str:
    """Return the total of each ledger that belongs to one of the scenarios."""
    totals = [Ledger.from_dict(each).total for each in ledgers if each["scenario"] in scenarios]
    return ", ".join(
        "unavailable" if total.joule is None else f"{'at least ' * total.at_least}{total.joule:.1e}" for total in totals
    )


def _range(model: Mapping) -> str:
    """Return the smallest and the largest total among the scenarios of both columns of `headline`.

    A total that leaves contributions out is called so; one total alone is no range.
    """
    ledgers = [Ledger.from_dict(each) for each in model["ledgers"] if each["scenario"] in LEAST + WHOLE]
    totals = [ledger.total for ledger in ledgers if ledger.total.joule is not None]
    if not totals:
        return "unavailable"
    shown = f"{'at least ' * any(total.at_least for total in totals)}{min(total.joule for total in totals):.0e}"
    if len(totals) == 1:
        return f"{shown} J"
    return f"{shown} to {max(total.joule for total in totals):.0e} J"
