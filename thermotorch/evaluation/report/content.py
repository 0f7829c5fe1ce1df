"""The content of a report, before it is Markdown or HTML: sections of paragraphs, lists, tables and pictures.

Texts are plain, with `**strong**` and `` `code` `` as the only marks.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

PNG, SVG = "image/png", "image/svg+xml"


@dataclass(frozen=True)
class Paragraph:
    """One paragraph; a `warning` is set off from the text."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list, False without items: sections leave it out."""

    items: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.items)


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    right: Collection[int] = ()  # columns of numbers, set flush right
    fine: Collection[int] = ()  # columns such as samples and seed, which the page sets small below the name of the row
    words: bool = False  # sentences, which a narrow screen shows below each other

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"row {row!r}: expected {len(self.header)} cells, one for each of {self.header!r}")


@dataclass(frozen=True)
class Picture:
    """A picture in a file of its own, which the page embeds."""

    file: str  # path in the report's folder
    mime: str  # `PNG` or `SVG`
    data: bytes
    alt: str  # description for a reader who does not see it
    title: str = ""  # above it
    pixels: bool = False  # which are data, to be enlarged sharply


@dataclass(frozen=True)
class Gallery:
    """Pictures beside each other, as many to a line as fit."""

    pictures: Sequence[Picture]
    caption: str  # their content and origin
    width: int = 20  # of a picture on a wide screen, in rem


@dataclass(frozen=True)
class Film:
    """Frames of a film, one below the other in one picture: the page plays them, or shows some of them at rest."""

    picture: Picture
    frames: int
    images: int  # beside each other in a frame


@dataclass(frozen=True)
class Films:
    """Films that play together, and a picture of them at rest for formats that cannot play."""

    films: Sequence[Film]
    still: Picture
    caption: str


Block = Paragraph | Bullets | Table | Gallery | Films


@dataclass(frozen=True)
class Section:
    """A titled part of the report, with its name in links as `key`."""

    key: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """A whole report, with `lead` before the first section."""

    title: str
    lead: Sequence[Block]
    sections: Sequence[Section]

    def blocks(self) -> list[Block]:
        """Return every block in order."""
        return [*self.lead, *(block for section in self.sections for block in section.blocks)]
