"""Webhooks, as a visitor lists, makes, changes and deletes them."""

import html
import re
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Api, Client
from tests.certificates import Authority
from tests.conftest import Connection
from tests.dashboard.conftest import Page, Visitor
from tests.receivers import Answer, Receiver
from tests.waiting import until

HOSTILE = "<script>alert(1)</script>\u202e"
STORED = "SELECT * FROM dispatcher.endpoints WHERE id = $1"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


async def made(admin: Client, url: str, **fields: object) -> str:
    """The id of a webhook."""
    answer = await admin("POST", "/api/webhooks", {"url": url, "events": ["user.*"], **fields})
    name: str = answer.data["id"]
    return name


def shown_secret(page: Page) -> str:
    match = re.search(r'id="secret">([0-9a-f]{64})<', page.text)
    assert match is not None, page.text
    return match[1]


def revision(page: Page) -> str:
    match = re.search(r'name="revision" value="(\d+)"', page.text)
    assert match is not None, page.text
    return match[1]


async def test_an_empty_list_shows_the_first_step(visitor: Visitor, home: str) -> None:
    page = await visitor.get("/webhooks")
    assert "No webhooks yet" in page.text
    assert f'href="/e/{home}/webhooks/new"' in page.text


async def test_the_list_shows_the_health_of_each_webhook(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url, name="Off", active=False)
    receiver.answers = [Answer(429, {"Retry-After": "600"}), 410]
    for name in ("Resting", "Gone"):
        await visitor.post(f"/webhooks/{await made(admin, receiver.url, name=name)}/test")
        await receiver.wait_for(1 if name == "Resting" else 2)

    async def told() -> bool:
        text = (await visitor.get("/webhooks")).text
        return all(words in text for words in (">resting<", "as its receiver asked", "410 Gone"))

    await until(told, "the list says who rests, and who wants no more")
    text = (await visitor.get("/webhooks")).text
    for words in (">disabled<", "by hand", "nothing sent"):
        assert words in text


async def test_the_page_of_a_webhook_shows_its_results_in_figures(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection
) -> None:
    name = await made(admin, receiver.url)
    await database.execute(
        "INSERT INTO dispatcher.endpoint_statistics VALUES ($1, to_timestamp("
        "floor(extract(epoch FROM now()) / 1800) * 1800), 200, 3, 197, 3, 2000,"
        " array_fill(0, ARRAY[25]) || 200)",
        name,
    )
    for path in ("/webhooks", f"/webhooks/{name}"):
        text = (await visitor.get(path)).text
        assert "98.5 %" in text
        assert '<path class="bad" d="M' in text
    assert "200 attempts in the last 24 hours" in (await visitor.get("/webhooks")).text


async def test_the_list_has_pages(
    visitor: Visitor, admin: Client, receiver: Receiver, home: str
) -> None:
    for number in range(51):
        await made(admin, receiver.url, name=f"Number {number:02}")
    first = await visitor.get("/webhooks")
    assert ("Number 49" in first.text, "Number 50" in first.text) == (True, False)
    following = re.search(rf'href="(/e/{home}/webhooks\?[^"]+)">Next page', first.text)
    assert following is not None
    second = await visitor.get(html.unescape(following[1]))
    assert ("Number 49" in second.text, "Number 50" in second.text) == (False, True)
    assert ("Previous page" in second.text, "Next page" in second.text) == (True, False)
    for page in ("nonsense", "0", "-1", "99999", "9999"):
        assert (await visitor.get(f"/webhooks?page={page}")).status == 200


def names(page: Page) -> list[str]:
    """The webhooks of the list, in its order."""
    return re.findall(r"/webhooks/[0-9a-f-]{36}\"><strong>([^<]+)</strong>", page.text)


def tabs(page: Page) -> list[str]:
    """The states above the list, each with its number."""
    pairs = re.findall(r"<a href=[^>]+>(\w+) <span class=\"tag\">(\d+)</span>", page.text)
    return [" ".join(pair) for pair in pairs]


