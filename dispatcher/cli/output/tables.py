"""Tables and colours for people. On a terminal a line fits its width; elsewhere nothing is cut.

Ids are never cut: a row that does not fit takes several lines.

Text of others is escaped before it is printed, so that it cannot control the terminal.
"""

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

import click

from dispatcher.cli.params import escape_controls

if TYPE_CHECKING:
    from dispatcher.client import Resource

GAP = "  "
INDENT = "  "
"""Begins the further lines of a row."""
NARROWEST = 6
"""The width in columns below which no text is cut."""
COMFORTABLE = 16
"""The width in columns below which no text is cut where a row takes several lines."""
_ID = re.compile(r"[a-z]{1,3}_[0-9]{1,19}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""An id, which a column may have where an object has no name."""

STATUS_COLOURS: Mapping[str, str] = {
    "DELIVERED": "green",
    "FAILED": "red",
    "PENDING": "yellow",
    "CANCELLED": "bright_black",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    `text` returns the text of a cell, and `long` the one for output that is no terminal, if that
    is another. If a line is too long, the columns with the highest `shrinks` become narrower first,
    and those with 0 never. No column becomes so narrow that an id is cut. `colour` returns the
    colour of a cell, None for none.
    """

    title: str
    text: "Callable[[Resource], object]"
    long: "Callable[[Resource], object] | None" = None
    shrinks: int = 0
    colour: "Callable[[Resource], str | None] | None" = None

    def cell(self, item: "Resource", *, short: bool) -> str:
        """Return the text of the cell in one line, safe for a terminal. None becomes a dash."""
        value = self.text(item) if short or self.long is None else self.long(item)
        return escape_controls("-" if value is None else str(value)).replace("\t", " ")


def width() -> int | None:
    """Return the width of the terminal in columns, None if standard output is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_table(columns: Sequence[Column], items: "Sequence[Resource]") -> None:
    """Print a line for each item. On a terminal, print the titles first, and cut long cells."""
    if items:
        for line in lines(columns, items, width()):
            click.echo(line)


def lines(columns: Sequence[Column], items: "Sequence[Resource]", limit: int | None) -> list[str]:
    """Return the lines of a table, at most `limit` columns wide if there is a limit.

    A row takes several lines, the further ones indented, if it fits no other way. A line is longer
    than `limit` only if it is one column that may not be cut.
    """
    rows = [[column.cell(item, short=limit is not None) for column in columns] for item in items]
    colours = [[_colour(column, item) for column in columns] for item in items]
    if limit is None:
        widths = [max(map(columns_of, cells)) for cells in zip(*rows, strict=True)]
        return [_line(row, drawn, widths) for row, drawn in zip(rows, colours, strict=True)]
    titles = [column.title for column in columns]
    parts = _parts(columns, [titles, *rows], limit)
    title_colours: list[str | None] = ["bright_black"] * len(titles)
    return [
        (INDENT if number else "")
        + _line([cells[at] for at in part], [drawn[at] for at in part], list(part.values()))
        for cells, drawn in zip([titles, *rows], [title_colours, *colours], strict=True)
        for number, part in enumerate(parts)
    ]


def _parts(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], limit: int
) -> list[dict[int, int]]:
    """Return the columns of each line of a row, as widths by the column's number.

    `rows` are the titles and the cells.
    """
    cells = list(zip(*rows, strict=True))
    widths = [max(map(columns_of, texts)) for texts in cells]
    floors = [
        min(width, _floor(texts)) if column.shrinks else width
        for column, texts, width in zip(columns, cells, widths, strict=True)
    ]
    ranks = [column.shrinks for column in columns]
    whole = range(len(columns))
    if sum(floors) + len(GAP) * (len(floors) - 1) <= limit:
        return [_fitted(whole, widths, ranks, floors, limit)]
    floors = [
        max(floor, min(width, COMFORTABLE)) for floor, width in zip(floors, widths, strict=True)
    ]
    parts: list[list[int]] = [[]]
    used = 0
    for at in whole:
        if parts[-1] and used + len(GAP) + floors[at] > limit:
            parts.append([])
            used = len(INDENT)
        used += floors[at] + (len(GAP) if parts[-1] else 0)
        parts[-1].append(at)
    return [
        _fitted(part, widths, ranks, floors, limit - (len(INDENT) if number else 0))
        for number, part in enumerate(parts)
    ]


def _floor(texts: Sequence[str]) -> int:
    """Return the width to which cells may be cut: that of the longest id among them, if any."""
    return max([NARROWEST, *(len(text) for text in texts if _ID.fullmatch(text))])


def _colour(column: Column, item: "Resource") -> str | None:
    return None if column.colour is None else column.colour(item)


def _line(cells: Sequence[str], colours: Sequence[str | None], widths: Sequence[int]) -> str:
    pieces = []
    for at, (cell, colour, width) in enumerate(zip(cells, colours, widths, strict=True)):
        text = cut(cell, width)
        padding = " " * (width - columns_of(text)) if at < len(cells) - 1 else ""
        pieces.append((click.style(text, fg=colour) if colour and text else text) + padding)
    return GAP.join(pieces).rstrip()


def _fitted(
    part: Iterable[int],
    widths: Sequence[int],
    ranks: Sequence[int],
    floors: Sequence[int],
    limit: int,
) -> dict[int, int]:
    """Return the widths of a line with columns made narrower, the widest of the highest rank first.

    `part` are the numbers of its columns. None becomes narrower than its floor.
    """
    fitted = {at: widths[at] for at in part}
    excess = sum(fitted.values()) + len(GAP) * (len(fitted) - 1) - limit
    for rank in sorted({ranks[at] for at in fitted if ranks[at]}, reverse=True):
        while excess > 0:
            wide = [at for at in fitted if ranks[at] == rank and fitted[at] > floors[at]]
            if not wide:
                break
            fitted[max(wide, key=fitted.__getitem__)] -= 1
            excess -= 1
    return fitted


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns_of_character(character) for character in text)


def _columns_of_character(character: str) -> int:
    if combining(character):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """Return the text, or its beginning and `…` if it takes more than `width` columns."""
    if columns_of(text) <= width:
        return text
    kept, used = [], 0
    for character in text:
        used += _columns_of_character(character)
        if used > width - 1:
            break
        kept.append(character)
    return "".join(kept) + printable("…", "~")


def clip(text: str) -> str:
    """Return a line that fits the terminal, or all of it if standard output is none."""
    limit = width()
    return text if limit is None else cut(text, limit)


def status_colour(item: "Resource") -> str | None:
    """Return the colour of the status of a delivery."""
    return STATUS_COLOURS.get(str(item.get("status")))


def clock(time: str | None) -> str | None:
    """Return a short form of a time of the API: month, day, and time of day in UTC."""
    return None if time is None else f"{time[5:10]} {time[11:19]}"


def mark(is_right: bool) -> str:
    """Return ✓ or ✗ in its colour. Return words where the encoding of the output has no ✓."""
    sign, word, colour = ("✓", "ok", "green") if is_right else ("✗", "failed", "red")
    return click.style(printable(sign, word), fg=colour)


def printable(text: str, otherwise: str) -> str:
    """Return the text if standard output can encode it, else the other text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return otherwise
    return text


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, such as `1 delivery` or `1,204 deliveries`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
