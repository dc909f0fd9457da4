"""A token with the scope `support` looks, retries, replays and reads the audit log, and no more."""

import pytest

from tests.api.conftest import Api, Client
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_deliveries import delivery, emit
from tests.dashboard.test_webhooks import made
from tests.receivers import Receiver

NEVER = {"retries": 0, "base": 1}
SINCE = {"step": "start", "since": "2026-01-01T00:00:00Z", "until": "", "missed": "on"}
AUDITED = "SELECT count(*) FROM dispatcher.audit WHERE environment_id = $1"
FORBIDDEN = {
    "/webhooks/new": {"url": "http://127.0.0.1/", "patterns": "*"},
    "/webhooks/{webhook}/settings": {"url": "http://127.0.0.1/", "name": "B", "patterns": "*"},
    "/webhooks/{webhook}/credentials": {},
    "/webhooks/{webhook}/rotate": {"overlap": "none"},
    "/webhooks/{webhook}/test": {},
    "/webhooks/{webhook}/disable": {},
    "/webhooks/{webhook}/delete": {},
    "/deliveries/{delivery}/cancel": {},
    "/deliveries/bulk": {"of": "filtered", "action": "cancel"},
    "/events/new": {"type": "a", "data": "{}"},
    "/event-types/new": {"name": "a"},
    "/tokens": {"name": "a"},
    "/pause": {},
}
"""Forms that need a wider scope."""


@pytest.fixture
async def helper(standing: Api, stranger: Visitor, home: str) -> Visitor:
    """Somebody of support."""
    await stranger.sign_in(await standing.token("support", home))
    return stranger


async def test_support_retries_replays_and_reads_the_audit_log(
    helper: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url, retry=NEVER)
    receiver.answers = [500]
    await emit(admin)
    name = await delivery(admin, "FAILED")
    retried = await helper.submit(
        (await helper.get(f"/deliveries/{name}")).markup.form(f"{name}/retry")
    )
    assert "The delivery is being sent again." in retried.text
    await delivery(admin, "DELIVERED")
    preview = await helper.post("/deliveries/bulk", {"of": "filtered", "action": "retry"})
    assert "Retry 1 delivery?" in preview.text
    started = await helper.submit(preview.markup.form("/deliveries/bulk"), action="retry")
    assert "Started." in started.text
    recovered = await helper.post(f"/webhooks/{webhook}/recoveries", dict(SINCE))
    assert "The recovery has started." in recovered.text
    audit = await helper.get("/audit")
    assert [word in audit.text for word in ("delivery.retry", "webhook.recover")] == [True, True]
    assert 'aria-current="page"' in audit.text


async def test_support_changes_no_settings_and_is_offered_none(
    helper: Visitor, admin: Client, receiver: Receiver, database: Connection, home: str
) -> None:
    webhook = await made(admin, receiver.url, retry=NEVER)
    await emit(admin)
    name = await delivery(admin, "DELIVERED")
    before = await database.fetchval(AUDITED, home)
    for path in ("/", "/webhooks", f"/webhooks/{webhook}", f"/webhooks/{webhook}/settings"):
        buttons = [
            button for form in (await helper.get(path)).markup.forms for button in form.buttons
        ]
        assert not {"Save", "Enable", "Disable", "Send test event", "Pause sending"} & set(buttons)
    listed = (await helper.get("/deliveries")).text
    assert [word in listed for word in ("Retry all", "Retry selected", "Cancel")] == [
        True,
        True,
        False,
    ]
    for path, fields in FORBIDDEN.items():
        sent = path.format(webhook=webhook, delivery=name)
        assert (await helper.post(sent, dict(fields))).status == 403, path
    assert (await helper.get("/tokens")).status == 403
    assert await database.fetchval(AUDITED, home) == before
