"""The OpenAPI 3.1 document, generated from the routes and models that serve requests."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus

from dispatcher import __version__
from dispatcher.api.openapi.health import health_paths
from dispatcher.api.openapi.links import linked
from dispatcher.api.openapi.parameters import UntitledSchema, parameters
from dispatcher.api.openapi.schemas import (
    DIALECTS,
    Schema,
    answered,
    error_schemas,
    failure,
    failures,
    header_components,
    headers,
    object_schema,
    ref,
)
from dispatcher.api.representations import Dialect, jsonapi
from dispatcher.api.requests import event_batch
from dispatcher.api.routes import Batch, Route
from dispatcher.services.inputs.base import Form

ALWAYS = (400, 401, 406, 408, 413, 415, 429, 503)
"""The error statuses that any route may return."""

TAGS = {
    "webhooks": "Receive events at a URL: the URL, the event types, and how to send.",
    "deliveries": "One event for one webhook, with its attempts.",
    "bulk-actions": "Retry or cancel many deliveries at once, of any webhooks.",
    "recoveries": "Send failed or missed events again, many at once.",
    "events": "Emit events and read them.",
    "quarantine": "Events that could not be fanned out, and results that were refused.",
    "event-types": "The catalogue of event types, with their JSON Schemas.",
    "pause": "Pause and resume sending.",
    "stats": "The number of waiting deliveries, and the results of sending over time.",
    "environments": "Tenants. Data of one environment is invisible in all others.",
    "tokens": "API tokens, with the scope and the environment of each.",
    "audit": "The log of all changes, with the actor of each.",
    "health": "Health checks, metrics and this document.",
}
_LINES: Schema = {
    "type": "string",
    "description": "NDJSON: one event a line, each an item of the array in application/json.",
}
_TAG_OF = {"attempts": "deliveries", "recover": "recoveries", "resume": "pause"}


def describe(routes: Sequence[Route], dialects: Sequence[Dialect] = DIALECTS) -> Schema:
    """Return the document, for all representations or only for those in `dialects`.

    From several representations, client generators make a union type, which forces callers to test
    which one they got. A document with one representation avoids that.
    """
    schemas: Schema = {name: s for t in dialects for name, s in error_schemas(t)}
    described: dict[str, Schema] = dict(health_paths())
    for route in routes:
        for method, path in route.paths():
            operation = _operation(route, method, path, schemas, routes, dialects)
            described.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dispatcher",
            "version": __version__,
            "description": "Webhooks and their deliveries. Every resource has two"
            " representations: JSON in an envelope, with names in camelCase, and JSON:API. `Accept`"
            " chooses one. Without it, `Content-Type` does. `?dialect=envelope` and"
            " `?dialect=jsonapi` return this document for one of them.\n\nA token belongs to one"
            " environment or to all. With a token for all, choose the environment by the header"
            " `X-Environment-Id` or by a path under `/apps`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": described,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": failures(dialects),
            "headers": header_components(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def operation_id(route: Route, method: str, path: str) -> str:
    """Return a unique operation id: the route's name, with a suffix for each alias of it."""
    alias = _is_alias(route, path)
    under = "in_app" if path.startswith("/apps/") else ""
    by = f"by_{method.lower()}" if method != route.method else ""
    return "_".join(filter(None, [route.name, "alias" if alias else "", by, under]))


def _is_alias(route: Route, path: str) -> bool:
    """Return True if the path is one of the aliases of the route, also under `/apps`."""
    _, _, rest = path.removeprefix("/apps/").partition("/")
    return any(alias.endswith(f"/{rest}") for alias in route.aliases)


def _operation(
    route: Route,
    method: str,
    path: str,
    schemas: Schema,
    routes: Sequence[Route],
    dialects: Sequence[Dialect],
) -> Schema:
    """Return the operation of a route at one method and path. Add its resources to `schemas`."""
    responses = _responses(route, path, schemas, dialects)
    links = linked(route, path, routes, operation_id)
    for status in {"201", "202"}.intersection(responses if links else ()):
        responses[status]["links"] = links
    same = f" The same as `{route.method} {route.path}`."
    operation: Schema = {
        "operationId": operation_id(route, method, path),
        "tags": [_tag(route)],
        "summary": route.summary,
        "description": f"Needs the scope `{route.scope}`."
        + (same if (method, path) != (route.method, route.path) else ""),
        "parameters": [*parameters(route, method, path)],
        "responses": responses,
    }
    if _is_alias(route, path):
        operation["deprecated"] = True
    if route.form is not None:
        operation["requestBody"] = {
            "required": not route.form.may_be_empty(),
            "content": _bodies(route, route.form, dialects, schemas),
        }
    return operation


