"""The OpenAPI 3.1 document, made of the same routes and models that serve and validate."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from http import HTTPStatus
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter

from dispatcher import __version__
from dispatcher.api.answers import Shape
from dispatcher.api.dialects import Dialect, envelope, jsonapi
from dispatcher.api.documents import SECRET_FIELDS, camel, snake
from dispatcher.api.routes import Route
from dispatcher.forms.base import Form
from dispatcher.model import RawJson

Schema = dict[str, Any]

ALWAYS = (400, 401, 403, 404, 406, 408, 413, 422, 429, 503)
"""What any route may end with."""

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Tongue:
    """A dialect, as the document names its schemas."""

    dialect: Dialect
    prefix: str
    named: Callable[[str], str]


TONGUES = (Tongue(envelope, "", camel), Tongue(jsonapi, "JsonApi", snake))


def describe(routes: Sequence[Route]) -> Schema:
    """The whole document."""
    schemas: Schema = dict(_error_schemas())
    described: dict[str, Schema] = {}
    for route in routes:
        for number, (method, path) in enumerate(route.paths()):
            operation = _operation(route, path, schemas)
            if number:
                operation["operationId"] += f"_{number}"
            described.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dispatcher",
            "version": __version__,
            "description": "Webhooks and their deliveries. Every resource can be had in two"
            " representations: as JSON in an envelope, camelCase, or as JSON:API.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": described,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, path: str, schemas: Schema) -> Schema:
    operation: Schema = {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"Needs the scope `{route.scope}`.",
        "parameters": [*_parameters(route, path)],
        "responses": _responses(route, schemas),
    }
    if route.form is not None:
        operation["requestBody"] = {
            "required": any(field.is_required() for field in route.form.model_fields.values()),
            "content": {
                tongue.dialect.media_type: {"schema": _body(route, tongue, schemas)}
                for tongue in TONGUES
            },
        }
    return operation


def _parameters(route: Route, path: str) -> Iterator[Schema]:
    for name in _PARAMETER.findall(path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    if route.query is not None:
        schema = route.query.model_json_schema(by_alias=False)
        for name, described in schema["properties"].items():
            yield {"name": name, "in": "query", "schema": _inlined(described, schema)}
    if not route.everywhere and "{app_id}" not in path:
        yield _header("X-Environment-Id", r"^[A-Za-z0-9_-]{1,64}$")
    if route.changes and route.method == "POST":
        yield _header("Idempotency-Key", r"^[!-~]{1,255}$")
    if route.versioned:
        yield _header("If-Match", r'^("\d{1,18}"|\*)$')


def _header(name: str, pattern: str) -> Schema:
    return {"name": name, "in": "header", "schema": {"type": "string", "pattern": pattern}}


def _inlined(schema: Schema, whole: Schema) -> Schema:
    """Query parameters are few and small: what they refer to is written out."""
    if "$ref" in schema:
        found: Schema = whole["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        return found
    return schema


def _body(route: Route, tongue: Tongue, schemas: Schema) -> Schema:
    form: type[Form] = route.form  # type: ignore[assignment] # asked by who calls
    has_id = "{" in route.path
    model = tongue.dialect.model(form, route.shape, has_id=has_id)
    schema = model.model_json_schema(
        ref_template=f"#/components/schemas/{tongue.prefix}{{model}}",
    )
    for name, described in schema.pop("$defs", {}).items():
        schemas[tongue.prefix + name] = described
    schemas[tongue.prefix + model.__name__] = schema
    return _ref(tongue.prefix + model.__name__)


def _responses(route: Route, schemas: Schema) -> Schema:
    responses: Schema = {}
    if route.status == HTTPStatus.NO_CONTENT:
        responses["204"] = {"description": "Done"}
    else:
        content = {
            tongue.dialect.media_type: {"schema": _answer(route, tongue, schemas)}
            for tongue in TONGUES
        }
        description = HTTPStatus(route.status).phrase
        responses[str(route.status)] = {"description": description, "content": content}
    more = {415} if route.form is not None else set()
    if route.changes:
        more.add(409)
    if route.versioned:
        more.add(412)
    if route.otherwise is not None:
        status, kind, shape = route.otherwise
        other = replace(route, answers=kind, shape=shape, status=status, otherwise=None)
        responses[str(status)] = _responses(other, schemas)[str(status)]
    for status in sorted({*ALWAYS, *more} - {int(known) for known in responses}):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {
                tongue.dialect.media_type: {"schema": _ref(f"{tongue.prefix}Error")}
                for tongue in TONGUES
            },
        }
    return responses


def _answer(route: Route, tongue: Tongue, schemas: Schema) -> Schema:
    if tongue.dialect is jsonapi:
        return _jsonapi_answer(route, tongue, schemas)
    data: Schema = {"type": "null"}
    if route.answers is not None:
        data = _resource(route.answers, tongue, schemas)
    if route.many:
        listed: Schema = {"type": "array", "items": data}
        page = _object({"items": listed, "nextCursor": {"type": ["string", "null"]}})
        data = page if route.paged else {"anyOf": [listed, page]}
    return _object({"success": {"const": True}, "data": data})


def _jsonapi_answer(route: Route, tongue: Tongue, schemas: Schema) -> Schema:
    if route.answers is None:
        return _object({"data": {"type": "null"}})
    resource = _jsonapi_resource(route.answers, route.shape, tongue, schemas)
    if not route.many:
        return _object({"data": resource})
    links = _object({"next": {"type": ["string", "null"]}})
    meta = _object({"next_cursor": {"type": ["string", "null"]}})
    document = _object(
        {"data": {"type": "array", "items": resource}, "links": links, "meta": meta},
    )
    if not route.paged:
        document["required"] = ["data"]
    return document


def _jsonapi_resource(kind: type, shape: Shape, tongue: Tongue, schemas: Schema) -> Schema:
    attributes = _fields(kind, tongue, schemas, without=shape.id)
    name = f"{tongue.prefix}{kind.__name__}Resource"
    schemas[name] = _object(
        {"type": {"const": shape.type}, "id": {"type": "string"}, "attributes": attributes}
    )
    return _ref(name)


def _resource(kind: type, tongue: Tongue, schemas: Schema) -> Schema:
    name = f"{tongue.prefix}{kind.__name__}"
    if name not in schemas:
        schemas[name] = {}  # it may hold itself
        schemas[name] = _fields(kind, tongue, schemas)
    return _ref(name)


def _fields(kind: type, tongue: Tongue, schemas: Schema, *, without: str = "") -> Schema:
    hints = get_type_hints(kind)
    names = [f.name for f in fields(kind) if f.name != without]
    described = _object({tongue.named(n): _value(hints[n], tongue, schemas) for n in names})
    described["required"] = [tongue.named(n) for n in names if n not in SECRET_FIELDS]
    if kind.__doc__:
        described["description"] = kind.__doc__.replace("\n    ", "\n").strip()
    return described


def _value(hint: Any, tongue: Tongue, schemas: Schema) -> Schema:
    """The schema of what is written for a field of this type."""
    if hint is RawJson or RawJson in get_args(hint):
        return {}
    if get_origin(hint) in (UnionType, Union):
        return {"anyOf": [_value(each, tongue, schemas) for each in get_args(hint)]}
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _value(get_args(hint)[0], tongue, schemas)}
    if is_dataclass(hint):
        return _resource(hint, tongue, schemas)  # type: ignore[arg-type] # a class
    if isinstance(hint, type) and issubclass(hint, Mapping):
        return {"type": "object"}
    schema: Schema = TypeAdapter(hint).json_schema(mode="serialization")
    return schema


def _object(properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _error_schemas() -> Iterator[tuple[str, Schema]]:
    text: Schema = {"type": "string"}
    detail = _object({"message": text, "pointer": text, "parameter": text, "header": text})
    detail["required"] = ["message"]
    error = _object(
        {
            "code": text,
            "message": text,
            "details": {"type": "array", "items": detail},
            "requestId": text,
        }
    )
    yield "Error", _object({"success": {"const": False}, "error": error})
    source = {**_object({"pointer": text, "parameter": text, "header": text}), "required": []}
    one = _object(
        {
            "id": text,
            "status": text,
            "code": text,
            "title": text,
            "detail": text,
            "source": source,
        }
    )
    one["required"].remove("source")
    yield "JsonApiError", _object({"errors": {"type": "array", "items": one}})
