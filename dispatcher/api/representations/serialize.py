"""Resources as JSON values: the only place that decides how a field is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, get_args, get_type_hints
from uuid import UUID

import orjson
from pydantic.alias_generators import to_camel

from dispatcher.core.model import RawJson

SECRET_FIELDS = frozenset({"signing_secret", "token"})
"""Only the call that creates a secret shows it. Other responses leave these fields out."""

_IN_CAMEL = {"signing_secret": "secret"}

_PLAIN = frozenset({str, int, bool, float, type(None)})
"""Types whose values JSON has as they are."""
_WITHOUT_OFFSET = -len("+00:00")


@cache
def camel(name: str) -> str:
    return _IN_CAMEL.get(name) or to_camel(name)


def snake(name: str) -> str:
    return name


def document(resource: Any, named: Callable[[str], str], *, secrets: bool) -> dict[str, Any]:
    """Return the fields of a dataclass by the names that `named` gives them in the dialect.

    Leave out secrets unless `secrets`. Insert fields that are JSON text as they are.
    """
    written: dict[str, Any] = {}
    for field in _fields(resource.__class__, named):
        value = getattr(resource, field.attribute)
        if field.is_secret and (value is None or not secrets):
            continue
        if value.__class__ in _PLAIN:
            written[field.name] = (
                orjson.Fragment(value) if field.is_raw and value is not None else value
            )
        else:
            written[field.name] = _value(value, named, secrets=secrets)
    return written


def moment(value: datetime) -> str:
    """Return a time in UTC with milliseconds, as in `2026-02-26T12:00:00.000Z`."""
    in_utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    return in_utc.isoformat(timespec="milliseconds")[:_WITHOUT_OFFSET] + "Z"


def _value(value: object, named: Callable[[str], str], *, secrets: bool) -> Any:
    """Return the JSON value of a field."""
    if value.__class__ in _PLAIN:
        return value
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, UUID):
        return str(value)  # orjson does not accept the UUID subclass of asyncpg
    if isinstance(value, tuple | list):
        return [_value(element, named, secrets=secrets) for element in value]
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return document(value, named, secrets=secrets)
    return value


@dataclass(frozen=True, slots=True)
class _Field:
    """How one field of a resource is written. `is_raw`: its text is JSON already."""

    attribute: str
    name: str
    is_secret: bool
    is_raw: bool


@cache
def _fields(kind: Any, named: Callable[[str], str]) -> tuple[_Field, ...]:
    """Return how the fields of a class are written, once a class: a page has many resources."""
    hints = get_type_hints(kind)
    return tuple(
        _Field(
            field.name,
            named(field.name),
            is_secret=field.name in SECRET_FIELDS,
            is_raw=hints[field.name] is RawJson or RawJson in get_args(hints[field.name]),
        )
        for field in fields(kind)
    )
