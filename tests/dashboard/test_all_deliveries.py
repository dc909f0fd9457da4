"""The deliveries of all webhooks: filtered, selected, retried and cancelled, and failures by cause."""

from urllib.parse import urlencode

import pytest

from dispatcher.dashboard.views import deliveries
from dispatcher.store.queries import delivery_search
from tests.api.conftest import Api, Client
from tests.dashboard.conftest import Page, Visitor
from tests.receivers import Receiver
from tests.waiting import until

NEVER = {"retries": 0}


async def made(admin: Client, url: str, name: str, **wishes: object) -> str:
    form = {"url": url, "name": name, "events": ["*"], **wishes}
    webhook: str = (await admin("POST", "/api/webhooks", form)).data["id"]
    return webhook


async def emit(admin: Client, type_: str = "order.paid", **wishes: object) -> str:
    form = {"type": type_, "data": {"id": 1}, **wishes}
    name: str = (await admin("POST", "/api/events", form)).data["id"]
    return name


async def listed(admin: Client, query: str = "") -> list[dict[str, object]]:
    items: list[dict[str, object]] = (await admin("GET", f"/api/deliveries?{query}")).data["items"]
    return items


async def have(admin: Client, count: int, query: str) -> list[dict[str, object]]:
    """Wait until so many deliveries match."""

    async def enough() -> bool:
        return len(await listed(admin, query)) == count

    await until(enough, f"{count} deliveries of {query}")
    return await listed(admin, query)


def shown(page: Page) -> set[str]:
    return {word.split('"')[0] for word in page.text.split('<tr id="')[1:]}


def names(items: list[dict[str, object]]) -> set[str]:
    return {str(item["id"]) for item in items}


