"""JSON that people type, or keep in a file that they name."""

import json
import math
from typing import Any

import click


class _NumberError(ValueError):
    """A number that JSON does not have. The message says why."""


def read_json(text: str, source: str) -> object:
    """Return the value of a JSON text.

    Raise UsageError, which names the source, such as `--more`. NaN and infinite numbers are not
    JSON: written again, they would become null, which removes a setting.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except _NumberError as error:
        raise click.UsageError(f"{source} must be JSON: {error}.") from None
    except (ValueError, RecursionError):
        raise click.UsageError(f"{source} must be JSON.") from None


def read_object(text: str, source: str) -> dict[str, Any]:
    """Return the fields of a JSON object. Raise UsageError for any other text."""
    value = read_json(text, source)
    if not isinstance(value, dict):
        raise click.UsageError(f"{source} must be a JSON object.")
    return value


def _refuse(name: str) -> float:
    raise _NumberError(f"{name} is not a number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _NumberError(f"{text[:20]} is too large a number")
    return number
