"""Resources as JSON values: the one place that knows how a field of a dataclass is written."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, get_args, get_type_hints
from uuid import UUID

import orjson
from pydantic.alias_generators import to_camel

from dispatcher.core.model import RawJson

SECRET_FIELDS = frozenset({"signing_secret", "token"})
"""Shown once, by the call that made them; left out wherever they are not known."""

_IN_CAMEL = {"signing_secret": "secret"}


@cache
def camel(name: str) -> str:
    return _IN_CAMEL.get(name) or to_camel(name)


def snake(name: str) -> str:
    return name


def document(resource: Any, named: Callable[[str], str], *, secrets: bool) -> dict[str, Any]:
    """The fields of a dataclass, `named` for the dialect; JSON text in it is spliced as it is."""
    raw = _raw_fields(resource.__class__)
    written = {}
    for each in fields(resource):
        value = getattr(resource, each.name)
        if each.name in SECRET_FIELDS and (value is None or not secrets):
            continue
        if value is not None and each.name in raw:
            written[named(each.name)] = orjson.Fragment(value)
        else:
            written[named(each.name)] = _value(value, named, secrets=secrets)
    return written


def moment(value: datetime) -> str:
    """`2026-02-26T12:00:00.000Z`"""
    text = value.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _value(value: Any, named: Callable[[str], str], *, secrets: bool) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, UUID):
        return str(value)  # the driver's own kind is not orjson's
    if isinstance(value, tuple | list):
        return [_value(each, named, secrets=secrets) for each in value]
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return document(value, named, secrets=secrets)
    return value


@cache
def _raw_fields(kind: Any) -> frozenset[str]:
    hints = get_type_hints(kind)
    return frozenset(
        name for name, hint in hints.items() if hint is RawJson or RawJson in get_args(hint)
    )
