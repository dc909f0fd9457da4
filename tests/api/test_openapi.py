"""The OpenAPI document: valid, complete, and its names are stable."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from dispatcher.api.all_routes import ROUTES
from dispatcher.api.openapi import document as document_module
from dispatcher.api.openapi.schemas import DIALECTS_BY_NAME
from tests.api.conftest import Api, Client
from tests.api.openapi_file import FILE

DIALECTS = sorted(DIALECTS_BY_NAME)
MEDIA_TYPES = {"application/json", "application/vnd.api+json"}
OPERATION_IDS = re.findall(
    r"\w+",
    """
cancel_bulk_action cancel_delivery cancel_recovery create_environment create_token create_webhook
delete_event_type delete_webhook discard_quarantined_event emit_event get_bulk_action get_delivery
get_event get_event_type get_metrics get_openapi get_pause get_quarantined_event get_recovery
get_stats get_webhook is_alive is_healthy is_ready list_attempts list_audit list_bulk_actions
list_deliveries list_environments list_event_deliveries list_event_types list_events list_quarantined_events
list_recoveries list_tokens list_webhook_deliveries list_webhooks pause put_event_type
recover_webhook release_quarantined_event rename_environment resume retry_delivery revoke_token rotate_webhook_secret
rotate_webhook_secret_alias rotate_webhook_secret_alias_by_post rotate_webhook_secret_by_post
start_bulk_action test_webhook test_webhook_alias update_webhook update_webhook_by_put
    """,
)
"""Those outside of /apps. Clients are generated from them: one that is gone or renamed breaks them."""

OPERATION_IDS_UNDER_BOTH = [*OPERATION_IDS, *(f"{name}_in_app" for name in OPERATION_IDS)]


@cache
def document(dialect: str = "") -> Any:
    """The document of both dialects, or of one; not described while tests are collected."""
    if not dialect:
        return document_module.describe(ROUTES)
    return document_module.describe(ROUTES, DIALECTS_BY_NAME[dialect])


def operations() -> Iterator[tuple[str, str, Any]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def referred(value: Any) -> Any:
    """Return the target of a reference, and anything else as it is."""
    if "$ref" not in value:
        return value
    target = document()
    for part in value["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return target


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


@pytest.mark.long
@pytest.mark.parametrize("dialect", ["", *DIALECTS])
def test_the_document_is_valid_openapi(dialect: str) -> None:
    errors = OpenAPIV31SpecValidator(document(dialect)).iter_errors()
    assert [error.message for error in errors] == []


def test_figures_of_all_environments_may_be_refused() -> None:
    assert "403" in document()["paths"]["/api/stats"]["get"]["responses"]


def test_titles_of_schemas_are_unique() -> None:
    schemas = document()["components"]["schemas"]
    titles = [schema["title"] for schema in schemas.values() if "title" in schema]
    assert len(titles) == len(set(titles)) > 20


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_document_of_one_dialect_names_no_other(dialect: str) -> None:
    described = document(dialect)
    other = {"envelope": "vnd.api+json", "jsonapi": "application/json"}[dialect]
    resources = {
        path: methods
        for path, methods in described["paths"].items()
        if path.startswith(("/api", "/apps"))
    }
    assert resources.keys() == {p for p in document()["paths"] if p.startswith(("/api", "/apps"))}
    assert other not in str(resources)
    assert other not in str(described["components"]["responses"])
    prefixed = {name.startswith("JsonApi") for name in described["components"]["schemas"]}
    assert prefixed == {dialect == "jsonapi"}


async def test_the_document_is_served_to_any_token(api: Api) -> None:
    reader = await api.client("read", "env_default")
    answered = await reader("GET", "/openapi.json")
    assert (answered.status, answered.json) == (200, document())
    assert answered.json == json.loads(FILE.read_text())


def test_aliases_are_deprecated_and_nothing_else_is() -> None:
    names = {
        operation["operationId"] for _, _, operation in operations() if operation.get("deprecated")
    }
    assert names == {name for name in OPERATION_IDS_UNDER_BOTH if "_alias" in name}


async def test_the_document_has_every_route_of_the_server(api: Api, admin: Client) -> None:
    """Asked for what is described with another method, the server names no method that is not."""
    for path, methods in document()["paths"].items():
        concrete = re.sub(r"\{\w+\}", "x", path)
        answered = await admin("TRACE", concrete)
        assert answered.status == 405, path
        allowed = set(answered.headers["Allow"].lower().split(",")) - {"head"}
        assert allowed == set(methods), path


def test_the_names_of_operations_are_stable_and_unique() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    assert sorted(name for name in names if not name.endswith("_in_app")) == OPERATION_IDS


def test_every_way_under_apps_has_the_name_of_its_original() -> None:
    for method, path, operation in operations():
        if path.startswith("/apps/"):
            original = document()["paths"]["/api/" + path.split("/", 3)[3]][method]
            assert operation["operationId"] == f"{original['operationId']}_in_app"


def test_every_operation_has_one_known_tag_and_a_summary() -> None:
    known = {tag["name"] for tag in document()["tags"]}
    used = [operation["tags"] for _, _, operation in operations()]
    assert {tag for tags in used for tag in tags} == known
    assert all(len(tags) == 1 for tags in used)
    assert all(operation["summary"] for _, _, operation in operations())


def test_every_parameter_is_described() -> None:
    for _, path, operation in operations():
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (path, parameter["name"])


def test_every_answer_under_api_comes_in_both_dialects() -> None:
    for _, path, operation in operations():
        if not path.startswith(("/api/", "/apps/")):
            continue
        for status, response in operation["responses"].items():
            content = referred(response).get("content", {})
            assert set(content) == (set() if status == "204" else MEDIA_TYPES), (path, status)
        bodies = set(operation.get("requestBody", {}).get("content", MEDIA_TYPES))
        also = (
            {"application/x-ndjson"} if operation["operationId"].startswith("emit_event") else set()
        )
        assert bodies == MEDIA_TYPES | also


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    used = set(references(document()))
    components = {
        f"#/components/{kind}/{name}"
        for kind, named in document()["components"].items()
        if kind != "securitySchemes"
        for name in named
    }
    assert used == components


def test_every_link_gives_all_that_the_operation_needs_in_its_path() -> None:
    needed = {
        operation["operationId"]: set(re.findall(r"\{(\w+)\}", path))
        for _, path, operation in operations()
    }
    links = [
        link
        for _, _, operation in operations()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert links
    assert [link for link in links if set(link["parameters"]) != needed[link["operationId"]]] == []


@pytest.mark.parametrize(
    ("form", "noun"),
    [("DeliveryEmpty", "delivery"), ("RecoveryEmpty", "recovery"), ("NewWebhook", "webhook")],
)
def test_a_jsonapi_document_asks_for_the_type_of_its_own_resource(form: str, noun: str) -> None:
    schemas = document()["components"]["schemas"]
    assert schemas[f"JsonApi{form}Resource"]["properties"]["type"]["const"] == noun
