"""A report as one HTML page: pictures are data URIs, the style is inline, there are no scripts.

Its content security policy forbids the network to the browser.
"""

import re
from base64 import b64encode
from html import escape
from importlib.resources import files
from string import Template

from thermotorch.evaluation.report.content import (
    Block,
    Bullets,
    Film,
    Films,
    Gallery,
    Paragraph,
    Picture,
    Report,
    Section,
    Table,
)

_joined = "\n".join
_STILLS = 6  # frames of a film at rest
_SHORT = 12  # lines of a table that stays on one sheet
_ROLES = {"th": ' role="columnheader"', "td": ' role="cell"'}  # which a table loses where it is shown as blocks


def as_html(report: Report) -> str:
    """Return the text of `report.html`."""
    folder = files("thermotorch.evaluation.report")
    page = Template(folder.joinpath("page.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=escape(report.title),
        heading=_breakable(report.title),
        style=folder.joinpath("page.css").read_text(encoding="utf-8"),
        links=_joined(f'<li><a href="#{section.key}">{escape(section.title)}</a></li>' for section in report.sections),
        lead=_joined(map(_block, report.lead)),
        sections=_joined(map(_section, report.sections)),
    )


def _section(section: Section) -> str:
    blocks = _joined(map(_block, section.blocks))
    return f'<section id="{section.key}">\n<h2>{escape(section.title)}</h2>\n{blocks}\n</section>'


def _block(block: Block) -> str:
    match block:
        case Paragraph(text, warning):
            return f'<p class="warning" role="note">{_marked(text)}</p>' if warning else f"<p>{_marked(text)}</p>"
        case Bullets(items):
            return f"<ul>\n{_joined(f'<li>{_marked(item)}</li>' for item in items)}\n</ul>"
        case Table():
            return _table(block)
        case Gallery(pictures, caption, width):
            shown = _joined(map(_picture, pictures))
            return (
                f'<figure>\n<div class="gallery" style="--width:{width}rem">\n{shown}\n</div>\n'
                f"<figcaption>{_marked(caption)}</figcaption>\n</figure>"
            )
        case Films(films, _, caption):
            shown = _joined(map(_film, films))
            return _FILMS.substitute(films=shown, caption=_marked(caption))
    raise TypeError(f"block: expected one of {Block}, found {type(block).__name__}")


def _table(table: Table) -> str:
    shown = [k for k in range(len(table.header)) if k not in table.fine]

    def cell(k: int, text: str, tag: str, more: str = "") -> str:
        if table.words:
            more += _ROLES[tag] + (f' data-label="{escape(table.header[k])}"' if tag == "td" else "")
        if k not in table.right:
            return f"<{tag}{more}>{_marked(text)}</{tag}>"
        return f'<{tag} class="number"{more}>{_number(text)}</{tag}>'

    table_role, row_role = (' class="words" role="table"', ' role="row"') if table.words else ("", "")
    head = "".join(cell(k, table.header[k], "th", ' scope="col"') for k in shown)
    body = []
    for row in table.rows:
        fine = " · ".join(_in_words(table.header[k], row[k]) for k in table.fine if row[k] not in ("", "-"))
        name = _marked(row[0]) + (f" <small>{_marked(fine)}</small>" if fine else "")
        cells = "".join(cell(k, row[k], "td") for k in shown[1:])
        role = ' role="rowheader"' if table.words else ""
        body.append(f'<tr{row_role}><th scope="row"{role}>{name}</th>{cells}</tr>')
    caption = f"<caption><span>{_marked(table.caption)}</span></caption>\n" if table.caption else ""
    classes = "scroll short" if len(body) <= _SHORT else "scroll"
    label = escape(table.caption or ", ".join(table.header))
    return (
        f'<div class="{classes}" tabindex="0" role="region" aria-label="{label}">\n<table{table_role}>\n{caption}'
        f"<thead><tr{row_role}>{head}</tr></thead>\n<tbody>\n{_joined(body)}\n</tbody>\n</table>\n</div>"
    )


def _number(text: str) -> str:
    """Mark up a number, with an interval in brackets on a line of its own."""
    value, bracket, interval = text.partition(" [")
    return _marked(value) + (
        f" <small>{_marked('[' + interval)}</small>"
        if bracket and interval.endswith("]")
        else _marked(bracket + interval)
    )


def _in_words(header: str, text: str) -> str:
    """Describe a cell outside its column: counts and seeds need their name."""
    if header == "samples":
        return f"{text} samples"
    return f"{header} {text}" if text.replace(",", "").isdigit() else text


def _picture(picture: Picture) -> str:
    sharp = ' class="pixels"' if picture.pixels else ""
    title = f"<h3>{_breakable(picture.title)}</h3>" if picture.title else ""
    return f'<div class="picture">{title}<img{sharp} alt="{escape(picture.alt)}" src="{_data(picture)}"></div>'


def _film(film: Film) -> str:
    count = min(_STILLS, film.frames)
    steps = [round(k * (film.frames - 1) / max(1, count - 1)) for k in range(count)]
    at_rest = "".join(f'<span style="--at:{100 * step / max(1, film.frames - 1):.4g}%"></span>' for step in steps)
    picture = film.picture
    return (
        f'<div class="film" style="--frames:{film.frames};--images:{film.images};--film:url({_data(picture)})">\n'
        f"<h3>{_breakable(picture.title)}</h3>\n"
        f'<div role="img" aria-label="{escape(picture.alt)}">'
        f'<div class="playing"></div><div class="at-rest">{at_rest}</div></div>\n</div>'
    )


_FILMS = Template(
    '<figure class="films">\n<p class="pause"><label><input type="checkbox"> pause</label></p>\n$films\n'
    '<div class="clock"><span>noise</span><div><div></div></div><span>sample</span></div>\n'
    "<figcaption>$caption</figcaption>\n</figure>"
)


def _data(picture: Picture) -> str:
    return f"data:{picture.mime};base64,{b64encode(picture.data).decode('ascii')}"


def _marked(text: str) -> str:
    """Escape a text, with `**strong**` and `` `code` `` as elements."""
    pieces = re.split(r"(`[^`]+`)", text)
    return "".join(
        f"<code>{escape(piece[1:-1])}</code>"
        if len(piece) > 2 and piece[0] == piece[-1] == "`"
        else re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", _breakable(piece))
        for piece in pieces
    )


def _breakable(text: str) -> str:
    """Escape a text, with line breaks allowed after dots and underscores in names."""
    return re.sub(r"(?<=\w)([._])(?=[a-zA-Z])", r"\1<wbr>", escape(text))
