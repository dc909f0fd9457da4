"""Queries, cursors and ids that no client should send: refused with the name of what is wrong."""

import base64
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.conftest import JSON, JSONAPI, OTHER, ApiResponse, Client
from tests.api.refusals import said
from tests.conftest import Connection
from tests.waiting import until

WEBHOOK: dict[str, Any] = {"url": "https://example.com/", "events": ["user.created"]}

both = pytest.mark.parametrize("dialect", [JSON, JSONAPI])


def parameter(refused: ApiResponse) -> str:
    if refused.type == JSONAPI:
        return str(refused.json["errors"][0]["source"]["parameter"])
    return str(refused.json["error"]["details"][0]["parameter"])


PARAMETERS = [
    *(("webhooks", f"limit={limit}", "limit") for limit in ("0", "101", "1000000000", "-1", "abc", "1.5", "", "\u0665", "9" * 5000)),
    *(("deliveries", f"status={status}", "status") for status in ("delivered", "", "'", "%00")),
    *(("deliveries", f"event={event}", "event") for event in ("a%25", "'--", "*.a", "", "%00")),
    *(("deliveries", f"since={since}", "since") for since in ("yesterday", "1700000000", "2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00Z", "infinity")),
    ("events", "until=9999-12-31T23:59:59Z", "until"),
    *(("events", f"id={id_}", "id") for id_ in ("1", "evt_", "evt_01", "evt_-1", "evt_99999999999999999999")),
    ("audit", "environment_id='", "environment_id"),
    ("webhooks", "search=a%00", "search"),
    *((path, "offset=-1", "offset") for path in ("webhooks", "deliveries", "tokens", "event-types", "pause")),
    ("webhooks", "limit=1&limit=2", "limit"),
    ("webhooks", "limit=1&page[limit]=2", "page[limit]"),
    ("webhooks", "Limit=1", "Limit"),
    ("webhooks", "%ED%A0%80=1", "\ufffd\ufffd\ufffd"),
]  # fmt: skip


@both
@pytest.mark.parametrize(("listed", "query", "named"), PARAMETERS)
async def test_an_invalid_query_is_refused(
    ask: Client, dialect: str, listed: str, query: str, named: str
) -> None:
    refused = await ask("GET", f"/api/{listed}?{query}", Accept=dialect)
    assert (refused.status, parameter(refused)) == (400, named)
    said(refused, "bad_parameter")


@pytest.mark.parametrize(
    "value", ["%25", "_", "'", "';DROP TABLE dispatcher.audit;--", "token:%25"]
)
@pytest.mark.parametrize("filtered", ["subject", "actor", "action"])
async def test_a_filter_is_compared_as_plain_text(ask: Client, filtered: str, value: str) -> None:
    answer = await ask("GET", f"/api/audit?{filtered}={value}")
    assert (answer.status, answer.data["items"]) == (200, [])


@pytest.fixture(scope="module")
async def cursors(ask: Client, database: Connection) -> dict[str, str]:
    """Of a first page, by what was listed."""
    for _ in range(2):
        await ask("POST", "/api/webhooks", WEBHOOK)
        await ask("POST", "/api/events", {"type": "user.created", "data": {}})
    first = ["webhooks?limit=1", "events?limit=1", "events?limit=1&type=user.*", "audit?limit=1"]
    event = (await ask("GET", "/api/events?limit=1")).data["items"][0]["id"]
    deliveries = f"events/{event}/deliveries"

    async def fanned_out() -> bool:
        return len((await ask("GET", f"/api/{deliveries}")).data["items"]) > 1

    await until(fanned_out, "the two deliveries of the last event")
    first.append(f"{deliveries}?limit=1")
    pages = {listed: await ask("GET", f"/api/{listed}") for listed in first}
    return {listed: page.data["nextCursor"] for listed, page in pages.items()}


async def test_a_cursor_continues_after_its_page(ask: Client, cursors: dict[str, str]) -> None:
    for listed, cursor in cursors.items():
        for limit in ("", "&page[size]=7"):
            path = listed.replace("limit=1", f"cursor={cursor}{limit}")
            assert (await ask("GET", f"/api/{path}")).status == 200


