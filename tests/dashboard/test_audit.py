"""The audit log, as a visitor reads it: who changed what, from what to what."""

import re
from html import unescape

from tests.api.conftest import OTHER, Api, Client
from tests.conftest import Connection
from tests.dashboard.conftest import Page, Visitor
from tests.dashboard.test_webhooks import made
from tests.receivers import Receiver
from tests.waiting import until


def entries(page: Page) -> list[str]:
    """The rows of the table, each as text."""
    rows = re.findall(
        r"<tr>\s*<td class=\"tight\">(.*?)</tr>\s*(?=<tr>\s*<td class|</tbody>\s*</table>\s*</div>)",
        page.text,
        re.DOTALL,
    )
    return [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row)) for row in rows]


async def test_a_change_shows_who_where_and_from_what_to_what(
    visitor: Visitor, admin: Client, receiver: Receiver, home: str
) -> None:
    webhook = await made(admin, receiver.url, name="Billing")
    await admin("PATCH", f"/api/webhooks/{webhook}", {"name": "Invoices", "rateLimit": 5})
    await visitor.post(f"/webhooks/{webhook}/disable")
    disabled, changed, created = entries(await visitor.get(f"/webhooks/{webhook}/history"))
    assert "of a test in the dashboard" in disabled
    assert "active yes → no" in disabled
    assert "of a test by the API" in changed
    assert "name Billing → Invoices" in changed
    assert "rate limit none → 5" in changed
    assert "events user.*" in created
    audit = await visitor.get("/audit?subject=Invoices")
    assert len(entries(audit)) == 3
    assert f'href="/e/{home}/webhooks/{webhook}">Invoices</a>' in audit.text
    await visitor.post(f"/webhooks/{webhook}/delete")
    audit = await visitor.get(f"/audit?subject={webhook}")
    assert "webhook Invoices deleted" in entries(audit)[0]
    assert f"/webhooks/{webhook}" not in audit.text


async def test_changes_are_filtered_by_their_actor(
    visitor: Visitor, database: Connection, home: str
) -> None:
    await visitor.post("/event-types/new", {"name": "a.b"})
    await database.execute(
        "INSERT INTO dispatcher.audit (environment_id, actor, action, subject)"
        " VALUES ($1, 'cli:ada', 'webhook.delete', '00000000-0000-4000-8000-000000000001')",
        home,
    )
    page = await visitor.get("/audit")
    assert '<option value="cli:ada" >ada (command line)</option>' in page.text
    assert "of a test</option>" in page.text
    (row,) = entries(await visitor.get("/audit?actor=cli:ada"))
    assert "ada on the command line" in row
    assert "deleted" in row
    assert "Nothing found" in (await visitor.get("/audit?actor=cli:bob")).text


async def test_the_daemon_tells_why_it_disabled_a_webhook(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url)
    receiver.answers = [410]
    await visitor.post(f"/webhooks/{webhook}/test")

    async def told() -> bool:
        rows = entries(await visitor.get(f"/webhooks/{webhook}/history"))
        return any("Dispatcher" in row and "active yes → no reason gone" in row for row in rows)

    await until(told, "the history names the daemon and its reason")


async def test_links_lead_to_the_environment_of_the_change(
    visitor: Visitor, standing: Api, receiver: Receiver
) -> None:
    other = await standing.client("admin", OTHER)
    webhook = await made(other, receiver.url, name="Theirs")
    page = await visitor.get("/audit?all=on")
    assert f'href="/e/{OTHER}/webhooks/{webhook}">Theirs</a>' in page.text
    assert "Theirs" not in (await visitor.get("/audit")).text


async def test_a_read_token_has_no_history(
    standing: Api, stranger: Visitor, admin: Client, receiver: Receiver, home: str
) -> None:
    webhook = await made(admin, receiver.url)
    await stranger.sign_in(await standing.token("read", home))
    assert "History" not in (await stranger.get(f"/webhooks/{webhook}")).text
    assert (await stranger.get(f"/webhooks/{webhook}/history")).status == 403


async def test_an_event_type_leads_to_its_history(visitor: Visitor, home: str) -> None:
    await visitor.post("/event-types/new", {"name": "a.b"})
    await visitor.post("/event-types/new", {"name": "a.c"})
    page = await visitor.get("/event-types/of/a.b")
    assert f'href="/e/{home}/audit?subject=a.b">History</a>' in page.text
    (row,) = entries(await visitor.get("/audit?subject=a.b"))
    assert "event_type.create" in row


def filtered(page: Page) -> str:
    """Return the target of the link with the words of the filter."""
    match = re.search(r'<a href="([^"]+)">delivered, webhook Initech</a>', page.text)
    assert match is not None, page.text
    return unescape(match[1])


async def test_a_bulk_action_says_what_it_selected_and_leads_to_it(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url, name="Initech")
    await admin("POST", "/api/events", {"type": "user.created", "data": {}})
    await receiver.wait_for(1)

    async def is_delivered() -> bool:
        listed = await admin("GET", "/api/deliveries?status=DELIVERED")
        return bool(listed.data["items"])

    await until(is_delivered, "the delivery ended")
    started = await admin(
        "POST",
        "/api/bulk-actions",
        {"action": "retry", "filters": {"status": "DELIVERED", "webhookId": webhook}},
    )
    assert started.status == 202
    page = await visitor.get("/audit?action=delivery.retry_many")
    link = filtered(page)
    assert "deliveries 1" in entries(page)[0]
    assert "{" not in entries(page)[0]
    listed = await visitor.follow(link)
    assert "user.created" in listed.text
    shown = await visitor.get(f"/deliveries/bulk/{started.data['id']}")
    assert filtered(shown) == link
