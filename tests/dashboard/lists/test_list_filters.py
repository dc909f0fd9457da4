"""What is typed above a list: refused in words, or opened where it is an id."""

import pytest

from dispatcher.dashboard.template_filters import foreign_host, sql
from tests.api.conftest import Api, Client
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_deliveries import delivery, emit
from tests.dashboard.test_webhooks import made
from tests.receivers import Receiver


async def test_a_refused_filter_shows_no_row_and_says_what_is_wrong(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url)
    await emit(admin)
    name = await delivery(admin, "DELIVERED")
    for path, query, words in (
        ("/events", "id=ord_894287", "An event id is evt_"),
        ("/events", "since=yesterday", "This is not a time. Write it as 2026-02-26T12:00, in UTC."),
        ("/events", "until=1999-01-01T00:00", "must be between the years 2000 and 2200"),
        ("/events", "type=a..b", "is not a pattern"),
        (f"/webhooks/{webhook}", "status=NOPE", "Choose pending, delivered, failed or cancelled."),
        (f"/webhooks/{webhook}", "since=1", "This is not a time."),
    ):
        page = await visitor.get(f"{path}?{query}")
        assert words in page.text
        assert "pattern &#39;^" not in page.text
        assert "The search was not done" in page.text
        rows = page.text[page.text.index('id="rows"') :]
        assert "hx-get" not in rows
        assert "user.created" not in rows
        assert name not in rows


async def test_an_id_in_another_filter_opens_its_item(
    standing: Api,
    visitor: Visitor,
    admin: Client,
    receiver: Receiver,
    home: str,
    other_home: str,
) -> None:
    webhook = await made(admin, receiver.url)
    await emit(admin)
    name = await delivery(admin, "DELIVERED")
    event = (await admin("GET", f"/api/deliveries/{name}")).data["eventId"]
    for path, query, opened in (
        ("/events", f"id={name}", f"/deliveries/{name}"),
        ("/events", f"type={name}", f"/deliveries/{name}"),
        ("/events", f"type=%20{event}%20", f"/events/{event}"),
        ("/events", f"id={webhook}", f"/webhooks/{webhook}"),
        (f"/webhooks/{webhook}", f"event={event}", f"/events/{event}"),
        (f"/webhooks/{webhook}", f"event={name}", f"/deliveries/{name}"),
    ):
        assert (await visitor.get(f"{path}?{query}")).below == opened
    elsewhere = await visitor.get(f"/e/{other_home}/events?id={name}")
    assert elsewhere.path == f"/e/{home}/deliveries/{name}"
    listed = await visitor.get(f"/events?id={event}")
    assert (listed.below, event in listed.text) == (f"/events?id={event}", True)
    await visitor.sign_in(await standing.token("admin", other_home))
    page = await visitor.get(f"/events?id={name}")
    assert (page.below, "event id is evt_" in page.text) == (f"/events?id={name}", True)


async def test_an_environment_without_events_offers_no_older_ones(
    own_visitor: Visitor, connection: Connection, other_environment: str
) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data) SELECT 'a.b', '{}' FROM generate_series(1, 4100)"
    )
    page = await own_visitor.get(f"/e/{other_environment}/events")
    assert "None of the latest events is of this environment" in page.text
    assert ">Search further back</a>" in page.text
    assert ">Older</a>" not in page.text
    further = page.text.rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "Search further back" not in (await own_visitor.follow(further)).text


async def test_a_delivery_that_was_never_sent_shows_no_request(
    visitor: Visitor, admin: Client, database: Connection
) -> None:
    async with Receiver() as silent:
        webhook = await made(admin, silent.url, retry={"retries": 0})
    await emit(admin)
    name = await delivery(admin, "FAILED")
    for outcome, error in (
        ("connect", "no connection"),
        ("dns", "x cannot be resolved"),
        ("blocked", "not permitted"),
        ("tls", "certificate"),
        ("timeout", "no connection within 5 s (phase=connect)"),
    ):
        await database.execute(
            "UPDATE dispatcher.attempts SET outcome = $2, error = $3 WHERE endpoint_id = $1",
            webhook,
            outcome,
            error,
        )
        page = await visitor.get(f"/deliveries/{name}")
        assert "No request was sent" in page.text, outcome
        assert "X-Dispatcher-Attempt" not in page.text
        assert "Signatures" not in page.text
    await database.execute(
        "UPDATE dispatcher.attempts SET outcome = 'timeout', error = 'no answer (phase=head)'"
        " WHERE endpoint_id = $1",
        webhook,
    )
    assert "X-Dispatcher-Attempt" in (await visitor.get(f"/deliveries/{name}")).text


async def test_a_rotation_keeps_the_old_secret_for_a_day_by_default(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url)
    page = await visitor.get(f"/webhooks/{webhook}")
    assert '<option value="day" selected>' in page.text
    assert "also signs" in (await visitor.post(f"/webhooks/{webhook}/rotate")).text


async def test_a_name_of_letters_that_could_be_others_is_flagged(
    visitor: Visitor, admin: Client
) -> None:
    webhook = await made(admin, "https://p\u0430ypal.com/")
    for path in ("/webhooks", f"/webhooks/{webhook}"):
        text = (await visitor.get(path)).text
        assert "mixed alphabets: p\u0430ypal.com is xn--pypal-4ve.com" in text


@pytest.mark.parametrize(
    ("url", "name", "punycode", "mixed"),
    [
        ("https://xn--pypal-4ve.com/x", "p\u0430ypal.com", "xn--pypal-4ve.com", True),
        ("https://p\u0430ypal.com:8443/", "p\u0430ypal.com", "xn--pypal-4ve.com", True),
        ("https://m\u00fcnchen.de/", "m\u00fcnchen.de", "xn--mnchen-3ya.de", False),
        ("https://xn--e1afmkfd.xn--p1ai/", "пример.рф", "xn--e1afmkfd.xn--p1ai", False),
        ("https://日本の.jp/", "日本の.jp", "xn--u9jw03m34l.jp", False),
    ],
)
def test_a_foreign_host_gets_an_error_that_names_both_remedies(
    url: str, name: str, punycode: str, mixed: bool
) -> None:
    host = foreign_host(url)
    assert host is not None
    assert (host.name, host.mixed) == (name, mixed)
    assert host.punycode == punycode or name.startswith("日")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "http://127.0.0.1:1/",
        "http://[::1]/",
        "https://xn--/",
        "nonsense",
        "https://xn--zzzzzz99999999.com/",
        "http://[",
        "",
    ],
)
def test_hosts_of_ascii_letters_are_not_flagged(url: str) -> None:
    assert foreign_host(url) is None


def test_a_quote_in_a_text_is_doubled_in_sql() -> None:
    assert sql("it's") == "'it''s'"
