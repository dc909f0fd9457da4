"""The JSON schemas of responses, generated from the dataclasses that are serialized."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from http import HTTPStatus
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter

from dispatcher.api.representations import Dialect, envelope, jsonapi
from dispatcher.api.representations.serialize import SECRET_FIELDS
from dispatcher.api.routes import Route
from dispatcher.api.types import Shape
from dispatcher.core.model import RawJson

Schema = dict[str, Any]


DIALECTS: tuple[Dialect, ...] = (envelope, jsonapi)

DIALECTS_BY_NAME: Mapping[str, tuple[Dialect, ...]] = {
    "envelope": DIALECTS[:1],
    "jsonapi": DIALECTS[1:],
}
"""The values that `?dialect=` may have."""

FAILURES = {
    400: "The body, a header or a query parameter cannot be read",
    401: "There is no token, or it is not valid, was revoked or has expired",
    403: "The token lacks the scope for this operation, or is for one environment alone",
    404: "The resource does not exist in this environment",
    406: "No media type in Accept is available",
    408: "The body did not arrive in time",
    409: "The change conflicts with the current state, or the key was used for another request",
    412: "The resource has changed: its ETag is not the one in If-Match",
    413: "The body is too large",
    415: "The body is of another media type, or compressed",
    422: "The body is not valid; every problem has a pointer to its place",
    429: "Too many wrong tokens came from this address",
    503: "The database is not available, or took too long",
}
"""The description of every error response, by status."""

_HEADERS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


def answered(route: Route, dialect: Dialect, schemas: Schema) -> Schema:
    """Return the schema of a route's response. Add the resources in it to `schemas`."""
    if dialect is jsonapi:
        return _jsonapi_answer(route, dialect, schemas)
    data: Schema = {"type": "null"}
    if route.returns is not None:
        data = _resource(route.returns, dialect, schemas)
    if route.is_list:
        listed: Schema = {"type": "array", "items": data}
        page = object_schema({"items": listed, "nextCursor": {"type": ["string", "null"]}})
        data = page if route.page else {"anyOf": [listed, page]}
    return object_schema({"success": {"const": True}, "data": data})


def _jsonapi_answer(route: Route, dialect: Dialect, schemas: Schema) -> Schema:
    """Return the schema of a route's response in JSON:API."""
    if route.returns is None:
        return object_schema({"data": {"type": "null"}})
    resource = _jsonapi_resource(route.returns, route.shape, dialect, schemas)
    if not route.is_list:
        return object_schema({"data": resource})
    links = object_schema({"next": {"type": ["string", "null"]}})
    meta = object_schema({"next_cursor": {"type": ["string", "null"]}})
    document = object_schema(
        {"data": {"type": "array", "items": resource}, "links": links, "meta": meta},
    )
    if not route.page:
        document["required"] = ["data"]
    return document


def _jsonapi_resource(kind: type, shape: Shape, dialect: Dialect, schemas: Schema) -> Schema:
    name = f"{dialect.schema_prefix}{kind.__name__}Resource"
    if name not in schemas:
        attributes = _fields(kind, dialect, schemas, without=shape.id)
        schemas[name] = object_schema(
            {"type": {"const": shape.type}, "id": {"type": "string"}, "attributes": attributes}
        )
    return ref("schemas", name)


def _resource(kind: type, dialect: Dialect, schemas: Schema) -> Schema:
    name = f"{dialect.schema_prefix}{kind.__name__}"
    if name not in schemas:
        schemas[name] = {}  # a resource may contain itself: otherwise this would not end
        schemas[name] = _fields(kind, dialect, schemas)
    return ref("schemas", name)


def _fields(kind: type, dialect: Dialect, schemas: Schema, *, without: str = "") -> Schema:
    """Return the schema of a dataclass. Secrets are optional, because most responses omit them."""
    hints = get_type_hints(kind)
    names = [f.name for f in fields(kind) if f.name != without]
    described = object_schema(
        {dialect.field_name(n): _value(hints[n], dialect, schemas) for n in names}
    )
    described["required"] = [dialect.field_name(n) for n in names if n not in SECRET_FIELDS]
    for secret in SECRET_FIELDS.intersection(names):
        described["properties"][dialect.field_name(secret)] = {
            "type": "string",
            "description": "Present only in the response that created it.",
        }
    if kind.__doc__ and not kind.__doc__.startswith(f"{kind.__name__}("):
        text = kind.__doc__.replace("\n    ", "\n").strip()
        described["description"] = re.sub(r"\bNone\b", "null", text)
    return described


