"""Kinds of argument: text in, value out, usage errors in plain words."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

LONGEST = timedelta(days=36_500)


class Duration(click.ParamType[timedelta]):
    """`250ms`, `12h`, `30d`; converted to a timedelta of more than nothing."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        duration = _duration(value)
        if duration is None:
            self.fail("must be a duration such as 30s, 12h or 30d", param, ctx)
        return duration


class Moment(click.ParamType[datetime]):
    """`2026-02-26T12:00:00Z`, or `2h` for so long ago."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        ago = _duration(value)
        if ago is not None:
            return datetime.now(UTC) - ago
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = datetime.min  # noqa: DTZ901 - as one without an offset
        if moment.tzinfo is None:
            self.fail("must be like 2026-02-26T12:00:00Z, or 2h for two hours ago", param, ctx)
        return moment


def _duration(text: str) -> timedelta | None:
    from dispatcher.config.fields import seconds

    try:
        duration = timedelta(seconds=seconds(text))
    except (ValueError, OverflowError):
        return None
    return duration if timedelta() < duration <= LONGEST else None


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What could move the cursor, colour, or turn around what is written after it; lines too."""


def shown(text: str) -> str:
    """For a terminal: strangers wrote it."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