async def test_every_filter_finds_its_deliveries_and_names_their_webhooks(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    good = await made(admin, receiver.url, "Hooli")
    await made(admin, "http://127.0.0.1:20009/", "Initech", retry=NEVER)
    await emit(admin, reference="ord_894287")
    await emit(admin, "user.created")
    delivered = await have(admin, 2, "status=DELIVERED")
    failed = await have(admin, 2, "status=FAILED")
    page = await visitor.get("/deliveries")
    assert shown(page) == names(delivered + failed)
    assert ("Hooli" in page.text, "Initech" in page.text) == (True, True)
    for query, expected in {
        "status=FAILED": failed,
        "response_status=2xx": delivered,
        "response_status=200": delivered,
        "error_code=connect": failed,
        "error_code=timeout": [],
        "webhook=hool": delivered,
        f"webhook={good}": delivered,
        "reference=ord_894287": [i for i in delivered + failed if i["event"] == "order.paid"],
        "event=user.*": [i for i in delivered + failed if i["event"] == "user.created"],
        "status=FAILED&event=user.*&webhook=initech": [
            i for i in failed if i["event"] == "user.created"
        ],
        "since=2199-01-01T00:00": [],
    }.items():
        page = await visitor.get(f"/deliveries?{query}")
        assert shown(page) == names(expected), query
    for query, message in {
        "response_status=9": "Write a response status such as 503",
        "webhook=unknown": "No webhook has this name",
        "webhook=i": "Several webhooks match: Initech, Hooli",
        "status=LOST": "Choose pending",
    }.items():
        page = await visitor.get(f"/deliveries?{query}")
        assert shown(page) == set()
        assert message in page.text, query
        assert "The search was not done" in page.text


async def test_a_held_delivery_is_not_shown_as_late(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    receiver.answers = [500]
    webhook = await made(admin, receiver.url, "Hooli", retry={"base": 600})
    await emit(admin)
    await have(admin, 1, "status=PENDING&errorCode=http")
    lists = ("/deliveries", f"/webhooks/{webhook}")
    for path in lists:
        assert "held:" not in (await visitor.get(path)).text
    await admin("POST", "/api/pause", {})
    for path in lists:
        assert "held: sending is paused" in (await visitor.get(path)).text
    await admin("POST", "/api/resume", {})
    await admin("PATCH", f"/api/webhooks/{webhook}", {"active": False})
    for path in lists:
        page = await visitor.get(path)
        assert ("held: webhook disabled" in page.text, "Next attempt" in page.text) == (True, False)


async def test_an_id_in_a_filter_opens_its_page(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url, "Hooli")
    event = await emit(admin)
    assert (await visitor.get(f"/deliveries?reference={event}")).below == f"/events/{event}"


async def test_a_search_goes_on_by_itself_and_says_how_far_it_is(
    visitor: Visitor, admin: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(admin, receiver.url, "Hooli")
    await emit(admin, "rare.one")
    rare = await have(admin, 1, "status=DELIVERED")
    for _ in range(9):
        await emit(admin)
    await have(admin, 10, "status=DELIVERED")
    monkeypatch.setattr(delivery_search, "PAGE_LIMIT_ROWS", 2)
    monkeypatch.setattr(deliveries, "PAGE_SIZE", 1)
    page = await visitor.get("/deliveries?event=rare.one")
    rounds = 0
    while "Searching further back" in page.text:
        assert ("Searched back to", shown(page)) == ("Searched back to", set())
        further = next(a for what, a in page.markup.addresses if what == "p hx-get")
        page = await visitor.follow(further, HX_Request="true")
        rounds += 1
    assert (rounds > 0, shown(page)) == (True, names(rare))
    monkeypatch.setattr(deliveries, "ROUNDS_LIMIT", 0)
    page = await visitor.get("/deliveries?event=rare.one")
    assert "Searching further back" not in page.text
    assert "Older" in page.text


async def test_what_is_filtered_is_counted_and_then_retried(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url, "Hooli", retry=NEVER)
    receiver.answers = [500, 500, 404]
    for _ in range(3):
        await emit(admin)
        await have(admin, 0, "status=PENDING")
    await have(admin, 3, "status=FAILED")
    page = await visitor.get("/deliveries?status=FAILED&response_status=5xx")
    retry_all = next(form for form in page.markup.forms if form.fields.get("of") == "filtered")
    preview = await visitor.submit(retry_all, action="retry")
    assert "Retry 2 deliveries?" in preview.text
    assert len(receiver.requests) == 3
    progress = await visitor.submit(preview.markup.form("/deliveries/bulk"), action="retry")
    assert "/deliveries/bulk/blk_" in progress.path
    assert "Started." in progress.text
    await have(admin, 2, "status=DELIVERED")
    assert len(await listed(admin, "status=FAILED&responseStatus=404")) == 1
    done = await visitor.get(progress.below.split("?")[0])
    assert ("of 2" in done.text, "done" in done.text) == (True, True)
    assert "blk_" in (await visitor.get("/deliveries/bulk")).text


async def test_selected_deliveries_are_cancelled_and_others_are_not(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url, "Hooli", retry={"base": 3600})
    receiver.answers = [500, 500]
    await emit(admin)
    await emit(admin)
    one, other = [str(item["id"]) for item in await have(admin, 2, "status=PENDING&errorCode=http")]
    page = await visitor.post(
        "/deliveries/bulk", {"of": "selected", "action": "cancel", "ids": [one]}
    )
    assert "selected one by one" in page.text
    await have(admin, 1, "status=CANCELLED")
    assert names(await listed(admin, "status=PENDING")) == {other}
    again = await visitor.post(
        "/deliveries/bulk", {"of": "selected", "action": "cancel", "ids": [one]}
    )

    async def is_done() -> bool:
        return "1: the status had changed" in (await visitor.follow(again.path)).text

    await until(is_done, "the page says why the delivery was left as it is")
    none = await visitor.post("/deliveries/bulk", {"of": "selected", "action": "cancel"})
    assert (none.status, "No delivery is selected" in none.text) == (422, True)


async def test_what_cannot_be_done_is_refused_with_the_reason(
    visitor: Visitor, admin: Client, standing: Api, stranger: Visitor, home: str
) -> None:
    refused = await visitor.post(
        "/deliveries/bulk", {"of": "filtered", "action": "cancel", "status": "FAILED"}
    )
    assert (refused.status, "only pending deliveries" in refused.text) == (422, True)
    for fields in ({"action": "delete"}, {"action": "retry", "response_status": "9"}):
        assert (await visitor.post("/deliveries/bulk", {"of": "filtered", **fields})).status == 422
    nothing = await visitor.post("/deliveries/bulk", {"of": "filtered", "action": "retry"})
    assert "Nothing to retry" in nothing.text
    assert (await visitor.get("/deliveries/bulk/blk_1")).status == 404
    assert "No bulk actions yet" in (await visitor.get("/deliveries/bulk")).text
    await stranger.sign_in(await standing.token("read", home))
    page = await stranger.get("/deliveries")
    assert (page.status, "Retry all" in page.text) == (200, False)
    fields = {"of": "filtered", "action": "retry"}
    assert (await stranger.post("/deliveries/bulk", dict(fields))).status == 403


async def test_failures_are_grouped_by_their_cause_with_the_button_that_retries_them(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url, "Hooli", retry=NEVER)
    await made(admin, "http://127.0.0.1:20009/", "Initech", retry=NEVER)
    receiver.answers = [500, 500, 404]
    for _ in range(3):
        await emit(admin)
    await have(admin, 6, "status=FAILED")
    kept = {"event": "order.*", "until": "2100-01-01T00:00"}
    page = await visitor.get(f"/deliveries/causes?{urlencode(kept)}")
    retries = [form for form in page.markup.forms if form.fields.get("action") == "retry"]
    assert [form.fields.items() >= kept.items() for form in retries] == [True] * 3
    assert page.text.count("event=order.%2A&amp;until=") == 3
    page = await visitor.get("/deliveries/causes")
    rows = page.text.split("<tbody>")[1].split("</tr>")[:3]
    assert [name in row for row, name in zip(rows, ("Initech", "Hooli", "Hooli"), strict=True)] == [
        True
    ] * 3
    assert [
        code in row for row, code in zip(rows, (">connect<", ">500<", ">404<"), strict=True)
    ] == [True] * 3
    forms = [form for form in page.markup.forms if form.fields.get("action") == "retry"]
    preview = await visitor.submit(forms[1])
    assert "Retry 2 deliveries?" in preview.text
    progress = await visitor.submit(preview.markup.form("/deliveries/bulk"), action="retry")
    assert "Started." in progress.text, progress.text
    await have(admin, 2, "status=DELIVERED")
    again = await visitor.get("/deliveries/causes")
    assert ">500<" not in again.text
    assert "Nothing has failed" in (await visitor.get("/deliveries/causes?event=user.*")).text
