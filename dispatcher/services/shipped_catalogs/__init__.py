"""Read catalogues of event types from files: the shipped ones and any others."""

import json
import tomllib
from collections.abc import Sequence
from importlib.resources import files

from pydantic import ValidationError

from dispatcher.core.errors import InvalidError, Problem
from dispatcher.services.inputs.base import problems
from dispatcher.services.inputs.event_type_inputs import EventTypeEntry

KEY = "event_types"


def shipped() -> Sequence[str]:
    """Return the names of the shipped catalogues."""
    file_names = (path.name for path in files(__name__).iterdir())
    return sorted(name.removesuffix(".toml") for name in file_names if name.endswith(".toml"))


def open_shipped(name: str) -> Sequence[EventTypeEntry]:
    """Return the types of a shipped catalogue."""
    return parsed(files(__name__).joinpath(f"{name}.toml").read_bytes(), toml=True)


def parsed(content: bytes, *, toml: bool) -> Sequence[EventTypeEntry]:
    """Return the types in a TOML or JSON text.

    The text has a list `event_types` of name, description, example, schema and enforce. JSON may
    also be the list alone. Raise InvalidError with every problem.
    """
    try:
        read = content.decode()
        whole = tomllib.loads(read) if toml else json.loads(read)
    except (ValueError, RecursionError) as error:
        raise InvalidError.field("file", f"is not {'TOML' if toml else 'JSON'}: {error}") from None
    listed = whole.get(KEY) if isinstance(whole, dict) else whole
    if not isinstance(listed, list) or (isinstance(whole, dict) and len(whole) > 1):
        raise InvalidError.field("file", f"must hold a list {KEY!r}, and nothing else")
    entries: list[EventTypeEntry] = []
    all_problems: list[Problem] = []
    for number, entry in enumerate(listed):
        try:
            entries.append(EventTypeEntry.model_validate(entry))
        except ValidationError as error:
            all_problems += (
                Problem((KEY, number, *p.place), p.reason) for p in problems(error).problems
            )
    if all_problems:
        raise InvalidError(*all_problems)
    return entries
