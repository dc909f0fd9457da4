"""Webhooks over HTTP, in both dialects."""

from tests.api.conftest import Client
from tests.receivers import Receiver

JSONAPI = "application/vnd.api+json"


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
