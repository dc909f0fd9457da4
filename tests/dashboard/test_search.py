"""The one box: what it finds, and the sentence that answers the first hit."""

import pytest

from dispatcher.services.deliveries import history
from tests.api.conftest import Api, Client
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_all_deliveries import NEVER, emit, have, made
from tests.receivers import Receiver


async def test_a_reference_is_answered_in_a_sentence_with_the_button_that_mends_it(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url, "Initech", retry={"retries": 1, "base": 0.01, "jitter": 0})
    receiver.answers = [500, 500]
    event = await emit(admin, "order.created", reference="ord_894287")
    (failed,) = await have(admin, 1, "status=FAILED")
    page = await visitor.get("/search?q=ord_894287")
    assert (
        "order.created was sent to Initech twice, answered 500 each time, given up at" in page.text
    )
    assert f"/events/{event}" in page.text
    again = await visitor.submit(page.markup.form(f"{failed['id']}/retry"))
    assert "The delivery is being sent again." in again.text
    await have(admin, 1, "status=DELIVERED")
    page = await visitor.get("/search?q=ord_894287")
    assert "was delivered to Initech at" in page.text
    assert "by attempt 3." in page.text


async def test_a_failure_is_named_also_if_newer_deliveries_of_the_event_succeeded(
    visitor: Visitor,
    admin: Client,
    receiver: Receiver,
    database: Connection,
    home: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "DELIVERIES_OF_EVENT_LIMIT", 2)
    for n in range(4):
        await made(admin, receiver.url, f"Hook {n}")
    await emit(admin, "order.created", reference="ord_8")
    await have(admin, 4, "status=DELIVERED")
    await database.execute(
        """UPDATE dispatcher.attempts SET state = 'FAILED', outcome = 'http', status = 500
           WHERE delivery_id = (SELECT min(delivery_id) FROM dispatcher.attempts WHERE environment_id = $1)""",
        home,
    )
    (failed,) = await have(admin, 1, "status=FAILED")
    page = await visitor.get("/search?q=ord_8")
    assert "answered 500, given up at" in page.text
    assert "other webhooks: 3 delivered." in page.text
    assert f"/deliveries/{failed['id']}" in page.text


async def test_the_webhook_of_a_delivery_is_linked_until_it_is_deleted(
    visitor: Visitor, admin: Client, receiver: Receiver, home: str
) -> None:
    webhook = await made(admin, receiver.url, "Hooli")
    await emit(admin, reference="ord_7")
    (delivery,) = await have(admin, 1, "status=DELIVERED")
    for text in ("ord_7", delivery["id"]):
        page = await visitor.get(f"/search?q={text}")
        assert f'href="/e/{home}/webhooks/{webhook}">Look at the webhook' in page.text
    await admin("DELETE", f"/api/webhooks/{webhook}")
    for text in ("ord_7", delivery["id"]):
        page = await visitor.get(f"/search?q={text}")
        assert ("was delivered to Hooli" in page.text, webhook in page.text) == (True, False)


async def test_ids_keys_and_texts_of_payloads_are_found(
    visitor: Visitor, admin: Client, receiver: Receiver, home: str
) -> None:
    webhook = await made(admin, receiver.url, "Hooli")
    event = await emit(admin, data={"customer": "cus_\u00e4 7", "n": 1})
    (delivery,) = await have(admin, 1, "status=DELIVERED")
    batch = [{"type": "a.b", "data": 1, "idempotencyKey": "key-77"}]
    keyed = (await admin("POST", "/api/events", batch)).data[0]
    for text, path in {
        event: f"/events/{event}",
        str(delivery["id"]): f"/deliveries/{delivery['id']}",
        webhook: f"/webhooks/{webhook}",
        "key-77": f"/events/{keyed['id']}",
        "cus_\u00e4 7": f"/events/{event}",
        "hOOl": f"/webhooks/{webhook}",
        receiver.url.removeprefix("http://"): f"/webhooks/{webhook}",
    }.items():
        page = await visitor.get(f"/search?q={text}")
        assert f'href="/e/{home}{path}"' in page.text, text
        assert 'aria-label="Answer"' in page.text
    nothing = await visitor.get("/search?q=ord_0&in=hour")
    assert ("Nothing found" in nothing.text, "Payloads were searched." in nothing.text) == (
        True,
        True,
    )
    assert "Nothing found" not in (await visitor.get("/search?q=")).text


async def test_a_webhook_is_answered_by_how_it_does(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url, "Hooli", retry=NEVER)
    assert "nothing was sent in the last 24 hours" in (await visitor.get("/search?q=hooli")).text
    await admin("PATCH", f"/api/webhooks/{webhook}", {"active": False})
    page = await visitor.get("/search?q=hooli")
    assert "Hooli is disabled: by hand." in page.text
    await visitor.submit(page.markup.form("/enable"))
    assert (await admin("GET", f"/api/webhooks/{webhook}")).data["active"] is True


async def test_pages_and_environments_are_found_as_far_as_the_token_may_see_them(
    own_visitor: Visitor,
    api: Api,
    own_stranger: Visitor,
    own_admin: Client,
    other_environment: str,
    receiver: Receiver,
) -> None:
    page = await own_visitor.get("/search?q=audit")
    assert 'href="/e/env_default/audit"' in page.text
    page = await own_visitor.get(f"/search?q={other_environment[:6]}")
    assert f'href="/e/{other_environment}/"' in page.text
    await made(own_admin, receiver.url, "Hooli")
    event = await emit(own_admin)
    page = await own_visitor.get(f"/e/{other_environment}/search?q={event}")
    assert (
        'It is in Default <span class="id"><span class="soft mono">env_default</span>' in page.text
    )
    assert "not in Other (env_other)." in page.text
    assert f'href="/e/env_default/events/{event}"' in page.text
    await own_stranger.sign_in(await api.token("read", other_environment))
    for text in (event, "audit", "env_default", "order.paid", "Hooli"):
        page = await own_stranger.get(f"/search?q={text}")
        assert "Nothing found" in page.text, text


async def test_the_box_is_on_every_page(visitor: Visitor, home: str) -> None:
    page = await visitor.get("/events")
    assert f'action="/e/{home}/search"' in page.text
    assert 'aria-keyshortcuts="/ Control+K Meta+K"' in page.text


async def test_event_types_are_found_with_their_events_and_deliveries(
    visitor: Visitor, admin: Client, home: str
) -> None:
    await admin("PUT", "/api/event-types/order.refunded", {"description": ""})
    await admin("POST", "/api/events", {"type": "order.unlisted", "data": {}})
    page = await visitor.get("/search?q=REFUND")
    assert f'href="/e/{home}/event-types/of/order.refunded">order.refunded</a>' in page.text
    assert f'href="/e/{home}/events?type=order.refunded">Events</a>' in page.text
    assert f'href="/e/{home}/deliveries?event=order.refunded">Deliveries</a>' in page.text
    unlisted = await visitor.get("/search?q=order.unlisted")
    assert f'href="/e/{home}/events?type=order.unlisted">Events</a>' in unlisted.text
    assert "/event-types/of/order.unlisted" not in unlisted.text
    for text in ("order.nothing", "..", f"a.{'x' * 200}"):
        assert "Nothing found" in (await visitor.get(f"/search?q={text}")).text
