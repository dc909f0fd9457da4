"""Say durations in words: a number and the largest unit that it reaches."""

from typing import Final

MINUTE_SECONDS: Final = 60.0
HOUR_SECONDS: Final = 3600.0
DAY_SECONDS: Final = 86_400.0

UNITS: Final = ((DAY_SECONDS, "d"), (HOUR_SECONDS, "h"), (MINUTE_SECONDS, "min"), (1.0, "s"))
"""The units from the largest to the smallest, with their lengths in seconds."""


def rounded(seconds: float) -> str:
    """Return a duration as a whole number of its unit, as in `4 min`."""
    length, unit = _unit(seconds)
    return f"{seconds / length:.0f} {unit}"


def precise(seconds: float) -> str:
    """Return a duration with at most one decimal, as in `4.8 h`; below 10 s with two digits."""
    length, unit = _unit(seconds)
    if unit == "s":
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{round(seconds / length, 1):g} {unit}"


def completed(seconds: float) -> tuple[int, str]:
    """Return how many of the unit are over, and the unit: `(1, "min")` for 119 s."""
    length, unit = _unit(seconds)
    return int(seconds // length), unit


def _unit(seconds: float) -> tuple[float, str]:
    return next((unit for unit in UNITS if seconds >= unit[0]), UNITS[-1])
