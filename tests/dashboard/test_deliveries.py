"""Deliveries and their attempts, as a visitor finds them, reads them and sends them again."""

import pytest

from dispatcher.dashboard.template_filters import SHOWN_LIMIT_CHARACTERS, pretty
from tests.api.conftest import Api, Client
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_webhooks import made
from tests.receivers import HANG, Answer, Receiver
from tests.waiting import until

HOSTILE = "<script>alert(1)</script>"


async def emit(admin: Client, type_: str = "user.created", data: object = None) -> None:
    await admin("POST", "/api/events", {"type": type_, "data": {} if data is None else data})


async def delivery(admin: Client, status: str, *, attempts: int = 0, beside: str = "") -> str:
    """The name of the newest other delivery, once it is so, and was tried so often."""
    ids: list[str] = []

    async def there() -> bool:
        items = (await admin("GET", "/api/deliveries")).data["items"]
        ids[:] = [
            item["id"]
            for item in items
            if item["status"] == status and item["attempts"] >= attempts and item["id"] != beside
        ]
        return bool(ids)

    await until(there, f"a delivery is {status}")
    return ids[0]


async def test_the_list_shows_the_state_of_each_delivery(
    visitor: Visitor, admin: Client, receiver: Receiver, home: str
) -> None:
    webhook = await made(admin, receiver.url)
    assert "No deliveries yet" in (await visitor.get(f"/webhooks/{webhook}")).text
    await emit(admin)
    name = await delivery(admin, "DELIVERED")
    page = await visitor.get(f"/webhooks/{webhook}")
    for words in (
        f'href="/e/{home}/deliveries/{name}?in=webhook&amp;webhook={webhook}"',
        "user.created",
        ">delivered<",
        ">200<",
    ):
        assert words in page.text


async def test_the_list_is_filtered(visitor: Visitor, admin: Client, receiver: Receiver) -> None:
    webhook = await made(admin, receiver.url)
    await emit(admin)
    name = await delivery(admin, "DELIVERED")
    for query, there in (
        ("status=DELIVERED", True),
        ("status=FAILED", False),
        ("event=user.*", True),
        ("event=role.*", False),
        ("since=2020-01-01T00:00", True),
        ("until=2020-01-01T00:00", False),
        ("since=2020-01-01T00:00&until=2100-01-01T00:00:30&status=DELIVERED&event=*", True),
    ):
        page = await visitor.get(f"/webhooks/{webhook}?{query}")
        assert (name in page.text) is there, query
        assert ("Nothing found" in page.text) is not there, query


@pytest.mark.parametrize(
    ("query", "field"),
    [("status=NOPE", "status"), ("event=a..b", "event"), ("since=yesterday", "since")],
)
async def test_an_invalid_filter_is_shown_as_an_error(
    visitor: Visitor, admin: Client, receiver: Receiver, query: str, field: str
) -> None:
    webhook = await made(admin, receiver.url)
    page = await visitor.get(f"/webhooks/{webhook}?{query}&before=nonsense")
    assert (page.status, f'id="{field}-error"' in page.text) == (200, True)


async def test_the_list_has_pages_and_only_the_first_is_live(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection, home: str
) -> None:
    webhook = await made(admin, receiver.url)
    await database.execute(
        "INSERT INTO dispatcher.events (type, data, environment_id)"
        " SELECT 'user.created', '{}', $1 FROM generate_series(1, 51)",
        home,
    )
    await receiver.wait_for(51)

    async def all_there() -> bool:
        page = await visitor.get(f"/webhooks/{webhook}?status=DELIVERED&flash=created")
        return "Older" in page.text

    await until(all_there, "there is a second page")
    first = await visitor.get(f"/webhooks/{webhook}?status=DELIVERED&flash=created")
    address = first.text.split(f'href="/e/{home}/webhooks/')[-1].split('"')[0].replace("&amp;", "&")
    assert "flash=" not in address
    second = await visitor.get(f"/webhooks/{address}")
    assert (
        f'hx-get="/e/{home}/webhooks/' + webhook in first.text,
        second.text.count("<tr id="),
    ) == (True, 1)
    assert 'id="rows" class="stack" hx-get' not in second.text.replace("  ", " ")