async def test_the_list_is_searched_by_name_url_and_state(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection
) -> None:
    ids = {}
    for name, active in (("Billing", True), ("Invoices", True), ("Search", False), ("Audit", True)):
        url = f"{receiver.url}{'in' if name == 'Search' else ''}"
        ids[name] = await made(admin, url, name=name, active=active)
    await database.execute(
        "INSERT INTO dispatcher.endpoint_health (endpoint_id, failing_since, failed_at, resting_until)"
        " VALUES ($1, now(), now() - interval '2 hours', NULL), ($2, NULL, now(), now() + interval '1 h')",
        ids["Billing"],
        ids["Audit"],
    )
    everything = ["All 4", "Active 1", "Failing 1", "Resting 1", "Disabled 1"]
    for query, expected, counted in (
        ("", ["Billing", "Invoices", "Search", "Audit"], everything),
        ("sort=newest", ["Audit", "Search", "Invoices", "Billing"], everything),
        ("sort=name", ["Audit", "Billing", "Invoices", "Search"], everything),
        ("sort=failed", ["Audit", "Billing", "Invoices", "Search"], everything),
        ("state=failing", ["Billing"], everything),
        ("state=resting", ["Audit"], everything),
        ("state=disabled", ["Search"], everything),
        ("state=active&sort=nonsense", ["Invoices"], everything),
        (
            "q=INVO",
            ["Invoices"],
            ["All 1", "Active 1", "Failing 0", "Resting 0", "Disabled 0"],
        ),
        (
            "q=/in",
            ["Search"],
            ["All 1", "Active 0", "Failing 0", "Resting 0", "Disabled 1"],
        ),
        (
            "q=100%25_&state=active",
            [],
            ["All 0", "Active 0", "Failing 0", "Resting 0", "Disabled 0"],
        ),
    ):
        page = await visitor.get(f"/webhooks?{query}")
        assert (names(page), tabs(page)) == (expected, counted), query
        assert ("Nothing found" in page.text) is (not expected), query
    await admin("POST", "/api/pause", {})
    paused = await visitor.get("/webhooks?state=active")
    assert (names(paused), tabs(paused)[1]) == (["Invoices"], "Paused 1")
    assert ">paused<" in paused.text


