"""The OpenAPI 3.1 document, generated from the routes and models that serve requests."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus

from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from dispatcher import __version__
from dispatcher.api.openapi.links import PARAMETER, linked
from dispatcher.api.openapi.schemas import (
    BY_NAME,
    TONGUES,
    Schema,
    Tongue,
    answered,
    closed,
    error_schemas,
    failure,
    failures,
    header_components,
    headers,
    ref,
)
from dispatcher.api.routes import Route
from dispatcher.core.environment_ids import DEFAULT_ENVIRONMENT, ID_PATTERN
from dispatcher.core.event_patterns import LIMIT_CHARACTERS
from dispatcher.services.inputs.base import Form

ALWAYS = (400, 401, 406, 408, 413, 415, 429, 503)
"""The error statuses that any route may return."""

TAGS = {
    "webhooks": "Where events are sent, and which of them.",
    "deliveries": "One event owed to one webhook, and every attempt at it.",
    "recoveries": "What failed or was missed, sent again.",
    "events": "What happened, told once.",
    "quarantine": "Events that could not be fanned out.",
    "event-types": "The catalogue: what types mean and look like.",
    "pause": "Sending, stopped and started.",
    "stats": "How much waits to be sent, and how sending goes.",
    "environments": "Tenants: none sees anything of another.",
    "tokens": "Who may ask for what.",
    "audit": "Who changed what.",
    "health": "For those who watch over it.",
}
_TAG_OF = {"attempts": "deliveries", "recover": "recoveries", "resume": "pause"}
_NUMBERED = r"_(0|[1-9][0-9]{0,18})$"
_ENVIRONMENT: Schema = {
    "type": "string",
    "pattern": rf"^{ID_PATTERN}$",
    "examples": [DEFAULT_ENVIRONMENT],
}
PATH: dict[str, tuple[str, Schema]] = {
    "webhook_id": ("The webhook's id", {"type": "string", "format": "uuid"}),
    "delivery_id": ("The delivery's id", {"type": "string", "pattern": f"^dlv{_NUMBERED}"}),
    "event_id": ("The event's id", {"type": "string", "pattern": f"^evt{_NUMBERED}"}),
    "recovery_id": ("The recovery's id", {"type": "string", "pattern": f"^rec{_NUMBERED}"}),
    "quarantine_id": (
        "The id it has in quarantine",
        {"type": "string", "pattern": f"^q{_NUMBERED}"},
    ),
    "token_id": ("The token's id, not its text", {"type": "string", "format": "uuid"}),
    "name": (
        "The event type",
        {
            "type": "string",
            "pattern": r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$",
            "maxLength": LIMIT_CHARACTERS,
            "examples": ["user.created"],
        },
    ),
    "app_id": ("The environment", _ENVIRONMENT),
}


class _Untitled(GenerateJsonSchema):
    """A schema generator that gives fields no titles, because their names are enough."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def describe(routes: Sequence[Route], tongues: Sequence[Tongue] = TONGUES) -> Schema:
    """Return the document, for all representations or only for those in `tongues`.

    From several representations, client generators make a union type, which forces callers to test
    which one they got. A document with one representation avoids that.
    """
    schemas: Schema = {name: s for t in tongues for name, s in error_schemas(t)}
    described: dict[str, Schema] = dict(_watched())
    for route in routes:
        for method, path in route.paths():
            operation = _operation(route, method, path, schemas, routes, tongues)
            described.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dispatcher",
            "version": __version__,
            "description": "Webhooks and their deliveries. Every resource can be had in two"
            " representations: as JSON in an envelope, camelCase, or as JSON:API. `Accept` says"
            " which, else `Content-Type` does. `?dialect=envelope` and `?dialect=jsonapi` give this"
            " document for one of them.\n\nA token belongs to one environment or to all;"
            " one for all chooses with `X-Environment-Id`, or by a path under `/apps`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": described,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": failures(tongues),
            "headers": header_components(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def operation_id(route: Route, method: str, path: str) -> str:
    """Return a unique operation id: the route's name, with a suffix for each alias of it."""
    _, _, rest = path.removeprefix("/apps/").partition("/")
    alias = any(each.endswith(f"/{rest}") for each in route.also)
    under = "in_app" if path.startswith("/apps/") else ""
    by = f"by_{method.lower()}" if method != route.method else ""
    return "_".join(filter(None, [route.name, "alias" if alias else "", by, under]))


def _operation(
    route: Route,
    method: str,
    path: str,
    schemas: Schema,
    routes: Sequence[Route],
    tongues: Sequence[Tongue],
) -> Schema:
    """Return the operation of a route at one method and path. Add its resources to `schemas`."""
    responses = _responses(route, path, schemas, tongues)
    links = linked(route, path, routes, operation_id)
    for made in {"201", "202"}.intersection(responses if links else ()):
        responses[made]["links"] = links
    same = f" The same as `{route.method} {route.path}`."
    operation: Schema = {
        "operationId": operation_id(route, method, path),
        "tags": [_tag(route)],
        "summary": route.summary,
        "description": f"Needs the scope `{route.scope}`."
        + (same if (method, path) != (route.method, route.path) else ""),
        "parameters": [*_parameters(route, method, path)],
        "responses": responses,
    }
    if route.form is not None:
        operation["requestBody"] = {
            "required": _is_needed(route.form),
            "content": {
                tongue.dialect.media_type: {"schema": _body(route, route.form, tongue, schemas)}
                for tongue in tongues
            },
        }
    return operation


def _tag(route: Route) -> str:
    nouns = (_TAG_OF.get(part, part) for part in reversed(route.path.split("/")))
    return next(noun for noun in nouns if noun in TAGS)


def _is_needed(form: type[Form]) -> bool:
    return any(field.is_required() for field in form.model_fields.values())


def _parameters(route: Route, method: str, path: str) -> Iterator[Schema]:
    for name in PARAMETER.findall(path):
        text, schema = PATH[name]
        yield {"name": name, "in": "path", "required": True, "description": text, "schema": schema}
    if route.query is not None:
        yield from _query(route.query)
    if not route.everywhere and "{app_id}" not in path:
        told = "Which environment, for tokens of all of them; `env_default` by default"
        yield _header("X-Environment-Id", told, _ENVIRONMENT)
    if route.changes and method == "POST":
        told = "The same key again does nothing again: the answer is repeated, without its secrets"
        yield _header("Idempotency-Key", told, {"type": "string", "pattern": r"^[!-~]{1,255}$"})
    if route.versioned:
        told = "Only if the ETag is still this one; `*`: whatever it is"
        yield _header("If-Match", told, {"type": "string", "examples": ["*"]})


def _query(form: type[Form]) -> Iterator[Schema]:
    schema = form.model_json_schema(by_alias=False, schema_generator=_Untitled)
    for name, described in schema["properties"].items():
        plain = _without_null(described, schema.get("$defs", {}))
        text = plain.pop("description", None) or _text(form.model_fields[name], name)
        yield {"name": name, "in": "query", "description": text, "schema": plain}


def _text(field: FieldInfo, name: str) -> str:
    told = {
        "cursor": "Where to go on: from the page before; JSON:API's `page[cursor]` is the same",
        "limit": "Items on a page; JSON:API's `page[limit]` is the same",
    }
    return told.get(name) or f"Only those whose {name.replace('_', ' ')} is this"


def _without_null(schema: Schema, definitions: Schema) -> Schema:
    """Return a parameter's schema without null, and with small references written inline.

    A query parameter cannot be null.
    """
    if "anyOf" in schema:
        (some,) = [each for each in schema["anyOf"] if each.get("type") != "null"]
        rest = {n: v for n, v in schema.items() if n not in ("anyOf", "default")}
        return _without_null({**some, **rest}, definitions)
    if "$ref" in schema:
        return {**definitions[schema["$ref"].rsplit("/", 1)[1]]}
    return {**schema}


def _header(name: str, text: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "description": text, "schema": schema}


def _body(route: Route, form: type[Form], tongue: Tongue, schemas: Schema) -> Schema:
    model = tongue.dialect.model(form, route.shape, has_id="{" in route.path)
    schema = model.model_json_schema(
        ref_template=f"#/components/schemas/{tongue.prefix}{{model}}", schema_generator=_Untitled
    )
    # Client generators name classes by these titles, so they must be unique.
    for name, described in schema.pop("$defs", {}).items():
        schemas[tongue.prefix + name] = {**described, "title": tongue.prefix + name}
    schemas[tongue.prefix + model.__name__] = {**schema, "title": tongue.prefix + model.__name__}
    return ref("schemas", tongue.prefix + model.__name__)


def _responses(route: Route, path: str, schemas: Schema, tongues: Sequence[Tongue]) -> Schema:
    responses = {str(route.status): _success(route, schemas, tongues)}
    if route.otherwise is not None:
        status, kind, shape = route.otherwise
        other = replace(route, answers=kind, shape=shape, status=status, otherwise=None)
        responses[str(status)] = _success(other, schemas, tongues)
    for status in _ends(route, path):
        responses[str(status)] = ref("responses", failure(status))
    return dict(sorted(responses.items()))


def _ends(route: Route, path: str) -> Iterator[int]:
    """Yield the error statuses that a route may return."""
    yield from ALWAYS
    if route.scope != "read":
        yield 403
    if not route.everywhere or "{" in path:
        yield 404
    if route.form is not None:
        yield 422
    if route.changes:
        yield 409
    if route.versioned:
        yield 412


def _success(route: Route, schemas: Schema, tongues: Sequence[Tongue]) -> Schema:
    """Return the successful response of a route, with its headers."""
    names = ["X-Request-Id"]
    if route.changes:
        names.append("X-Propagation")
    if route.changes and route.method == "POST":
        names.append("Idempotent-Replayed")
    if route.status in (HTTPStatus.CREATED, HTTPStatus.ACCEPTED):
        names.append("Location")
    if hasattr(route.answers, "revision") and not route.many:
        names.append("ETag")
    response: Schema = {
        "description": HTTPStatus(route.status).phrase,
        "headers": headers(*names),
    }
    if route.status != HTTPStatus.NO_CONTENT:
        response["content"] = {
            tongue.dialect.media_type: {"schema": answered(route, tongue, schemas)}
            for tongue in tongues
        }
    return response


def _watched() -> Iterator[tuple[str, Schema]]:
    """Yield the paths outside the API: three without a token, and two that need one."""
    checks: Schema = {"type": "object", "additionalProperties": {"type": "boolean"}}
    alive = closed({"status": {"const": "alive"}})
    moment: Schema = {"type": "string", "format": "date-time"}
    failing: Schema = {"type": "object", "additionalProperties": moment}
    status: Schema = {"enum": ["ready", "not ready"]}
    ready = closed({"status": status, "checks": checks, "failing": failing, "paused": _paused()})
    yield "/livez", _probe("is_alive", "Whether the process turns", {"200": alive})
    for path, name in (("/readyz", "is_ready"), ("/healthz", "is_healthy")):
        told = "Whether it has what it needs, by name"
        yield path, _probe(name, told, {"200": ready, "503": ready})
    told = "Figures for Prometheus"
    yield "/metrics", _shown("get_metrics", told, {"text/plain": {"type": "string"}}, 403)
    yield "/openapi.json", _document()


def _paused() -> Schema:
    """Return the schema of `paused` in `/readyz`; it is null until the daemon has looked."""
    since: Schema = {"type": ["string", "null"], "format": "date-time"}
    found = closed({"all": since, "environments": {"type": "integer"}})
    return {"oneOf": [found, {"type": "null"}]}


def _document() -> Schema:
    shown = _shown("get_openapi", "This document", {"application/json": {"type": "object"}})
    shown["get"]["parameters"] = [
        {
            "name": "dialect",
            "in": "query",
            "description": "Only this representation, as generators of clients need it",
            "schema": {"enum": [*BY_NAME]},
        }
    ]
    shown["get"]["responses"]["400"] = ref("responses", failure(400))
    return shown


def _probe(name: str, summary: str, answers: dict[str, Schema]) -> Schema:
    responses = {
        status: {
            "description": HTTPStatus(int(status)).phrase,
            "headers": headers("X-Request-Id"),
            "content": {"application/json": {"schema": schema}},
        }
        for status, schema in answers.items()
    }
    operation = {"operationId": name, "tags": ["health"], "summary": summary}
    return {"get": {**operation, "security": [], "responses": responses}}


def _shown(name: str, summary: str, content: dict[str, Schema], *more: int) -> Schema:
    told = {
        "description": HTTPStatus(HTTPStatus.OK).phrase,
        "headers": headers("X-Request-Id"),
        "content": {media_type: {"schema": schema} for media_type, schema in content.items()},
    }
    ends = {
        str(status): ref("responses", failure(status)) for status in (401, *more, 406, 429, 503)
    }
    operation = {"operationId": name, "tags": ["health"], "summary": summary}
    return {"get": {**operation, "responses": {"200": told, **ends}}}
