"""Tables and colours for people. On a terminal a line fits its width; elsewhere nothing is cut.

Text of others is escaped before it is printed, so that it cannot control the terminal.
"""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

import click

from dispatcher.cli.params import escape_controls

if TYPE_CHECKING:
    from dispatcher.client import Resource

GAP = "  "
NARROWEST = 6
"""The width in columns below which no text is cut."""

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
    those with 0 never. `colour` returns the colour of a cell, None for none.
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
    """Return the lines of a table, at most `limit` columns wide if there is a limit."""
    short = limit is not None
    rows = [[column.cell(item, short=short) for column in columns] for item in items]
    titles = [column.title for column in columns]
    widest = [max(map(columns_of, cells)) for cells in zip(*rows, strict=True)]
    if limit is not None:
        widest = [max(w, len(title)) for w, title in zip(widest, titles, strict=True)]
        widest = _fitted(widest, [column.shrinks for column in columns], limit)
    drawn = [
        _line(cells, widest, [_colour(column, item) for column in columns])
        for cells, item in zip(rows, items, strict=True)
    ]
    if limit is not None:
        drawn.insert(0, _line(titles, widest, ["bright_black"] * len(titles)))
    return drawn


def _colour(column: Column, item: "Resource") -> str | None:
    return None if column.colour is None else column.colour(item)


def _line(cells: Sequence[str], widths: Sequence[int], colours: Sequence[str | None]) -> str:
    pieces = []
    for at, (cell, width, colour) in enumerate(zip(cells, widths, colours, strict=True)):
        text = cut(cell, width)
        padding = " " * (width - columns_of(text)) if at < len(cells) - 1 else ""
        pieces.append((click.style(text, fg=colour) if colour and text else text) + padding)
    return GAP.join(pieces).rstrip()


def _fitted(widths: Sequence[int], ranks: Sequence[int], limit: int) -> list[int]:
    """Return the widths with columns made narrower, the widest of the highest rank first."""
    fitted = list(widths)
    excess = sum(fitted) + len(GAP) * (len(fitted) - 1) - limit
    for rank in sorted({rank for rank in ranks if rank}, reverse=True):
        while excess > 0:
            at = max((n for n, own in enumerate(ranks) if own == rank), key=lambda n: fitted[n])
            if fitted[at] <= NARROWEST:
                break
            fitted[at] -= 1
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
