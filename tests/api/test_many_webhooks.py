"""An environment with thousands of webhooks."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesIOPayload

from dispatcher.client import AsyncClient
from dispatcher.encryption.cipher import Cipher
from dispatcher.services.webhooks import webhooks
from tests.api.conftest import Api, Client, served
from tests.conftest import Connection
from tests.end_to_end.shell import KEY
from tests.end_to_end.stories import Daemons

COUNT = 5_000


async def _fill(connection: Connection, count: int, environment: str = "env_default") -> None:
    """So many webhooks, of which ten at a time are equally old."""
    await connection.execute(
        "WITH made AS (INSERT INTO dispatcher.endpoints (id, environment_id, version, name, url, secret, created_at)"
        " SELECT gen_random_uuid(), $2, 0, n, 'http://127.0.0.1/', '', now() - make_interval(secs => n / 10)"
        " FROM generate_series(1, $1::int) AS n RETURNING id, environment_id)"
        " INSERT INTO dispatcher.subscriptions (environment_id, pattern, endpoint_id)"
        " SELECT environment_id, 'user.*', id FROM made",
        count,
        environment,
    )


@asynccontextmanager
async def _gaps() -> AsyncIterator[list[float]]:
    """Seconds between two turns of the loop, one after another."""
    gaps: list[float] = []

    async def turn() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0)
            gaps.append(time.monotonic() - before)

    turning = asyncio.create_task(turn())
    try:
        yield gaps
    finally:
        turning.cancel()


@pytest.mark.parametrize("at_once", [7, 500])
async def test_all_webhooks_are_listed_once_in_one_list_or_in_pages(
    admin: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(webhooks, "STEP_LIMIT_WEBHOOKS", at_once)
    await _fill(connection, 250)
    rows = await connection.fetch("SELECT id FROM dispatcher.endpoints ORDER BY created_at, id")
    whole = (await admin("GET", "/api/webhooks")).data
    assert [webhook["id"] for webhook in whole] == [str(row["id"]) for row in rows]
    paged, cursor = [], ""
    while True:
        page = (await admin("GET", f"/api/webhooks?limit=90{cursor}")).data
        paged += page["items"]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert paged == whole


@pytest.mark.long
async def test_sending_goes_on_while_thousands_are_listed(
    daemons: Daemons, dsn: str, connection: Connection
) -> None:
    async with served(daemons, dsn, limits={"page": 10_000, "page_bytes": 2**25}) as api:
        await _list_thousands(await api.client(), connection)


async def _list_thousands(admin: Client, connection: Connection) -> None:
    await _fill(connection, COUNT)
    await admin("GET", "/api/webhooks?limit=1")
    began = time.monotonic()
    async with _gaps() as gaps:
        answer = await admin("GET", "/api/webhooks")
    took = time.monotonic() - began
    assert len(answer.data) == COUNT
    assert max(gaps) < 0.8 * took  # it was nearly all of it when nothing gave way


# ── more than one answer holds ───────────────────────────────────────────────────────────────────


SMALL = {
    **dict.fromkeys(("webhooks", "patterns", "headers", "event_types", "tokens"), 3),
    "metadata_bytes": 20,
    "environments": 2,
    "page": 4,
    "page_bytes": 65_536,
}


@pytest.fixture
async def small(daemons: Daemons, dsn: str) -> AsyncIterator[Api]:
    """Small limits on everything."""
    async with served(daemons, dsn, limits=SMALL) as api:
        yield api


@pytest.fixture(scope="module")
async def standing(standing_dsn: str, database: Connection) -> AsyncIterator[Api]:
    """The same for a whole module."""
    started = Daemons(standing_dsn, Cipher(bytes.fromhex(KEY)))
    async with served(started, standing_dsn, limits=SMALL) as opened:
        yield opened
    await started.end()


async def test_more_webhooks_than_one_answer_holds_come_in_pages(
    standing: Api, database: Connection, home: str
) -> None:
    await _fill(database, 10, home)
    client = await standing.client("read", home)
    first = await client("GET", "/api/webhooks")
    assert len(first.data["items"]) == 4
    cursor = first.data["nextCursor"]
    assert first.headers.get("Link") is None or cursor in first.headers["Link"]
    rest = (await client("GET", f"/api/webhooks?limit=100&cursor={cursor}")).data
    assert rest["nextCursor"] is None
    ids = [webhook["id"] for webhook in (*first.data["items"], *rest["items"])]
    assert len(set(ids)) == 10
    answer = await client("GET", "/api/webhooks", Accept="application/vnd.api+json")
    assert len(answer.json["data"]) == 4
    assert answer.json["meta"]["next_cursor"]


async def test_a_page_ends_where_it_would_be_too_long(small: Api, connection: Connection) -> None:
    await _fill(connection, 10)
    await connection.execute(
        "UPDATE dispatcher.endpoints SET metadata = json_build_object('x', repeat('x', 16000))"
    )
    client = await small.client("read")
    page = (await client("GET", "/api/webhooks?limit=100")).data
    assert len(page["items"]) == 3
    assert page["nextCursor"]


async def test_a_client_that_lists_all_webhooks_gets_every_page(
    small: Api, connection: Connection
) -> None:
    await _fill(connection, 250)
    token = await small.token("read")
    async with AsyncClient(small.address, token) as client:
        assert len({webhook.id for webhook in await client.webhooks.list()}) == 250


@pytest.mark.parametrize(
    ("path", "form", "setting"),
    [
        ("/api/webhooks", {"url": "https://example.com/", "events": ["*"]}, "limits.webhooks"),
        ("/api/tokens", {"name": "one", "environmentId": "env_default"}, "limits.tokens"),
        ("/api/environments", {"name": "one"}, "limits.environments"),
    ],
)
async def test_a_connection_over_the_limit_is_refused_until_another_ends(
    small: Api, path: str, form: dict[str, object], setting: str
) -> None:
    client = await small.client()
    made = [await client("POST", path, form) for _ in range(4)]
    assert {answer.status for answer in made} == {201, 409}
    refused = made[-1]
    assert refused.code == "conflict"
    assert setting in refused.json["error"]["message"]
    if path != "/api/environments":
        assert (await client("DELETE", f"{path}/{made[0].data['id']}")).status == 204
        assert (await client("POST", path, form)).status == 201


async def test_a_full_catalogue_is_listed_in_pages(standing: Api, home: str) -> None:
    client = await standing.client("admin", home)
    statuses = [
        (await client("PUT", f"/api/event-types/a.{n}", {"example": "x" * 30_000})).status
        for n in range(4)
    ]
    assert statuses == [201, 201, 201, 409]
    page = (await client("GET", "/api/event-types")).data
    assert [event_type["name"] for event_type in page["items"]] == ["a.0", "a.1"]
    rest = (await client("GET", f"/api/event-types?cursor={page['nextCursor']}")).data
    assert [event_type["name"] for event_type in rest["items"]] == ["a.2"]


async def test_tokens_are_listed_in_pages_newest_first(small: Api) -> None:
    client = await small.client()
    form = {"name": "one", "environmentId": "env_default", "scope": "read"}
    made = [(await client("POST", "/api/tokens", form)).data["id"] for _ in range(3)]
    page = (await client("GET", "/api/tokens?limit=2")).data
    rest = (await client("GET", f"/api/tokens?cursor={page['nextCursor']}")).data
    listed = [token["id"] for token in (*page["items"], *rest["items"])]
    assert listed[:3] == made[::-1]
    assert len(set(listed)) == 4


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"events": ["a", "b", "c", "d"]}, "/events"),
        ({"metadata": {"x": "y" * 20}}, "/metadata"),
        ({"headers": {f"X-{n}": "1" for n in range(4)}}, "/headers"),
    ],
)
async def test_a_webhook_over_the_configured_limits_is_refused(
    standing: Api, home: str, change: dict[str, object], place: str
) -> None:
    client = await standing.client("admin", home)
    new = {"url": "https://example.com/", "events": ["*"]}
    refused = await client("POST", "/api/webhooks", {**new, **change})
    assert (refused.status, refused.json["error"]["details"][0]["pointer"]) == (422, place)
    made = (await client("POST", "/api/webhooks", new)).data
    refused = await client("PATCH", f"/api/webhooks/{made['id']}", change)
    assert refused.status == 422


async def test_a_long_list_is_sent_in_pieces_and_a_short_one_at_once(
    daemons: Daemons, dsn: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    pieces = BytesIOPayload.write

    async def in_pieces(body: BytesIOPayload, writer: AbstractStreamWriter) -> None:
        written.append(body.size)
        await pieces(body, writer)

    monkeypatch.setattr(BytesIOPayload, "write", in_pieces)
    async with served(daemons, dsn) as api:
        client = await api.client("read", "env_default")
        await _fill(connection, 10)
        assert len((await client("GET", "/api/webhooks")).data) == 10
        assert not written
        await connection.execute(
            "UPDATE dispatcher.endpoints SET metadata = json_build_object('x', repeat('x', 16000))"
        )
        assert len((await client("GET", "/api/webhooks")).data) == 10
        assert len(written) == 1
        assert written[0] > 160_000
