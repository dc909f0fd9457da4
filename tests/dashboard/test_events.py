"""The list of events, as a visitor reads it."""

import html
import re

import pytest

from dispatcher.dashboard.views import events as views
from dispatcher.services.deliveries import history
from tests.api.conftest import Client
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_all_deliveries import emit
from tests.dashboard.test_webhooks import made
from tests.receivers import Receiver
from tests.waiting import until

NEVER = {"retries": 0, "base": 1}


async def test_each_event_says_how_its_deliveries_went(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection, home: str
) -> None:
    await made(admin, receiver.url, name="Good", retry=NEVER)
    await made(admin, receiver.url, name="Bad", retry=NEVER)
    receiver.answers = [200]
    receiver.otherwise = 500
    await admin("POST", "/api/events", {"type": "user.created", "data": {}})
    await admin("POST", "/api/events", {"type": "role.created", "data": {}})

    async def told() -> bool:
        text = (await visitor.get("/events")).text
        words = ("1 delivered", "1 failed", "no deliveries")
        return all(word in text for word in words)

    await until(told, "the list says how each event went")
    await database.execute(
        "INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)"
        " SELECT id, id, environment_id, type, 0, 'schema', '' FROM dispatcher.events"
        " WHERE type = 'role.created' AND environment_id = $1",
        home,
    )
    assert "in quarantine" in (await visitor.get("/events")).text


async def test_the_page_of_an_event_says_how_its_deliveries_went(
    visitor: Visitor, admin: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "DELIVERIES_OF_EVENT_LIMIT", 2)
    for n in range(3):
        await made(admin, receiver.url, name=f"Hook {n}", retry=NEVER)
    receiver.answers = [500]
    event = await emit(admin, "user.created")

    async def told() -> bool:
        text = (await visitor.get(f"/events/{event}")).text
        return all(word in text for word in ("2 delivered<", "1 failed<"))

    await until(told, "the page says how the event went")


async def test_all_deliveries_of_an_event_are_reached_from_its_page(
    visitor: Visitor, admin: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (history, views):
        monkeypatch.setattr(module, "DELIVERIES_OF_EVENT_LIMIT", 2)
    for n in range(5):
        await made(admin, receiver.url, name=f"Hook {n}")
    event = await emit(admin, "user.created")
    await receiver.wait_for(5)
    page, seen = await visitor.get(f"/events/{event}?in=events"), []
    assert "Newest deliveries" not in page.text
    for _ in range(3):
        seen.append(re.findall(r"<tr id=\"(dlv_\d+)", page.text))
        if older := re.search(
            r'<a class="button quiet" href="([^"]+before=[^"]+)">Older deliveries<', page.text
        ):
            page = await visitor.follow(html.unescape(older[1]))
    assert [len(names) for names in seen] == [2, 2, 1]
    assert len({name for names in seen for name in names}) == 5
    assert "Older deliveries" not in page.text
    newest = re.search(r'<a href="([^"]+)">Newest deliveries</a>', page.text)
    assert newest is not None
    page = await visitor.follow(html.unescape(newest[1]))
    assert re.findall(r"<tr id=\"(dlv_\d+)", page.text) == seen[0]
    beyond = await visitor.get(f"/events/{event}?before=1")
    assert "There are no older ones" in beyond.text
