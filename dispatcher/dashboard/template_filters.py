"""The filters of the templates: how values appear on pages."""

import json
import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from markupsafe import Markup

from dispatcher.api.representations.serialize import moment
from dispatcher.core import durations
from dispatcher.core.skip_reasons import skip_reason
from dispatcher.dashboard.attempt_phases import phases
from dispatcher.dashboard.sparkline import sparkline
from dispatcher.dashboard.words import bulk_action_words

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}:,]|[^\s"\[\]{}:,]+', re.DOTALL)
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127) if chr(code) not in "\n\t"}
_INVISIBLE = {
    code: f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    for first, last in (
        (0x80, 0x9F),
        (0xAD, 0xAD),
        (0x34F, 0x34F),
        (0x61C, 0x61C),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x200B, 0x200F),
        (0x2028, 0x202E),
        (0x2060, 0x206F),
        (0x3164, 0x3164),
        (0xFEFF, 0xFEFF),
        (0xFFA0, 0xFFA0),
        (0xFFF9, 0xFFFB),
        (0xE0000, 0xE007F),
    )
    for code in range(first, last + 1)
}

_ESCAPES = {
    0x7F: "\\u007f",
    **{code: json.dumps(chr(code))[1:-1] for code in _INVISIBLE},
}
"""The characters of `_INVISIBLE`, and delete (0x7F), as JSON escapes them within a string."""
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL"})

NOTHING = "\N{EN DASH}"
"""The text for a missing value."""
SHOWN_LIMIT_CHARACTERS = 64 * 1024
"""Longest text that a page shows. Setting out a longer one would hold the event loop."""
_INDENT_LIMIT = 8
"""Levels that are indented. Otherwise a small text of deep levels would become a page of
megabytes."""


def escape_invisible(text: str) -> str:
    """Return the text with codes in place of control and invisible characters.

    Among the latter are characters that reverse or hide text. Line breaks and tabs stay.
    """
    return text.translate(_CONTROLS).translate(_INVISIBLE)


class ForeignHost(NamedTuple):
    """A host whose name has letters beyond ASCII.

    `name` is what people read, and `punycode` is what DNS is asked for. `mixed` is True if one
    label mixes alphabets, which is a common way to imitate another name.
    """

    name: str
    punycode: str
    mixed: bool


def foreign_host(url: str) -> ForeignHost | None:
    """Return the host of a URL if its name has letters beyond ASCII, else None."""
    try:
        host = urlsplit(url).hostname or ""
        punycode = host if host.isascii() else host.encode("idna").decode()
        name = ".".join(map(_label, punycode.split(".")))
    except ValueError:
        return None
    if name.isascii():
        return None
    return ForeignHost(name, punycode, any(len(_alphabets(label)) > 1 for label in name.split(".")))


def _label(text: str) -> str:
    """Return a label of a host name as people read it."""
    return text[4:].encode().decode("punycode") if text.startswith("xn--") else text


def _alphabets(label: str) -> set[str]:
    """Return the alphabets of a label's letters, by the first word of their Unicode names.

    Japanese and Korean mix several alphabets, so these count as one.
    """
    letters = (
        unicodedata.name(letter, "UNKNOWN").split()[0] for letter in label if letter.isalpha()
    )
    return {"EAST ASIAN" if word in _EAST_ASIAN else word for word in letters}


def beginning(text: str) -> str:
    """Return as much of a text as a page shows."""
    return text[:SHOWN_LIMIT_CHARACTERS]


def is_long(text: str) -> bool:
    """Return True if a page shows only the beginning of the text."""
    return len(text) > SHOWN_LIMIT_CHARACTERS


def pretty(text: str) -> str:
    """Return JSON with line breaks and indentation. Return other text as it is.

    Numbers and strings keep their exact spelling. Invisible characters always appear as codes. Of
    a text longer than SHOWN_LIMIT_CHARACTERS, return the beginning without other changes.
    """
    if is_long(text):
        return escape_invisible(beginning(text))
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return escape_invisible(text)
    return escape_invisible("".join(_set_out(_PIECE.findall(text))))


def editable(text: str) -> str:
    """Return JSON as a field shows it that is edited: set out, whole, and with the same meaning.

    Numbers and strings keep their exact spelling, except that invisible characters appear as JSON
    escapes them. Return other text, and a long one, as it is.
    """
    if is_long(text):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return "".join(_set_out(_PIECE.findall(text))).translate(_ESCAPES)


def _set_out(pieces: Sequence[str]) -> list[str]:
    """Return the tokens of a JSON text with line breaks and indentation between them."""
    written: list[str] = []
    depth = 0
    for index, piece in enumerate(pieces):
        before = pieces[index - 1] if index else ""
        if piece in "}]":
            depth -= 1
            if before not in "{[":
                written.append(_new_line(depth))
        elif before and before in "{[,":
            written.append(_new_line(depth))
        written.append(": " if piece == ":" else piece)
        if piece in "{[":
            depth += 1
    return written


def _new_line(depth: int) -> str:
    return "\n" + "  " * min(depth, _INDENT_LIMIT)


def time(value: datetime | None, absent: str = NOTHING) -> Markup:
    """Return a time as HTML: relative to now, and exact in UTC beside it.

    The page keeps the relative one up to date, and may show the exact one in local time. Hovering
    shows milliseconds.
    """
    if value is None:
        return Markup("{}").format(absent)
    text = moment(value)
    return Markup(
        '<time datetime="{}" title="{} {} UTC"><span class="ago">{}</span>'
        ' <span class="exact">{} {} UTC</span></time>'
    ).format(text, text[:10], text[11:23], ago(value, datetime.now(UTC)), text[:10], text[11:19])


def clock(value: datetime) -> Markup:
    """Return the time of day as HTML, in UTC. The page may show it in local time."""
    text = moment(value)
    return Markup('<time datetime="{}"><span class="clock">{} UTC</span></time>').format(
        text, text[11:19]
    )


def ago(value: datetime, now: datetime) -> str:
    """Return a time relative to `now`, as in `5 min ago` or `in 5 min`."""
    seconds = (now - value).total_seconds()
    size, unit = durations.completed(abs(seconds))
    if size == 0:
        return "now"
    return f"{size} {unit} ago" if seconds > 0 else f"in {size} {unit}"


def duration(milliseconds: float | None) -> str:
    """Return a duration in ms, or in seconds from one second on."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s"


def size(count: int | None) -> str:
    """Return a size in bytes, or in KiB from 1024 bytes on."""
    if count is None:
        return NOTHING
    return f"{count} B" if count < 1024 else f"{count / 1024:.1f} KiB"


def sql(text: str) -> str:
    """Return the text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def percent(part: float | None) -> str:
    """Return a share as a percentage. Never round up to 100 %, which would hide a rare failure."""
    if part is None:
        return NOTHING
    if part >= 1:
        return "100 %"
    return f"{min(part * 100, 99.9):.1f} %"


FILTERS: dict[str, Any] = {
    "escape_invisible": escape_invisible,
    "pretty": pretty,
    "editable": editable,
    "beginning": beginning,
    "is_long": is_long,
    "phases": phases,
    "skip_reason": skip_reason,
    "filter_words": bulk_action_words.words,
    "filter_query": bulk_action_words.query,
    "time": time,
    "clock": clock,
    "duration": duration,
    "span": durations.precise,
    "size": size,
    "percent": percent,
    "sql": sql,
    "foreign_host": foreign_host,
    "sparkline": sparkline,
}
