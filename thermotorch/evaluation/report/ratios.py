"""Joules of digital models over joules of thermodynamic ones, by pair of scenarios, and their sensitivities."""

from collections.abc import Iterator, Sequence

from thermotorch.evaluation import energy
from thermotorch.evaluation.energy.contribution import Line
from thermotorch.evaluation.energy.digital_hardware import ARITHMETIC_LINE
from thermotorch.evaluation.energy.ideal_device import IdealDevice
from thermotorch.evaluation.energy.ledger import Ledger
from thermotorch.evaluation.energy.ratio import Ratio
from thermotorch.evaluation.energy.sensitivity import Effect
from thermotorch.evaluation.report.content import Block, Bullets, Paragraph, Table
from thermotorch.evaluation.report.sides import Side, finished, models
from thermotorch.evaluation.results import ModelResult

_PRICED = (("A100 fp32", "rc_analog"), ("45 nm fp32", "ideal"))  # pairs whose assumptions are varied one by one
_WEAK = 1.5  # factor below which assumptions are counted rather than listed


def ratios(sides: Sequence[Side]) -> Iterator[Block]:
    """Yield, for each digital model and device, the published kind of ratio in words and totals over totals.

    A model sampled in several ways is represented by the first of them.
    """
    results = finished(list(models([side for side in sides if side.result])))
    digital = [result for result in results if not result.thermodynamic and _known(result)]
    devices = [result for result in results if result.thermodynamic and _known(result)]
    if not (digital and devices):
        return
    yield Paragraph(
        "A ratio holds for one pair of scenarios. Both sides are of one kind, modelled or measured, and none is power "
        "at the wall; the samples they are about are not of one quality, see the verdict."
    )
    for above in digital:
        for below in devices:
            if sentences := list(_sentences(above, below)):
                yield Bullets(sentences)
            yield from _totals(above, below)
            yield from _effects(above, below)


def _known(result: ModelResult) -> bool:
    return any(_positive(ledger) for ledger in result.ledgers)


def _positive(ledger: Ledger) -> bool:
    return (ledger.total.joule or 0.0) > 0


def _joule(ledger: Ledger, contribution: str) -> float:
    """Return the joules of one line, 0 if it is missing or unavailable."""
    line = ledger.line(contribution)
    return (line and line.joule) or 0.0


def _sentences(above: ModelResult, below: ModelResult) -> Iterator[str]:
    """Yield arithmetic over ideal heat, as in the papers, and the measured ratio if both sides were metered."""
    ideal = [ledger for ledger in below.ledgers if ledger.scenario == IdealDevice.name]
    heat = next((ledger for ledger in ideal if _joule(ledger, Line.TRAJECTORY) > 0), None)
    for ledger in above.ledgers:
        priced = ledger.scenario in {hardware for hardware, _ in _PRICED}
        if heat and priced and _joule(ledger, ARITHMETIC_LINE) > 0:
            quoted = energy.ratio(ledger, heat, above_line=ARITHMETIC_LINE, below_line=Line.TRAJECTORY)
            yield f"The kind that papers quote, without memory and without the way back to noise: {quoted.words}."
        for other in below.ledgers:
            if ledger.kind == other.kind == "measured" and _positive(ledger) and _positive(other):
                yield f"Drawn by this machine, which simulates the device: {energy.ratio(ledger, other).words}."


def _totals(above: ModelResult, below: ModelResult) -> Iterator[Table]:
    """Yield a table with a line for each class of hardware and a column for each device model."""
    top, bottom = (
        [ledger for ledger in result.ledgers if ledger.kind == "modelled" and _positive(ledger)]
        for result in (above, below)
    )
    if top and bottom:
        rows = [[ledger.scenario, *(_cell(energy.ratio(ledger, other)) for other in bottom)] for ledger in top]
        totals = (*top, *bottom)
        partial = [f"{ledger.scenario} without {', '.join(ledger.missing)}" for ledger in totals if ledger.missing]
        caption = f"Total of {above.label} (lines) over total of {below.label} (columns), both modelled"
        lacking = f"; the totals of {'; '.join(partial)}" if partial else ""
        header = ["hardware \\ device", *(ledger.scenario for ledger in bottom)]
        yield Table(header, rows, caption + lacking, right=range(1, len(header)))


def _cell(ratio: Ratio) -> str:
    return f"{ratio.bound} {ratio.value:.1e} [{ratio.low:.0e} to {ratio.high:.0e}]".strip()


def _effects(above: ModelResult, below: ModelResult) -> Iterator[Block]:
    """Yield the effect of each assumption on the ratio, if the work that the ledgers priced is known."""
    if above.work is None or below.work is None:
        return
    for hardware, device in _PRICED:
        top = energy.Side(above.label, energy.hardware_class(hardware), above.work)
        bottom = energy.Side(below.label, energy.device(device), below.work)
        if not all(total.joule and total.least > 0 for total in (top.ledger().total, bottom.ledger().total)):
            continue  # a machine that takes heat from its bath has no ratio
        effects = energy.sensitivity(top, bottom)
        listed = [effect for effect in effects if effect.factor >= _WEAK]
        rows = [
            [_name(effect), f"{it.value:.3g}", f"{it.low:.3g} to {it.high:.3g}",
             f"× {effect.at_low:.2g}", f"× {effect.at_high:.2g}",
             effect.scenario, it.unit or "-", "assumption" if it.assumed else it.source]
            for effect in listed for it in (effect.quantity,)
        ]  # fmt: skip
        caption = (
            f"What moves the ratio of {above.label} ({hardware}) over {below.label} ({device}), one quantity at a "
            f"time; in bold what changes it tenfold; {len(effects) - len(listed)} others change it by less than "
            f"{_WEAK:g}"
        )
        header = ["quantity", "value", "range", "ratio at its low", "ratio at its high", "of", "unit", "from"]
        if rows:
            yield Table(header, rows, caption, right=(1, 2, 3, 4), fine=(5, 6, 7))


def _name(effect: Effect) -> str:
    name = effect.name.replace("_", " ")
    return f"**{name}**" if effect.decisive else name
