"""The descriptions of requests that most methods of the API share."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from dispatcher.client.call import Call
from dispatcher.client.resources import (
    ArgumentError,
    Page,
    Resource,
    camel,
    nothing,
    page,
    resource,
)

Id = str | UUID
Moment = str | datetime
"""A time. As text it is RFC 3339 with an offset, such as `2026-02-26T12:00:00Z`."""

_WITH_NAMED_FIELDS = frozenset({"authentication", "tls"})
"""Objects with fields of the API. Others, such as `metadata` and `data`, belong to the user."""


def path(*segments: Id) -> str:
    """Return the path of a resource below `/api`.

    Raise ArgumentError for text that cannot be encoded, and for an id that is empty or only dots.
    Otherwise an id such as `..` would lead to another path.
    """
    return "/".join(["/api", *map(_quoted, segments)])


def _quoted(segment: Id) -> str:
    text = str(segment)
    if text.strip(".") == "":
        raise ArgumentError(f"{text!r} is not an id")
    return quote(_encodable(text), safe="")


def get(path: str) -> Call[Resource]:
    """Describe a request for one resource."""
    return Call("GET", path, resource)


def listing(path: str, **filters: object) -> Call[Page]:
    """Describe a request for a page of a listing. A filter that is None is left out.

    Raise ArgumentError for text that cannot be encoded.
    """
    return Call("GET", path, page, _query(filters))


def _query(filters: Mapping[str, object]) -> dict[str, str]:
    values = {name: value for name, value in filters.items() if value is not None}
    return {name: _encodable(str(_plain(value))) for name, value in values.items()}


def _encodable(text: str) -> str:
    """Return the text. Raise ArgumentError if it has half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentError(f"{text!a} is not UTF-8 text") from None
    return text


def post(path: str, fields: Mapping[str, Any], *, key: str | None = None) -> Call[Resource]:
    """Describe a POST, with a new Idempotency-Key unless one is given.

    By the key, the API recognises a repeated request.
    """
    return Call("POST", path, resource, body=body(fields), key=_key(key))


def post_many(
    path: str, bodies: Sequence[Mapping[str, Any]], *, key: str | None = None
) -> Call[Page]:
    """Describe a POST of many resources, with a key as that of `post`."""
    return Call("POST", path, page, body=bodies, key=_key(key))


def _key(key: str | None) -> str:
    """Return the key, or a new one. One that is empty is not replaced: the API refuses it."""
    return str(uuid4()) if key is None else key


def order(path: str) -> Call[None]:
    """Describe a POST without fields, whose response has no data."""
    return Call("POST", path, nothing, body={}, key=str(uuid4()))


def figures(path: str, **filters: object) -> Call[Resource]:
    """Describe a request for one resource with filters. A filter that is None is left out."""
    return Call("GET", path, resource, _query(filters))


def delete(path: str) -> Call[None]:
    """Describe the deletion of a resource."""
    return Call("DELETE", path, nothing)


def body(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a request, with the names of its fields as in the API."""
    return {camel(name): _value(name, value) for name, value in fields.items()}


def _value(name: str, value: Any) -> Any:
    if name in _WITH_NAMED_FIELDS and isinstance(value, Mapping):
        return body(value)
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