async def test_a_delivery_shows_every_attempt_with_its_error_in_words(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url)
    body = b"<h1>Out of order</h1>\x1b[31m" + b"x" * 20_000
    receiver.answers = [Answer(503, {"X-Reason": "<i>tired</i>"}, body)]
    await emit(admin, data={"n": 1})
    page = await visitor.get(f"/deliveries/{await delivery(admin, 'DELIVERED')}")
    for words in (
        "Attempt 1",
        "Attempt 2",
        "answered 503 Service Unavailable",
        "X-Dispatcher-Attempt",
        "X-Reason",
        "&lt;i&gt;tired&lt;/i&gt;",
        "&lt;h1&gt;Out of order&lt;/h1&gt;\\x1b[31m",
        "The body was longer. The rest was not stored.",
        "Send again",
    ):
        assert words in page.text
    assert "<h1>Out" not in page.text
    assert ">Cancel</button>" not in page.text


async def test_a_delivery_without_an_answer_shows_the_reason(
    visitor: Visitor, admin: Client
) -> None:
    async with Receiver() as silent:
        await made(admin, silent.url, retry={"retries": 0})
    await emit(admin)
    page = await visitor.get(f"/deliveries/{await delivery(admin, 'FAILED')}")
    assert "refused" in page.text
    assert ">connect<" in page.text


async def test_the_payload_is_shown_and_given_letter_for_letter(
    visitor: Visitor, standing: Api, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url)
    text = '{"type": "user.created", "data": {"price": 1.10, "text": "' + HOSTILE + '"}}'
    await admin("POST", "/api/events", text.encode())
    name = await delivery(admin, "DELIVERED")
    page = await visitor.get(f"/deliveries/{name}")
    assert "1.10" in page.text
    assert "<script>alert" not in page.text
    exact = await visitor.get(f"/deliveries/{name}/payload")
    assert exact.text.encode() == receiver.requests[0].body
    assert exact.headers["Content-Disposition"] == f'attachment; filename="{name}.json"'


async def test_a_pending_delivery_counts_down_and_can_be_sent_at_once(
    visitor: Visitor, admin: Client, receiver: Receiver, home: str
) -> None:
    await made(admin, receiver.url, retry={"base": 3600})
    receiver.answers = [500]
    await emit(admin)
    name = await delivery(admin, "PENDING", attempts=1)
    page = await visitor.get(f"/deliveries/{name}")
    assert "Next retry" in page.text
    assert f'hx-get="/e/{home}/deliveries/{name}"' in page.text
    again = await visitor.post(f"/deliveries/{name}/retry")
    assert "The delivery is being sent again." in again.text
    await receiver.wait_for(2)
    ended = await visitor.get(f"/deliveries/{await delivery(admin, 'DELIVERED')}")
    assert f'hx-get="/e/{home}/deliveries/{name}"' not in ended.text


async def test_a_pending_delivery_can_be_cancelled_once(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url, retry={"base": 3600})
    receiver.answers = [500]
    await emit(admin)
    name = await delivery(admin, "PENDING", attempts=1)
    assert "Cancelled." in (await visitor.post(f"/deliveries/{name}/cancel")).text
    await delivery(admin, "CANCELLED")
    refused = await visitor.post(f"/deliveries/{name}/cancel")
    assert (refused.status, "The delivery has ended" in refused.text) == (409, True)
    assert "cancelled by hand" in refused.text


async def test_a_delivery_of_an_ordered_webhook_names_the_one_it_waits_for(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url, retry={"base": 3600}, ordered=True)
    receiver.answers = [500]
    await emit(admin)
    first = await delivery(admin, "PENDING", attempts=1)
    await emit(admin)
    second = await delivery(admin, "PENDING", beside=first)
    page = await visitor.get(f"/deliveries/{second}")
    assert f">{first}</a>: the webhook is ordered, and that one must end first." in page.text
    assert "must end first" not in (await visitor.get(f"/deliveries/{first}")).text


