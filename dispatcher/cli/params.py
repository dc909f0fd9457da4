"""Types of arguments: they convert text and report errors in plain words."""

import re
from datetime import UTC, datetime, timedelta

import click

AGE_LIMIT = timedelta(days=36_500)
"""A longer duration is refused, because adding it to a time could overflow."""


class Duration(click.ParamType[timedelta]):
    """A duration such as `250ms`, `12h` or `30d`, greater than zero."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        duration = _duration(str(value))
        if duration is None:
            self.fail("must be a duration such as 30s, 12h or 30d", param, ctx)
        return duration


class Moment(click.ParamType[datetime]):
    """A time such as `2026-02-26T12:00:00Z`, or `2h` for two hours ago."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        text = str(value)
        ago = _duration(text)
        if ago is not None:
            return datetime.now(UTC) - ago
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = datetime.min  # noqa: DTZ901 - it counts as a time without an offset
        if moment.tzinfo is None:
            self.fail("must be like 2026-02-26T12:00:00Z, or 2h for two hours ago", param, ctx)
        return moment


def _duration(text: str) -> timedelta | None:
    from dispatcher.config.fields import seconds

    try:
        duration = timedelta(seconds=seconds(text))
    except (ValueError, OverflowError):
        return None
    return duration if timedelta() < duration <= AGE_LIMIT else None


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move the cursor, start an escape sequence, or reverse the text after them. Line
ends are among them."""


def escape_controls(text: str) -> str:
    """Return the text of others, safe for a terminal: control characters appear as codes."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
