"""The id in a JSON:API document is that of the resource itself, the last one of the path."""

import pytest

from tests.api.conftest import Client
from tests.receivers import Receiver

JSON_API = {"Content_Type": "application/vnd.api+json"}


@pytest.mark.parametrize("own", [True, False])
async def test_a_recovery_is_cancelled_by_a_document_with_its_own_id_alone(
    admin: Client, receiver: Receiver, own: bool
) -> None:
    webhook = (await admin("POST", "/api/webhooks", {"url": receiver.url, "events": ["*"]})).data
    path = f"/api/webhooks/{webhook['id']}"
    since = {"since": "2026-01-01T00:00:00Z"}
    recovery = (await admin("POST", f"{path}/recover", since)).data
    document = {"data": {"type": "recovery", "id": recovery["id"] if own else webhook["id"]}}
    cancelled = await admin(
        "POST", f"{path}/recoveries/{recovery['id']}/cancel", document, **JSON_API
    )
    # It may be done by now, which is a conflict of another kind.
    assert (b'"pointer":"/data/id"' in cancelled.body) is not own
    assert own or cancelled.status == 409