async def test_a_held_delivery_is_shown_as_held_without_a_retry(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url, retry={"base": 3600})
    receiver.answers = [500]
    await emit(admin)
    name = await delivery(admin, "PENDING", attempts=1)
    await visitor.post(f"/webhooks/{webhook}/disable")
    page = await visitor.get(f"/deliveries/{name}")
    assert "when the webhook is enabled" in page.text
    assert "Retry now" not in page.text
    refused = await visitor.post(f"/deliveries/{name}/retry")
    assert (refused.status, "Enable it, then retry" in refused.text) == (409, True)
    await visitor.post(f"/webhooks/{webhook}/delete")
    assert "The webhook was deleted" in (await visitor.get(f"/deliveries/{name}")).text


async def test_a_delivery_in_flight_is_shown_before_its_first_attempt_is_recorded(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url)
    receiver.answers = [HANG]
    await emit(admin)
    await receiver.wait_for(1)
    page = await visitor.get(f"/deliveries/{await delivery(admin, 'PENDING')}")
    assert "There are none yet. The first one starts soon." in page.text


async def test_a_read_token_can_neither_retry_nor_cancel(
    standing: Api, stranger: Visitor, admin: Client, receiver: Receiver, home: str
) -> None:
    await made(admin, receiver.url, retry={"base": 3600})
    receiver.answers = [500]
    await emit(admin)
    name = await delivery(admin, "PENDING", attempts=1)
    await stranger.sign_in(await standing.token("read", home))
    page = await stranger.get(f"/deliveries/{name}")
    assert page.status == 200
    assert ("Retry now" in page.text, ">Cancel<" in page.text) == (False, False)
    for action in ("retry", "cancel"):
        assert (await stranger.post(f"/deliveries/{name}/{action}")).status == 403
    assert (await admin("GET", f"/api/deliveries/{name}")).data["status"] == "PENDING"


async def test_a_delivery_of_another_environment_is_not_found(
    standing: Api, stranger: Visitor, admin: Client, receiver: Receiver, other_home: str
) -> None:
    await made(admin, receiver.url)
    await emit(admin)
    name = await delivery(admin, "DELIVERED")
    await stranger.sign_in(await standing.token("write", other_home))
    for which in (name, "dlv_1", "nonsense"):
        for path in ("", "/payload"):
            assert (await stranger.get(f"/deliveries/{which}{path}")).status == 404
        for action in ("retry", "cancel"):
            assert (await stranger.post(f"/deliveries/{which}/{action}")).status == 404
    assert len(receiver.requests) == 1


async def test_every_form_demands_its_token(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url)
    await emit(admin)
    name = await delivery(admin, "DELIVERED")
    for action in ("retry", "cancel"):
        assert (await visitor.post(f"/deliveries/{name}/{action}", csrf="")).status == 403
    assert (await admin("GET", f"/api/deliveries/{name}")).data["attempts"] == 1


