"""Webhooks over HTTP, in both dialects."""

import pytest

from tests.api.conftest import Api, Client
from tests.receivers import Receiver

JSONAPI = "application/vnd.api+json"


@pytest.fixture
async def admin(standing: Api, home: str) -> Client:
    """An administrator of the test's environment."""
    return await standing.client("admin", home)


async def test_a_webhook_is_created_read_changed_and_deleted(
    admin: Client, receiver: Receiver
) -> None:
    made = await admin("POST", "/api/webhooks", {"url": receiver.url, "events": ["user.*"]})
    assert made.status == 201
    assert len(made.data["secret"]) == 64
    path = f"/api/webhooks/{made.data['id']}"
    read = await admin("GET", path)
    assert "secret" not in read.data
    changed = await admin("PATCH", path, {"name": "other", "events": ["a", "b"]})
    assert (changed.data["name"], changed.data["events"]) == ("other", ["a", "b"])
    gone = await admin("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    assert (await admin("GET", path)).status == 404


async def test_a_webhook_is_created_as_a_json_api_document(
    admin: Client, receiver: Receiver
) -> None:
    attributes = {"name": "User sync", "url": receiver.url, "events": ["user.created"]}
    document = {"data": {"type": "webhook", "attributes": attributes}}
    made = await admin("POST", "/api/webhooks", document, Content_Type=JSONAPI)
    assert (made.status, made.type) == (201, JSONAPI)
    assert len(made.json["data"]["attributes"]["signing_secret"]) == 64
    assert made.json["data"]["type"] == "webhook"


async def test_webhooks_are_found_by_text_and_state(admin: Client, receiver: Receiver) -> None:
    async def found(query: str) -> list[str]:
        listed = await admin("GET", f"/api/webhooks?{query}")
        assert listed.status == 200
        items = listed.data if isinstance(listed.data, list) else listed.data["items"]
        return [webhook["name"] for webhook in items]

    for name, active in (("Initech EU", True), ("Hooli", True), ("Initech US", False)):
        made = await admin(
            "POST", "/api/webhooks", {"url": receiver.url, "events": ["a"], "name": name}
        )
        if not active:
            await admin("PATCH", f"/api/webhooks/{made.data['id']}", {"active": False})
    assert await found("search=INITECH") == ["Initech EU", "Initech US"]
    assert await found("state=disabled") == ["Initech US"]
    assert await found("search=initech&state=active") == ["Initech EU"]
    assert await found("search=nothing") == []
    first = await admin("GET", "/api/webhooks?search=initech&limit=1")
    assert [webhook["name"] for webhook in first.data["items"]] == ["Initech EU"]
    cursor = first.data["nextCursor"]
    assert await found(f"search=initech&limit=1&cursor={cursor}") == ["Initech US"]
    for wrong in ("state=wrong", "search=", f"search={'x' * 201}"):
        assert (await admin("GET", f"/api/webhooks?{wrong}")).status == 400
