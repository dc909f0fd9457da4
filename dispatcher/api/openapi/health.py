"""The paths outside the API in the OpenAPI document: health checks, metrics, the document."""

from collections.abc import Iterator
from http import HTTPStatus

from dispatcher.api.openapi.schemas import (
    DIALECTS_BY_NAME,
    Schema,
    failure,
    headers,
    object_schema,
    ref,
)


def health_paths() -> Iterator[tuple[str, Schema]]:
    """Yield the paths outside the API: three without a token, and two that need one."""
    checks: Schema = {"type": "object", "additionalProperties": {"type": "boolean"}}
    alive = object_schema({"status": {"const": "alive"}})
    moment: Schema = {"type": "string", "format": "date-time"}
    failing: Schema = {"type": "object", "additionalProperties": moment}
    status: Schema = {"enum": ["ready", "not ready"]}
    ready = object_schema(
        {"status": status, "checks": checks, "failing": failing, "paused": _paused()}
    )
    yield "/livez", _probe("is_alive", "Check that the process runs", {"200": alive})
    for path, name in (("/readyz", "is_ready"), ("/healthz", "is_healthy")):
        summary = "Check that the daemon is ready, with the result of each check"
        yield path, _probe(name, summary, {"200": ready, "503": ready})
    summary = "Read the metrics, in the text format of Prometheus"
    yield "/metrics", _shown("get_metrics", summary, {"text/plain": {"type": "string"}}, 403)
    yield "/openapi.json", _document()


def _paused() -> Schema:
    """Return the schema of `paused` in `/readyz`; it is null until the daemon has read it."""
    since: Schema = {"type": ["string", "null"], "format": "date-time"}
    paused = object_schema({"all": since, "environments": {"type": "integer"}})
    return {"oneOf": [paused, {"type": "null"}]}


def _document() -> Schema:
    shown = _shown("get_openapi", "Read this document", {"application/json": {"type": "object"}})
    shown["get"]["parameters"] = [
        {
            "name": "dialect",
            "in": "query",
            "description": "Describe only this representation, as client generators need it",
            "schema": {"enum": [*DIALECTS_BY_NAME]},
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
    success = {
        "description": HTTPStatus(HTTPStatus.OK).phrase,
        "headers": headers("X-Request-Id"),
        "content": {media_type: {"schema": schema} for media_type, schema in content.items()},
    }
    ends = {
        str(status): ref("responses", failure(status)) for status in (401, *more, 406, 429, 503)
    }
    operation = {"operationId": name, "tags": ["health"], "summary": summary}
    return {"get": {**operation, "responses": {"200": success, **ends}}}
