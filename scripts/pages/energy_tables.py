"""Sensitivities and quantities as tables that read well as plain text and rendered."""

from collections.abc import Iterable

from thermotorch.evaluation.energy.quantity import Quantity
from thermotorch.evaluation.energy.sensitivity import Effect
from thermotorch.evaluation.report.markdown import table


def effects_table(effects: Iterable[Effect]) -> str:
    """Return a table with a line for each quantity, the strongest first and decisive ones in bold."""
    rows = []
    for effect in effects:
        name = f"{effect.name} ({effect.scenario})"
        rows.append([
            f"**{name}**" if effect.decisive else name, _range(effect.quantity), f"x {effect.at_low:.2g}",
            f"x {effect.at_high:.2g}", f"{effect.factor:.2g}", _kind(effect.quantity),
        ])  # fmt: skip
    header = ["quantity", "value (range)", "ratio at its low", "ratio at its high", "factor", "kind"]
    return table(header, rows, right=(2, 3, 4))


def quantities_table(found: Iterable[tuple[str, str, Quantity]]) -> str:
    """Return a table of (device or class, name, quantity), with equal quantities in one line."""
    lines: dict[tuple[str, str, str], list[str]] = {}
    for hardware, name, quantity in found:
        lines.setdefault((name, _range(quantity), quantity.source), []).append(hardware)
    rows = [[", ".join(hardware), name, value, source] for (name, value, source), hardware in lines.items()]
    return table(["of", "quantity", "value (range)", "source"], rows)


def _kind(quantity: Quantity) -> str:
    """Return the origin of a quantity and of its range."""
    if quantity.assumed:
        return "assumption"
    return "source, range assumed" if "assumption" in quantity.source else "source"


def _range(quantity: Quantity) -> str:
    ends = "" if quantity.low == quantity.high else f" ({quantity.low:.3g} to {quantity.high:.3g})"
    return f"{quantity.value:.4g}{ends} {quantity.unit}".strip()