async def test_equal_attempts_are_folded_and_answers_in_json_are_set_out(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    kind = {"Content-Type": "application/json"}
    broken = Answer(500, kind, b'{"reason":"no\xe2\x80\xaestock","n":1.10}')
    receiver.answers = [broken, broken, broken, Answer(503, kind, b"[]"), 200]
    retry = {"retries": 5, "base": 0.01, "factor": 1, "jitter": 0}
    await made(admin, receiver.url, retry=retry)
    await emit(admin)
    page = await visitor.get(f"/deliveries/{await delivery(admin, 'DELIVERED', attempts=5)}")
    assert page.text.count('<details class="card attempt"') == 3
    for words in (
        "Attempts 1\N{EN DASH}3",
        "answered 500 Internal Server Error, equal",
        "All 3 attempts",
        "Attempt 4",
        "Attempt 5",
        '<del>500</del> <span aria-hidden="true">→</span> <ins>503</ins>',
        "&#34;reason&#34;: &#34;no\\u202estock&#34;,\n  &#34;n&#34;: 1.10\n}",
        "As it was received",
        "First byte ",
        "Done after ",
    ):
        assert words in page.text, words


async def test_a_payload_is_shown_set_out_and_exact_and_a_long_one_is_cut(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url)
    await admin("POST", "/api/events", b'{"type": "user.created", "data": {"price":  1.10}}')
    page = await visitor.get(f"/deliveries/{await delivery(admin, 'DELIVERED')}")
    assert "&#34;price&#34;: 1.10\n" in page.text
    assert "{&#34;price&#34;:  1.10}" in page.text
    await emit(admin, "user.long", {"text": "x" * 200_000})
    await receiver.wait_for(2)
    event = (await admin("GET", "/api/events")).data["items"][0]["id"]
    page = await visitor.get(f"/events/{event}")
    assert "Only the beginning is shown" in page.text
    assert len(page.text) < 160_000
    exact = await visitor.get(f"/events/{event}/data")
    assert exact.text == '{"text":"' + "x" * 200_000 + '"}'
    assert exact.headers["Content-Disposition"] == f'attachment; filename="{event}.json"'


async def test_an_event_names_its_webhooks(
    visitor: Visitor, admin: Client, receiver: Receiver, home: str
) -> None:
    kept = await made(admin, receiver.url, name="Initech <b>")
    gone = await made(admin, receiver.url, name="Hooli")
    await emit(admin)
    await receiver.wait_for(2)
    await visitor.post(f"/webhooks/{gone}/delete")
    event = (await admin("GET", "/api/events")).data["items"][0]["id"]
    page = await visitor.get(f"/events/{event}")
    assert f'<a href="/e/{home}/webhooks/{kept}">Initech &lt;b&gt;</a>' in page.text
    assert 'Hooli <span class="tag">deleted</span>' in page.text
    name = next(
        item["id"]
        for item in (await admin("GET", "/api/deliveries")).data["items"]
        if item["webhookId"] == gone
    )
    assert "Hooli <span" in (await visitor.get(f"/deliveries/{name}")).text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a": [1.10, {}], "b":"x"}', '{\n  "a": [\n    1.10,\n    {}\n  ],\n  "b": "x"\n}'),
        ("[]", "[]"),
        ("not JSON", "not JSON"),
        ('{"a":', '{"a":'),
        ('"\u202e"', '"\\u202e"'),
        ('"\u3164\U000e0061"', '"\\u3164\\U000e0061"'),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_json_is_set_out_and_other_text_is_kept(text: str, shown: str) -> None:
    assert pretty(text) == shown


def test_deep_or_long_json_does_not_grow_without_bound() -> None:
    deep = "[" * 500 + "1," * 7000 + "1" + "]" * 500
    assert len(pretty(deep)) < 12 * len(deep)
    long = "[" + "1," * 100_000 + "1]"
    assert pretty(long) == long[:SHOWN_LIMIT_CHARACTERS]


async def test_only_the_newest_groups_of_attempts_are_shown(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    retry = {"retries": 30, "base": 0.001, "factor": 1, "jitter": 0}
    receiver.answers = [Answer(500, {}, str(number).encode()) for number in range(25)]
    await made(admin, receiver.url, retry=retry)
    await emit(admin)
    page = await visitor.get(f"/deliveries/{await delivery(admin, 'DELIVERED', attempts=26)}")
    assert page.text.count('<details class="card attempt"') == 20
    assert "6 older attempts are not shown." in page.text


async def test_a_delivery_in_quarantine_says_so_and_cannot_be_retried_there(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection
) -> None:
    receiver.answers = [500]
    await made(admin, receiver.url, retry={"retries": 3, "base": 3600})
    await emit(admin)
    name = await delivery(admin, "PENDING", attempts=1)
    await database.execute(
        """WITH gone AS (DELETE FROM dispatcher.deliveries WHERE id = $1 RETURNING *)
           INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt,
                                              reason, detail)
           SELECT id, event_id, environment_id, type, endpoint_id, id, attempt, 'result_refused', 'no room' FROM gone""",
        int(name.removeprefix("dlv_")),
    )
    page = (await visitor.get(f"/deliveries/{name}")).text
    for words in ("in quarantine: no room", "when it is released from quarantine"):
        assert words in page
    for words in ("Retry now", ">Cancel<"):
        assert words not in page
    assert f"/deliveries/{name}" in (await visitor.get("/quarantine")).text
