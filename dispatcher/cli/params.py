"""Types of arguments: they convert text and report errors in plain words."""

import re
from datetime import UTC, datetime, timedelta

import click

AGE_LIMIT = timedelta(days=36_500)
"""A longer duration is refused, because adding it to a time could overflow."""

QUOTE_LIMIT_CHARACTERS = 80
"""How much of a wrong argument is repeated."""


class Duration(click.ParamType[timedelta]):
    """A duration such as `250ms`, `12h` or `30d`, greater than zero.

    `longest` is the longest that is accepted, as people write it.
    """

    name = "duration"

    def __init__(self, longest: str = f"{AGE_LIMIT.days}d") -> None:
        self._longest = longest

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        text = str(value)
        duration = _duration(text)
        if duration is None:
            reason = f"must be a duration such as 30s, 12h or 2d, not {_quoted(text)}"
            self.fail(reason, param, ctx)
        if not duration:
            self.fail(f"must be a duration longer than 0, not {_quoted(text)}", param, ctx)
        if duration > (_duration(self._longest) or AGE_LIMIT):
            self.fail(f"at most {self._longest}, not {_quoted(text)}", param, ctx)
        return duration


class Moment(click.ParamType[datetime]):
    """A time such as `2026-02-26T12:00:00Z`, or `2h` for two hours ago."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        text = str(value)
        ago = _duration(text)
        if ago and ago <= AGE_LIMIT:
            return datetime.now(UTC) - ago
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = datetime.min  # noqa: DTZ901 - it counts as a time without an offset
        if moment.tzinfo is None:
            rule = "must be like 2026-02-26T12:00:00Z, or 2h for two hours ago"
            self.fail(f"{rule}, not {_quoted(text)}", param, ctx)
        return moment


def check_span(since: datetime | None, until: datetime | None) -> None:
    """Raise UsageError for a time span that is empty or negative: nothing would match it."""
    if since is not None and until is not None and until <= since:
        raise click.UsageError("--until must be after --since.")


def _duration(text: str) -> timedelta | None:
    """Return the duration in a text, timedelta.max if it is longer, None if the text has none."""
    from dispatcher.config.fields import seconds

    try:
        return timedelta(seconds=seconds(text))
    except OverflowError:
        return timedelta.max
    except ValueError:
        return None


def _quoted(text: str) -> str:
    """Return the beginning of what was given, safe for a terminal."""
    return repr(text[:QUOTE_LIMIT_CHARACTERS])


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move the cursor, start an escape sequence, or reverse the text after them, and
surrogates, which cannot be encoded. Line ends are among these characters, tabs are not."""


def escape_controls(text: str) -> str:
    """Return the text of others, safe for a terminal: control characters appear as codes."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
