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
    """A table whose first column names its rows.

    Args:
        header: headings of the columns.
        rows: one text for each column.
        caption: title of the table.
        right: columns of numbers, set flush right.
        fine: columns such as samples and seed, which the page sets small below the name of the row.
        words: True for sentences, which a narrow screen shows below each other.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    right: Collection[int] = ()
    fine: Collection[int] = ()
    words: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"row {row!r}: expected {len(self.header)} cells, one for each of {self.header!r}")


@dataclass(frozen=True)
class Picture:
    """A picture in a file of its own, which the page embeds.

    Args:
        file: path in the report's folder.
        mime: `PNG` or `SVG`.
        data: encoded bytes.
        alt: description for a reader who does not see it.
        title: short title above it; "" for none.
        pixels: True for pixels that are data, to be enlarged sharply.
    """

    file: str
    mime: str
    data: bytes
    alt: str
    title: str = ""
    pixels: bool = False


@dataclass(frozen=True)
class Gallery:
    """Pictures beside each other, as many to a line as fit.

    Args:
        pictures: the pictures.
        caption: their content and origin.
        width: width of a picture on a wide screen, in rem.
    """

    pictures: Sequence[Picture]
    caption: str
    width: int = 20


@dataclass(frozen=True)
class Film:
    """Frames of a film, one below the other in one picture: the page plays them, or shows some of them at rest.

    Args:
        picture: `frames` rows of `images` pictures.
        frames: number of frames.
        images: number of pictures in a frame.
    """

    picture: Picture
    frames: int
    images: int


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