@both
@pytest.mark.parametrize("limit", ["", "&limit=1"])
async def test_a_cursor_that_was_made_up_is_refused(
    ask: Client, cursors: dict[str, str], dialect: str, limit: str
) -> None:
    for listed, real in cursors.items():
        listing, _, query = listed.replace("limit=1", "").partition("?")
        other = chr(ord(real[9]) ^ 1)
        position = base64.urlsafe_b64encode(bytes(16) + b"1").decode()
        for cursor in (
            "",
            "x",
            "1",
            "-1",
            "====",
            "%00",
            "é",
            "' OR 1=1",
            "9" * 3000,
            real[:-4],
            real[4:],
            f"{real}AAAA",
            real[:9] + other + real[10:],
            real.swapcase(),
            position,
            real + real,
        ):
            path = f"/api/{listing}?{query.strip('&')}&cursor={quote(cursor, safe='%')}{limit}"
            refused = await ask("GET", path, Accept=dialect)
            assert (refused.status, parameter(refused)) == (400, "cursor"), path
            said(refused, "bad_cursor")


async def test_a_cursor_is_valid_for_one_listing(ask: Client, cursors: dict[str, str]) -> None:
    webhooks, events = cursors["webhooks?limit=1"], cursors["events?limit=1"]
    filtered = cursors["events?limit=1&type=user.*"]
    for path in (
        f"/api/events?cursor={webhooks}",
        f"/api/webhooks?cursor={events}",
        f"/api/deliveries?cursor={events}",
        f"/api/events?type=user.*&cursor={events}",
        f"/api/events?cursor={filtered}",
        f"/api/events?type=user.created&cursor={filtered}",
        f"/apps/{OTHER}/webhooks?cursor={webhooks}",
    ):
        refused = await ask("GET", path)
        assert (refused.status, refused.code) == (400, "bad_cursor"), path
    elsewhere = await ask("GET", f"/api/webhooks?cursor={webhooks}", X_Environment_Id=OTHER)
    assert (elsewhere.status, elsewhere.code) == (400, "bad_cursor")


HOSTILE = ["'", "%25", "_", "' OR 1=1--", "%00", "%ff", "a" * 3000, "\u0665", "null"]
NUMBERS = [
    "0",
    "01",
    "-1",
    "1e3",
    "+1",
    " 1",
    "1 ",
    "9223372036854775808",
    "9" * 30,
    "\u0661",
    "",
    "x",
]
"""After the prefix."""


def spellings(id_: str) -> list[str]:
    """Return texts that some parsers take for the same UUID."""
    plain = id_.replace("-", "")
    return [
        f"{{{id_}}}",
        f"urn:uuid:{id_}",
        plain,
        f"{plain[:16]}-{plain[16:]}",
        f" {id_}",
        f"{id_}%0a",
        f"{id_[:-1]}",
        f"{id_}0",
        f"{id_[:-1]}\u0660",
    ]


async def test_an_id_has_one_spelling(ask: Client) -> None:
    made = (await ask("POST", "/api/webhooks", WEBHOOK)).data["id"]
    assert (await ask("GET", f"/api/webhooks/{made.upper()}")).status == 200
    for spelling in (*spellings(made), *HOSTILE):
        for path in ("", "/deliveries", "/recoveries"):
            refused = await ask("GET", f"/api/webhooks/{quote(spelling, safe='%')}{path}")
            assert (refused.status, refused.code) == (404, "not_found"), spelling
        refused = await ask("DELETE", f"/api/tokens/{quote(spelling, safe='%')}")
        assert (refused.status, refused.code) == (404, "not_found"), spelling


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("deliveries", "dlv"), ("events", "evt"), ("quarantine", "q"), ("event-types", "")],
)
async def test_a_text_that_is_no_id_is_not_found(ask: Client, path: str, prefix: str) -> None:
    numbered = [f"{prefix}_{number}" for number in NUMBERS]
    for id_ in (*numbered, *HOSTILE, "1", prefix.upper() + "_1", f"x{prefix}_1"):
        refused = await ask("GET", f"/api/{path}/{quote(id_, safe='%')}")
        assert (refused.status, refused.code) == (404, "not_found"), id_
