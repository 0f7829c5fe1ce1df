"""Numbers, tables and whole reports as Markdown that reads well as plain text and rendered."""

import math
import textwrap
from collections.abc import Collection, Iterator, Sequence

from thermotorch.evaluation.report.content import Block, Bullets, Films, Gallery, Paragraph, Picture, Report, Table
from thermotorch.zoo.rows import Row


def number(value: float | None, stderr: float | None = None) -> str:
    """Format a number as `85.1 ± 2.3`, `(1.20 ± 0.02)e-17` or `532,736`, and None as "unavailable"."""
    if value is None:
        return "unavailable"
    if stderr:
        return _with_error(value, stderr)
    if value == round(value) and abs(value) < 1e9:
        return f"{round(value):,}"
    return f"{value:.4g}"


def with_unit(row: Row) -> str:
    """Format the value of a row with its error and unit."""
    return f"{number(row.value, row.stderr)} {row.unit}".strip()


def _with_error(value: float, stderr: float) -> str:
    """Format with two significant digits of the error, and a common power of ten for small and large values."""
    size = max(abs(value), stderr)
    power = 0 if 1e-3 <= size < 1e6 else math.floor(math.log10(size))
    value, stderr = value / 10.0**power, stderr / 10.0**power
    digits = max(0, 1 - math.floor(math.log10(stderr)))
    text = f"{value:,.{digits}f} ± {stderr:,.{digits}f}"
    return f"({text})e{power}" if power else text


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return a Markdown table with aligned columns, those in `right` set flush right."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[k]) for row in cells)) for k in range(len(header))]
    rule = [f"{'-' * (width - 1)}:" if k in right else "-" * width for k, width in enumerate(widths)]
    lines = [
        [f"{cell:>{widths[k]}}" if k in right else f"{cell:<{widths[k]}}" for k, cell in enumerate(row)]
        for row in cells
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


def bullet(text: str) -> str:
    """Return a list item, folded for reading as plain text."""
    return textwrap.fill(text, 110, initial_indent="- ", subsequent_indent="  ", break_long_words=False)


def as_markdown(report: Report) -> str:
    """Return the text of `report.md`, whose pictures are links to files beside it."""
    lines = [f"# {report.title}", ""]
    for block in report.lead:
        lines += [*_lines(block), ""]
    for section in report.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*_lines(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text, warning):
            yield f"**Note:** {text}" if warning else text
        case Bullets(items):
            yield from map(bullet, items)
        case Table():
            if block.caption:
                yield from (f"{block.caption}:", "")
            yield table(block.header, block.rows, block.right)
        case Gallery(pictures, caption):
            yield from map(_link, pictures)
            yield from ("", caption)
        case Films(_, still, caption):
            yield from (_link(still), "", caption)


def _link(picture: Picture) -> str:
    return f"![{picture.alt}]({picture.file})"
