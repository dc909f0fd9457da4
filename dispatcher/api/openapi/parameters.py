"""The parameters of an operation in the OpenAPI document: path, query and headers."""

from collections.abc import Iterator

from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from dispatcher.api.openapi.links import PARAMETER
from dispatcher.api.openapi.schemas import Schema
from dispatcher.api.routes import Route
from dispatcher.core.environment_ids import DEFAULT_ENVIRONMENT, ID_PATTERN
from dispatcher.core.event_patterns import LIMIT_CHARACTERS
from dispatcher.services.inputs.base import Form

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
    "bulk_action_id": (
        "The bulk action's id",
        {"type": "string", "pattern": f"^blk{_NUMBERED}"},
    ),
    "recovery_id": ("The recovery's id", {"type": "string", "pattern": f"^rec{_NUMBERED}"}),
    "quarantine_id": (
        "The id of the quarantined event in the quarantine",
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
    "environment_id": ("The environment's id", _ENVIRONMENT),
}


class UntitledSchema(GenerateJsonSchema):
    """A schema generator that gives fields no titles, because their names are enough."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def parameters(route: Route, method: str, path: str) -> Iterator[Schema]:
    for name in PARAMETER.findall(path):
        text, schema = PATH[name]
        yield {"name": name, "in": "path", "required": True, "description": text, "schema": schema}
    if route.query is not None:
        yield from _query(route.query)
    if not route.all_environments and "{app_id}" not in path:
        text = "The environment, if the token is for all of them. The default is `env_default`."
        yield _header("X-Environment-Id", text, _ENVIRONMENT)
    if route.is_change and method == "POST":
        text = "A repeated request with this key changes nothing. It gets the first response again,"
        text += " without the secrets."
        yield _header("Idempotency-Key", text, {"type": "string", "pattern": r"^[!-~]{1,255}$"})
    if route.if_match:
        text = "Make the change only if the ETag is still this one. `*` matches any ETag."
        yield _header("If-Match", text, {"type": "string", "examples": ["*"]})


def _query(form: type[Form]) -> Iterator[Schema]:
    schema = form.model_json_schema(by_alias=False, schema_generator=UntitledSchema)
    for name, described in schema["properties"].items():
        plain = _without_null(described, schema.get("$defs", {}))
        text = plain.pop("description", None) or _text(form.model_fields[name], name)
        yield {"name": name, "in": "query", "description": text, "schema": plain}


def _text(field: FieldInfo, name: str) -> str:
    texts = {
        "cursor": "The `nextCursor` of the page before. In JSON:API: `page[cursor]`.",
        "limit": "The number of items on a page. In JSON:API: `page[limit]`.",
    }
    return texts.get(name) or f"Return only items with this {name.replace('_', ' ')}"


def _without_null(schema: Schema, definitions: Schema) -> Schema:
    """Return a parameter's schema without null, and with small references written inline.

    A query parameter cannot be null.
    """
    if "anyOf" in schema:
        (plain,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
        rest = {n: v for n, v in schema.items() if n not in ("anyOf", "default")}
        return _without_null({**plain, **rest}, definitions)
    if "$ref" in schema:
        return {**definitions[schema["$ref"].rsplit("/", 1)[1]]}
    return {**schema}


def _header(name: str, text: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "description": text, "schema": schema}