def _bodies(route: Route, form: type[Form], dialects: Sequence[Dialect], schemas: Schema) -> Schema:
    """Return the schema of the body by media type."""
    bodies = {
        dialect.media_type: {"schema": _body(route, form, dialect, schemas)} for dialect in dialects
    }
    if route.batch is not None:
        for dialect in dialects:
            name = f"{dialect.schema_prefix}{route.batch.form.__name__}s"
            schemas[name] = {**_batch(route, route.batch, dialect, schemas), "title": name}
            one = bodies[dialect.media_type]["schema"]
            bodies[dialect.media_type]["schema"] = {"anyOf": [one, ref("schemas", name)]}
        if len(dialects) > 1:  # generators of clients reject a media type that they do not know
            bodies[event_batch.NDJSON] = {"schema": _LINES}
    return bodies


def _batch(route: Route, batch: Batch, dialect: Dialect, schemas: Schema) -> Schema:
    """Return the schema of a batch."""
    one = _body(route, batch.form, dialect, schemas)
    if dialect is jsonapi:
        document = schemas.pop(one["$ref"].rpartition("/")[2])
        return object_schema({"data": _items(document["properties"]["data"])})
    return _items(one)


def _items(one: Schema) -> Schema:
    return {"type": "array", "items": one, "minItems": 1, "maxItems": event_batch.EVENTS_LIMIT}


def _tag(route: Route) -> str:
    nouns = (_TAG_OF.get(part, part) for part in reversed(route.path.split("/")))
    return next(noun for noun in nouns if noun in TAGS)


def _body(route: Route, form: type[Form], dialect: Dialect, schemas: Schema) -> Schema:
    model = dialect.model(form, route.shape, has_id="{" in route.path)
    schema = model.model_json_schema(
        ref_template=f"#/components/schemas/{dialect.schema_prefix}{{model}}",
        schema_generator=UntitledSchema,
    )
    # Client generators name classes by these titles, so they must be unique.
    for name, described in schema.pop("$defs", {}).items():
        schemas[dialect.schema_prefix + name] = {**described, "title": dialect.schema_prefix + name}
    schemas[dialect.schema_prefix + model.__name__] = {
        **schema,
        "title": dialect.schema_prefix + model.__name__,
    }
    return ref("schemas", dialect.schema_prefix + model.__name__)


def _responses(route: Route, path: str, schemas: Schema, dialects: Sequence[Dialect]) -> Schema:
    responses = {str(route.status): _success(route, schemas, dialects)}
    if route.batch is not None:
        _add_list(responses[str(route.status)], route, route.batch, schemas, dialects)
    if route.alternative is not None:
        other = replace(
            route,
            returns=route.alternative.returns,
            shape=route.alternative.shape,
            status=route.alternative.status,
            alternative=None,
        )
        responses[str(other.status)] = _success(other, schemas, dialects)
    for status in _error_statuses(route):
        responses[str(status)] = ref("responses", failure(status))
    return dict(sorted(responses.items()))


def _add_list(
    response: Schema, route: Route, batch: Batch, schemas: Schema, dialects: Sequence[Dialect]
) -> None:
    """Add the list that a batch returns to a response."""
    many = replace(route, returns=batch.returns, is_list=True, batch=None)
    for dialect in dialects:
        content = response["content"][dialect.media_type]
        content["schema"] = {"anyOf": [content["schema"], answered(many, dialect, schemas)]}


def _error_statuses(route: Route) -> Iterator[int]:
    """Yield the error statuses that a route may return."""
    yield from ALWAYS
    asks_for_all = route.query is not None and "all" in route.query.model_fields
    if route.scope != "read" or asks_for_all:
        yield 403
    yield 404
    if route.form is not None:
        yield 422
    if route.is_change:
        yield 409
    if route.if_match:
        yield 412


def _success(route: Route, schemas: Schema, dialects: Sequence[Dialect]) -> Schema:
    """Return the successful response of a route, with its headers."""
    names = ["X-Request-Id"]
    if route.is_change:
        names.append("X-Propagation")
    if route.is_change and route.method == "POST":
        names.append("Idempotent-Replayed")
    if route.status in (HTTPStatus.CREATED, HTTPStatus.ACCEPTED):
        names.append("Location")
    if hasattr(route.returns, "revision") and not route.is_list:
        names.append("ETag")
    response: Schema = {
        "description": HTTPStatus(route.status).phrase,
        "headers": headers(*names),
    }
    if route.status != HTTPStatus.NO_CONTENT:
        response["content"] = {
            dialect.media_type: {"schema": answered(route, dialect, schemas)}
            for dialect in dialects
        }
    return response
