"""A report as Markdown, which reads well as plain text too; its pictures are links to files beside it."""

from collections.abc import Iterator

from thermotorch.evaluation.report.content import Block, Bullets, Films, Gallery, Paragraph, Picture, Report, Table
from thermotorch.evaluation.report.markdown import bullet, table


def as_markdown(report: Report) -> str:
    """Return the text of `report.md`."""
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