async def test_a_tab_keeps_the_search_and_a_search_keeps_the_tab(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    await made(admin, receiver.url, name="Billing")
    page = await visitor.get("/webhooks?q=bill&sort=name&page=1")
    tab = re.search(r'<a href="([^"]+)"[^>]*>Failing', page.text)
    assert tab is not None
    failing = await visitor.follow(html.unescape(tab[1]))
    form = failing.markup.form("/webhooks")
    assert (form.fields["q"], form.fields["state"]) == ("bill", "failing")
    assert "No webhook matches" in failing.text


async def test_a_webhook_is_made_and_its_secret_is_shown_once(
    visitor: Visitor, receiver: Receiver, database: Connection, home: str
) -> None:
    page = await visitor.post(
        "/webhooks/new", {"url": receiver.url, "name": "Sync", "patterns": "user.*, role.created"}
    )
    secret = shown_secret(page)
    name = await database.fetchval(
        "SELECT id FROM dispatcher.endpoints WHERE environment_id = $1", home
    )
    patterns = await database.fetch(
        "SELECT pattern FROM dispatcher.subscriptions WHERE endpoint_id = $1", name
    )
    assert {row[0] for row in patterns} == {"user.*", "role.created"}
    for path in ("/webhooks", f"/webhooks/{name}", f"/webhooks/{name}/settings"):
        assert secret not in (await visitor.get(path)).text


async def test_the_snippets_read_the_secret_from_elsewhere(
    visitor: Visitor, receiver: Receiver
) -> None:
    page = await visitor.post("/webhooks/new", {"url": receiver.url, "patterns": "*"})
    assert page.text.count(shown_secret(page)) == 1
    for words in ('os.environ["', "process.env.", 'os.Getenv("'):
        assert f"{words}WEBHOOK_SECRET" in page.text


async def test_an_error_of_creation_is_beside_its_field(
    visitor: Visitor, database: Connection, home: str
) -> None:
    for url, patterns, field in (
        ("https://example.com/", "a..b user.*", "events"),
        ("https://example.com/", "", "events"),
        ("nonsense", "a.b user.*", "url"),
        ("http://10.0.0.1/", "a.b user.*", "url"),
    ):
        page = await visitor.post("/webhooks/new", {"url": url, "patterns": patterns})
        assert page.status == 422
        assert f'id="{field}-error"' in page.text
        assert f'value="{url}"' in page.text
        assert f'value="{patterns}"' in page.text
    stored = "SELECT count(*) FROM dispatcher.endpoints WHERE environment_id = $1"
    assert await database.fetchval(stored, home) == 0


async def test_the_python_snippet_verifies_a_delivery(
    visitor: Visitor, admin: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = await visitor.post("/webhooks/new", {"url": receiver.url, "patterns": "*"})
    monkeypatch.setenv("WEBHOOK_SECRET", shown_secret(page))
    snippet = re.search(r'<code id="python">(.*?)</code>', page.text, re.DOTALL)
    assert snippet is not None
    written: dict[str, Any] = {}
    exec(html.unescape(snippet[1]), written)  # noqa: S102 - what we tell people to run
    await admin("POST", "/api/events", {"type": "user.created", "data": {}})
    (request,) = await receiver.wait_for(1)
    assert written["receive"](request.body, dict(request.headers)) == 204
    assert written["receive"](request.body + b" ", dict(request.headers)) == 400


@pytest.mark.parametrize(
    ("query", "words", "missing"),
    [
        ("patterns=user.*", ["Matches 2 of 3", "user.created", "user.deleted"], ["role.created"]),
        ("patterns=*", ["Matches 3 of 3", "webhook.test"], []),
        ("events=role.created", ["Matches 1 of 3"], ["what is not described"]),
        ("events=role.created&patterns=user.created", ["Matches 2 of 3"], []),
        ("patterns=order.*", ["Matches none of the 3"], []),
        ("patterns=a..b", ["is not a pattern"], ["Matches"]),
        ("patterns=<script>", ["&lt;script&gt;", "is not a pattern"], ["<script>"]),
        ("", [], ["Matches", "mistake"]),
    ],
)
async def test_matching_event_types_are_shown_while_choosing(
    visitor: Visitor, admin: Client, query: str, words: list[str], missing: list[str]
) -> None:
    for name in ("user.created", "user.deleted", "role.created"):
        await admin("PUT", f"/api/event-types/{name}", {"description": "Of a test"})
    page = await visitor.get(f"/webhooks/matches?{query}")
    assert page.status == 200
    for word in words:
        assert word in page.text
    for word in missing:
        assert word not in page.text


async def test_the_settings_are_changed_and_only_they_are_audited(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection
) -> None:
    name = await made(admin, receiver.url, headers={"X-Old": "s3cret", "X-Kept": "s3cret"})
    page = await visitor.get(f"/webhooks/{name}/settings")
    assert "X-Old" in page.text
    assert "s3cret" not in page.text
    fields: dict[str, str | list[str]] = {
        "revision": revision(page),
        "url": receiver.url,
        "name": "Renamed",
        "patterns": "user.*",
        "timeout": "2.5",
        "retry_retries": "2",
        "retry_base": "30",
        "schemes": ["standard"],
        "metadata": '{"team": "crm"}',
        "header_name": ["X-Old", "X-Kept", "X-New", ""],
        "header_value": ["", "", "fresh", ""],
        "header_kept": ["X-Old", "X-Kept"],
        "header_gone": "X-Old",
    }
    saved = await visitor.post(f"/webhooks/{name}/settings", fields)
    assert "Saved." in saved.text
    now = (await admin("GET", f"/api/webhooks/{name}")).data
    assert (now["name"], now["timeout"], now["retry"]) == (
        "Renamed",
        2.5,
        {"retries": 2, "base": 30},
    )
    assert set(now["headerNames"]) == {"X-Kept", "X-New"}
    assert (now["signatureSchemes"], now["metadata"]) == (["standard"], {"team": "crm"})
    detail = await database.fetchval(
        "SELECT detail FROM dispatcher.audit WHERE action = 'webhook.update' AND subject = $1", name
    )
    for unchanged in ("url", "events", "rate_limit"):
        assert unchanged not in detail
    assert "fresh" not in detail


async def test_a_header_with_a_new_value_gets_it_even_if_it_is_marked_to_be_removed(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    name = await made(admin, receiver.url, name="A", headers={"X-Old": "old"})
    fields: dict[str, str | list[str]] = {
        "url": receiver.url,
        "name": "A",
        "patterns": "user.*",
        "header_name": ["X-Old"],
        "header_value": ["fresh"],
        "header_kept": ["X-Old"],
        "header_gone": "X-Old",
    }
    await visitor.post(f"/webhooks/{name}/settings", fields)
    await visitor.post(f"/webhooks/{name}/test")
    request = await receiver.wait_for(1)
    assert request[0].headers["X-Old"] == "fresh"


async def test_emptied_fields_follow_the_configuration_again(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    name = await made(admin, receiver.url, name="A", rateLimit=5, timeout=2, retry={"retries": 1})
    fields: dict[str, str | list[str]] = {"url": receiver.url, "name": "A", "patterns": "user.*"}
    await visitor.post(f"/webhooks/{name}/settings", fields)
    now = (await admin("GET", f"/api/webhooks/{name}")).data
    assert (now["rateLimit"], now["timeout"], now["retry"]) == (None, None, None)


async def test_an_invalid_setting_is_shown_beside_its_field_and_nothing_is_saved(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    name = await made(admin, receiver.url, name="A")
    fields: dict[str, str | list[str]] = {
        "url": "ftp://example.com/",
        "name": "B",
        "patterns": "user.*",
        "rate_limit": "lots",
        "retry_jitter": "7",
        "header_name": ["Host"],
        "header_value": ["example.com"],
    }
    page = await visitor.post(f"/webhooks/{name}/settings", fields)
    assert page.status == 422
    for field in ("rate_limit", "retry_jitter", "headers"):
        assert f'id="{field}-error"' in page.text
    assert 'value="lots"' in page.text
    broken = await visitor.post(f"/webhooks/{name}/settings", {**fields, "metadata": "{"})
    assert (broken.status, "is not JSON" in broken.text) == (422, True)
    assert (await admin("GET", f"/api/webhooks/{name}")).data["name"] == "A"


async def test_a_concurrent_change_is_not_overwritten(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    name = await made(admin, receiver.url, name="A")
    page = await visitor.get(f"/webhooks/{name}/settings")
    await admin("PATCH", f"/api/webhooks/{name}", {"name": "Theirs"})
    fields: dict[str, str | list[str]] = {
        "revision": revision(page),
        "url": receiver.url,
        "name": "Mine",
        "patterns": "user.*",
    }
    late = await visitor.post(f"/webhooks/{name}/settings", fields)
    assert (late.status, "Another user has changed the webhook" in late.text) == (409, True)
    other = await visitor.post(f"/webhooks/{name}/settings", {**fields, "revision": "9" * 5000})
    assert other.status == 409
    assert (await admin("GET", f"/api/webhooks/{name}")).data["name"] == "Theirs"


async def test_settings_that_are_only_shown_stay_as_they_are(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection
) -> None:
    name = await made(
        admin,
        receiver.url,
        name="A",
        description="Two\nlines",
        timeout=2.123,
        retry={"base": 86_399.123456789012, "jitter": 0.12345678901234},
        events=["user.b", "user.a"],
        signatureSchemes=["stripe", "standard"],
    )
    await database.execute(
        "UPDATE dispatcher.endpoints SET metadata = $1::text::json WHERE id = $2",
        '{"id":  123456789012345678901, "is": true, "is": 1.50}',
        name,
    )
    before = await database.fetchrow(STORED, name)
    assert before is not None
    page = await visitor.get(f"/webhooks/{name}/settings")
    fields = page.markup.form("/settings").fields
    fields |= {"schemes": ["standard", "stripe"], "patterns": "user.a user.b"}
    fields |= {"description": "Twolines", "metadata": str(fields["metadata"]).replace("\n", "\r\n")}
    saved = await visitor.submit(page.markup.form("/settings"), **(fields | {"name": "B"}))  # type: ignore[arg-type]
    assert (saved.status, "Saved." in saved.text) == (200, True)
    after = await database.fetchrow(STORED, name)
    assert after is not None
    changed = {key for key in before.keys() if before[key] != after[key]}  # noqa: SIM118 - a Record
    assert changed == {"name", "updated_at", "version"}


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ('{"id": 123456789012345678901}', "numbers of 64 bits"),
        ('{"n": 1e400}', "numbers of 64 bits"),
        ('{"a": 1, "a": 2}', "A key stands twice"),
        ("[]", "must be an object"),
    ],
)
async def test_metadata_that_cannot_be_kept_are_refused_as_by_the_api(
    visitor: Visitor, admin: Client, receiver: Receiver, metadata: str, reason: str
) -> None:
    name = await made(admin, receiver.url, name="A", metadata={"id": 1})
    opened = await visitor.get(f"/webhooks/{name}/settings")
    page = await visitor.submit(opened.markup.form("/settings"), metadata=metadata)
    assert (page.status, reason in page.text) == (422, True)
    assert (await admin("GET", f"/api/webhooks/{name}")).data["metadata"] == {"id": 1}


async def test_a_number_in_metadata_becomes_true_and_emptied_metadata_are_removed(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    name = await made(admin, receiver.url, name="A", metadata={"id": 1})
    for typed, now in (('{"id": true}', {"id": True}), ("", {})):
        opened = await visitor.get(f"/webhooks/{name}/settings")
        await visitor.submit(opened.markup.form("/settings"), metadata=typed)
        metadata = (await admin("GET", f"/api/webhooks/{name}")).data["metadata"]
        assert repr(metadata) == repr(now)


async def test_a_retry_schedule_is_shown_while_it_is_typed(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    name = await made(admin, receiver.url)
    query = "retry_retries=3&retry_base=60&retry_factor=10&retry_cap=3600"
    page = await visitor.get(f"/webhooks/{name}/tries?{query}")
    for words in ("at once", "after 1 min", "after 10 min", "after 1 h", "1.2 h in all"):
        assert words in page.text
    wrong = await visitor.get(f"/webhooks/{name}/tries?retry_retries=many")
    assert "make no schedule" in wrong.text


async def test_a_test_event_opens_the_page_of_its_delivery(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    name = await made(admin, receiver.url)
    page = await visitor.post(f"/webhooks/{name}/test")
    assert page.below.startswith("/deliveries/dlv_")
    assert "The test event is being sent." in page.text
    await receiver.wait_for(1)

    async def arrived() -> bool:
        return ">delivered<" in (await visitor.get(page.path)).text

    await until(arrived, "the page says that it was delivered")


async def test_a_rotated_secret_is_shown_once_and_signs_the_next_delivery(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    made_page = await visitor.post("/webhooks/new", {"url": receiver.url, "patterns": "*"})
    name = (await admin("GET", "/api/webhooks")).data[0]["id"]
    page = await visitor.post(f"/webhooks/{name}/rotate", {"overlap": "day"})
    assert shown_secret(page) != shown_secret(made_page)
    assert "The old secret also signs" in page.text
    assert shown_secret(page) not in (await visitor.get(f"/webhooks/{name}/settings")).text


async def test_an_unknown_overlap_is_refused_and_the_secret_is_kept(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    name = await made(admin, receiver.url)
    before = (await admin("GET", f"/api/webhooks/{name}")).data
    page = await visitor.post(f"/webhooks/{name}/rotate", {"overlap": "month"})
    assert (page.status, "none, hour, day, week" in page.text) == (422, True)
    assert (await admin("GET", f"/api/webhooks/{name}")).data == before


async def test_a_webhook_is_disabled_and_enabled(
    visitor: Visitor, admin: Client, receiver: Receiver, home: str
) -> None:
    name = await made(admin, receiver.url)
    off = await visitor.post(f"/webhooks/{name}/disable")
    assert "by hand" in off.text
    assert f'action="/e/{home}/webhooks/{name}/test"' not in off.text
    refused = await visitor.post(f"/webhooks/{name}/test")
    assert (refused.status, "is disabled" in refused.text) == (409, True)
    on = await visitor.post(f"/webhooks/{name}/enable")
    assert ">active<" in on.text


async def test_a_webhook_is_deleted(visitor: Visitor, admin: Client, receiver: Receiver) -> None:
    name = await made(admin, receiver.url)
    assert "No webhooks yet" in (await visitor.post(f"/webhooks/{name}/delete")).text
    assert (await visitor.get(f"/webhooks/{name}")).status == 404


POSTS = ("test", "rotate", "enable", "disable", "delete", "settings", "credentials", "recoveries")


async def test_a_read_token_sees_everything_and_changes_nothing(
    standing: Api,
    stranger: Visitor,
    admin: Client,
    receiver: Receiver,
    database: Connection,
    home: str,
) -> None:
    name = await made(admin, receiver.url, name="A")
    before = await database.fetchrow(STORED, name)
    await stranger.sign_in(await standing.token("read", home))
    for tab in ("", "/settings", "/credentials", "/recoveries"):
        page = await stranger.get(f"/webhooks/{name}{tab}")
        assert page.status == 200
        assert f'method="post" action="/e/{home}/webhooks/{name}/' not in page.text.replace(
            f'action="/e/{home}/webhooks/{name}/settings"', ""
        )
    assert "Save" not in (await stranger.get(f"/webhooks/{name}/settings")).text
    for action in POSTS:
        page = await stranger.post(
            f"/webhooks/{name}/{action}", {"url": receiver.url, "name": "B", "patterns": "*"}
        )
        assert page.status == 403, action
    assert await database.fetchrow(STORED, name) == before


async def test_every_form_demands_its_token(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection
) -> None:
    name = await made(admin, receiver.url)
    before = await database.fetchrow(STORED, name)
    for action in POSTS:
        assert (await visitor.post(f"/webhooks/{name}/{action}", csrf="0" * 64)).status == 403
    assert await database.fetchrow(STORED, name) == before


async def test_a_webhook_of_another_environment_is_not_found(
    standing: Api, stranger: Visitor, admin: Client, receiver: Receiver, other_home: str
) -> None:
    name = await made(admin, receiver.url)
    await stranger.sign_in(await standing.token("write", other_home))
    assert name not in (await stranger.get("/webhooks")).text
    for which in (name, UNKNOWN, "nonsense"):
        for tab in ("", "/settings", "/credentials", "/recoveries"):
            assert (await stranger.get(f"/webhooks/{which}{tab}")).status == 404
        for action in POSTS:
            page = await stranger.post(
                f"/webhooks/{which}/{action}", {"preset": "hour", "name": "B", "patterns": "*"}
            )
            assert page.status == 404, action
    assert (await admin("GET", f"/api/webhooks/{name}")).status == 200


async def test_text_of_others_is_shown_as_text(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection
) -> None:
    name = await made(admin, receiver.url, description=HOSTILE)
    await database.execute("UPDATE dispatcher.endpoints SET name = $1 WHERE id = $2", HOSTILE, name)
    for path in ("/webhooks", f"/webhooks/{name}", f"/webhooks/{name}/recoveries"):
        text = (await visitor.get(path)).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e" in text
        assert "\u202e" not in text
    assert "<script>alert" not in (await visitor.get(f"/webhooks/{name}/settings")).text


async def test_the_settings_show_the_kind_of_credentials_and_no_secret(
    visitor: Visitor, admin: Client, receiver: Receiver, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.client()
    tls = {"certificate": certificate, "key": key, "ca": authority.root.read_text()}
    client = {"tokenUrl": receiver.url, "clientId": HOSTILE[:8], "clientSecret": "hush-hush"}
    webhook = await made(admin, receiver.url, authentication={"type": "oauth2", **client}, tls=tls)
    page = await visitor.get(f"/webhooks/{webhook}/settings")
    for words in ("OAuth 2 client &lt;script&gt;", receiver.url, "CN=127.0.0.1", "Test authority"):
        assert words in page.text
    assert "hush-hush" not in page.text
    assert key.splitlines()[1] not in page.text
    basic = {"type": "basic", "username": "the-user", "password": "hush-hush"}
    await admin("PATCH", f"/api/webhooks/{webhook}", {"authentication": basic, "tls": None})
    page = await visitor.get(f"/webhooks/{webhook}/settings")
    assert "HTTP basic" in page.text
    assert "the-user" not in page.text
    assert "hush-hush" not in page.text
    assert "Client certificate" not in page.text