def _value(hint: Any, dialect: Dialect, schemas: Schema) -> Schema:
    """Return the schema of the JSON value that is written for a field of this type."""
    if hint is RawJson or RawJson in get_args(hint):
        return {}
    if get_origin(hint) in (UnionType, Union):
        return {"anyOf": [_value(part, dialect, schemas) for part in get_args(hint)]}
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _value(get_args(hint)[0], dialect, schemas)}
    if is_dataclass(hint):
        return _resource(hint, dialect, schemas)  # type: ignore[arg-type] # a class
    if isinstance(hint, type) and issubclass(hint, Mapping):
        return {"type": "object"}
    return _scalar(hint)


@cache
def _scalar(hint: Any) -> Schema:
    """Return the schema of a number, a text or the like. Fields share it: change nothing in it."""
    schema: Schema = TypeAdapter(hint).json_schema(mode="serialization")
    return schema


def failure(status: int) -> str:
    """Return the name of the response component for an error status."""
    return HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")


def failures(dialects: Sequence[Dialect]) -> Schema:
    """Return the response components for all error statuses, by name."""
    return {
        failure(status): {
            "description": text,
            "headers": headers("X-Request-Id", *_HEADERS.get(status, ())),
            "content": {
                dialect.media_type: {"schema": ref("schemas", f"{dialect.schema_prefix}Error")}
                for dialect in dialects
            },
        }
        for status, text in FAILURES.items()
    }


def headers(*names: str) -> Schema:
    """Return references to header components, by name."""
    return {name: ref("headers", name) for name in names}


def header_components() -> Schema:
    """Return the components for all response headers, by name."""
    texts: Mapping[str, tuple[str, bool]] = {
        "X-Request-Id": ("The id of this request in the log and in the audit log", True),
        "ETag": ("The revision, for If-Match. A repeated response has the first one.", False),
        "Location": (
            "The path of the created resource, under `/apps` if `/api` leads elsewhere",
            False,
        ),
        "Idempotent-Replayed": (
            "`true` if this is the repeated response to an earlier request, or if an earlier event"
            " has the key",
            False,
        ),
        "X-Propagation": ("`pending` if not every daemon has confirmed the change yet", False),
        "Retry-After": ("Seconds to wait before trying again", True),
        "WWW-Authenticate": ("How to authenticate", True),
    }
    return {
        name: {"description": text, "required": required, "schema": {"type": "string"}}
        for name, (text, required) in texts.items()
    }


def error_schemas(dialect: Dialect) -> Iterator[tuple[str, Schema]]:
    """Yield the name and the schema of an error in this representation."""
    text: Schema = {"type": "string"}
    places = {"pointer": text, "parameter": text, "header": text}
    detail = object_schema({"message": text, **places}, required=["message"])
    error = object_schema(
        {
            "code": {**text, "description": "A stable code, for programs."},
            "message": {**text, "description": "All the details in one sentence, for people."},
            "details": {"type": "array", "items": detail},
            "requestId": text,
        }
    )
    if dialect is envelope:
        yield "Error", object_schema({"success": {"const": False}, "error": error})
    one = object_schema(
        {
            "id": {**text, "description": "The id of the request."},
            "status": text,
            "code": {**text, "description": "A stable code, for programs."},
            "title": text,
            "detail": text,
            "source": object_schema(places, required=[]),
        },
        required=["id", "status", "code", "title", "detail"],
    )
    if dialect is jsonapi:
        yield "JsonApiError", object_schema({"errors": {"type": "array", "items": one}})


def object_schema(properties: Schema, *, required: list[str] | None = None) -> Schema:
    """Return the schema of an object with these properties and no others.

    All of them are required, unless `required` lists some.
    """
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def ref(kind: str, name: str) -> Schema:
    """Return a reference to a component of this kind."""
    return {"$ref": f"#/components/{kind}/{name}"}
