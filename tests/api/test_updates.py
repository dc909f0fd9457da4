"""Changing webhooks: what is given and nothing else, never over somebody else's change, on record."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson
import pytest

from dispatcher.encryption.cipher import Cipher
from tests.api.conftest import JSONAPI, SCHEMES, Api, Client, delivered, served
from tests.api.refusals import documented, pointers, untouched
from tests.conftest import Connection
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Receiver
from tests.waiting import until

WHOLE: dict[str, Any] = {
    "url": "https://example.com/a",
    "events": ["user.created", "role.*"],
    "name": "whole",
    "description": "has everything",
    "active": True,
    "headers": {"X-One": "1", "X-Two": "2"},
    "rateLimit": 5,
    "maxInFlight": 3,
    "timeout": 2.5,
    "retry": {"retries": 2, "base": 1.5},
    "signatureSchemes": ["standard", "stripe"],
    "metadata": {"team": "billing", "n": [1, None]},
}


async def whole(ask: Client, **fields: Any) -> tuple[str, Any]:
    """The path of a webhook with everything set, and the webhook."""
    made = await ask("POST", "/api/webhooks", {**WHOLE, **fields})
    assert made.status == 201
    return f"/api/webhooks/{made.data['id']}", made.data


def unlike(before: Any, after: Any) -> dict[str, Any]:
    """Return the fields that have changed, except times and secrets."""
    skipped = {"updatedAt", "secret"}
    return {n: after[n] for n in after if n not in skipped and after[n] != before[n]}


# ── what is given ────────────────────────────────────────────────────────────────────────────────

CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"url": "https://example.com/b"}, {"url": "https://example.com/b"}),
    ({"events": ["*"]}, {"events": ["*"]}),
    ({"events": ["b", "a", "b"]}, {"events": ["b", "a"]}),
    ({"name": "n", "description": ""}, {"name": "n", "description": ""}),
    ({"active": False}, {"active": False}),
    ({"rateLimit": 7}, {"rateLimit": 7}),
    ({"rateLimit": None, "maxInFlight": None}, {"rateLimit": None, "maxInFlight": None}),
    ({"timeout": 30}, {"timeout": 30.0}),
    ({"timeout": None}, {"timeout": None}),
    ({"retry": {"jitter": 0.5}}, {"retry": {"jitter": 0.5}}),
    ({"retry": None}, {"retry": None}),
    ({"retry": {}}, {"retry": None}),
    ({"signatureSchemes": ["body-hex"]}, {"signatureSchemes": ["body-hex"]}),
    ({"signatureSchemes": None}, {"signatureSchemes": None}),
    ({"metadata": {"a": 1}}, {"metadata": {"a": 1}}),
    ({"metadata": {}}, {"metadata": {}}),
    ({"headers": {"X-Three": "3"}}, {"headerNames": ["X-One", "X-Two", "X-Three"]}),
    ({"headers": {"x-one": "1"}}, {"headerNames": ["X-Two", "x-one"]}),
    ({"headers": {"X-One": None}}, {"headerNames": ["X-Two"]}),
    ({"headers": {"X-None": None}}, {}),
    ({"headers": {}}, {}),
    ({"headers": None}, {"headerNames": []}),
    ({"url": None, "events": None, "name": None, "active": None, "metadata": None}, {}),
]


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize(
    ("changes", "expected"), CHANGES, ids=[orjson.dumps(c).decode() for c, _ in CHANGES]
)
async def test_only_the_given_fields_are_changed(
    ask: Client, method: str, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    path, before = await whole(ask)
    changed = await ask(method, path, changes)
    assert changed.status == 200
    assert unlike(before, changed.data) == expected
    assert (await ask("GET", path)).data == changed.data


async def test_a_json_api_document_changes_only_the_given_fields_too(ask: Client) -> None:
    path, before = await whole(ask)
    document = documented("webhook", {"rate_limit": None, "headers": {"X-One": None}})
    assert (await ask("PATCH", path, document, Content_Type=JSONAPI)).type == JSONAPI
    after = (await ask("GET", path)).data
    assert unlike(before, after) == {"rateLimit": None, "headerNames": ["X-Two"]}


async def test_a_change_of_the_order_is_refused_because_it_was_chosen(ask: Client) -> None:
    path, _ = await whole(ask)
    plain = await ask("PATCH", path, {"ordered": False})
    document = documented("webhook", {"ordered": False})
    wrapped = await ask("PATCH", path, document, Content_Type=JSONAPI)
    for refused, pointer in ((plain, "/ordered"), (wrapped, "/data/attributes/ordered")):
        assert (refused.status, pointers(refused)) == (422, [pointer])
        assert "is chosen when the webhook is made" in refused.body.decode()


async def test_the_headers_of_a_webhook_are_bounded_over_all_its_changes(
    ask: Client, database: Connection
) -> None:
    path, _ = await whole(ask, headers={"X-One": "1" * 4000})
    document = documented("webhook", {"headers": {"X-Two": "2" * 4000}})
    plain = {"headers": {"X-Two": "2" * 4000}}
    at_once = await ask("PATCH", path, {"headers": {"X-One": "1" * 4000, "X-Two": "2" * 4000}})
    async with untouched(database):
        refusals = [
            (await ask("PATCH", path, plain), "/headers"),
            (await ask("PUT", path, document, Content_Type=JSONAPI), "/data/attributes/headers"),
        ]
    for refused, pointer in refusals:
        assert (refused.status, pointers(refused)) == (422, [pointer])
        assert "must be at most 4096 bytes in all" in refused.body.decode()
    assert refusals[0][0].json["error"]["message"] == at_once.json["error"]["message"]
    assert (
        await ask("PATCH", path, {"headers": {"X-One": None, **plain["headers"]}})
    ).status == 200


async def test_headers_that_were_too_large_already_can_be_made_smaller(
    ask: Client, database: Connection, cipher: Cipher
) -> None:
    path, made = await whole(ask)
    large = {f"X-{n}": "x" * 4000 for n in range(3)}
    context = UUID(made["id"]).bytes
    await database.execute(
        "UPDATE dispatcher.endpoints SET headers = $2 WHERE id = $1",
        UUID(made["id"]),
        cipher.encrypt(orjson.dumps(large), context=context),
    )
    assert (await ask("PATCH", path, {"headers": {"X-0": "x" * 4001}})).status == 422
    smaller = await ask("PATCH", path, {"headers": {"X-0": None}})
    assert smaller.data["headerNames"] == ["X-1", "X-2"]


async def test_a_scheme_that_is_not_switched_on_is_refused(
    daemons: Daemons, dsn: str, connection: Connection
) -> None:
    async with served(daemons, dsn, signing={"schemes": SCHEMES[:2]}) as api:
        admin = await api.client()
        form = {"url": "https://example.com/", "events": ["*"]}
        path = f"/api/webhooks/{(await admin('POST', '/api/webhooks', form)).data['id']}"
        narrowed = {"signatureSchemes": ["standard", "stripe"]}
        async with untouched(connection):
            refusals = [
                await admin("PATCH", path, narrowed),
                await admin("POST", "/api/webhooks", {**form, **narrowed}),
            ]
        for refused in refusals:
            assert (refused.status, pointers(refused)) == (422, ["/signatureSchemes"])


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────


async def test_headers_and_schemes_are_sent_as_they_were_changed_and_never_shown(
    ask: Client, receiver: Receiver
) -> None:
    fields = {"url": receiver.url, "headers": {"X-One": "sesame-1", "X-Two": "sesame-2"}}
    path, made = await whole(ask, **fields)
    changes = {"headers": {"X-Two": "sesame-3", "X-Three": "sesame-4", "x-one": None}}
    answers = [await ask("PATCH", path, {**changes, "signatureSchemes": ["body-hex"]})]
    await ask("POST", f"{path}/test")
    [item] = await delivered(ask, made["id"])
    sent = receiver.requests[0].headers
    assert (sent["X-Two"], sent["X-Three"], "X-One" in sent) == ("sesame-3", "sesame-4", False)
    assert "X-Dispatcher-Signature" in sent
    assert "webhook-signature" not in sent
    places = [path, f"/api/deliveries/{item['id']}", "/api/audit?limit=100", "/api/webhooks"]
    answers += [await ask("GET", place) for place in places]
    assert b"X-Three" in answers[-2].body
    assert not [answer for answer in answers if b"sesame" in answer.body]


async def test_a_disabled_webhook_gets_no_events_and_an_enabled_one_does(
    ask: Client, telling: Story, receiver: Receiver
) -> None:
    path, made = await whole(ask, url=receiver.url, events=["switch.on"])
    await ask("PATCH", path, {"active": False})
    refused = await ask("POST", f"{path}/test")
    assert (refused.status, refused.code) == (409, "conflict")
    await telling.insert(type_="switch.on", first=1)
    emptied = "SELECT count(*) FROM dispatcher.inbox"
    await until(lambda: _none(telling.connection, emptied), "the event is fanned out")
    enabled = await ask("PATCH", path, {"active": True})
    assert (enabled.data["active"], enabled.data["disabledReason"]) == (True, None)
    await telling.insert(type_="switch.on", first=2)
    [item] = await delivered(ask, made["id"])
    assert item["payload"]["data"] == {"n": 2}
    assert len((await ask("GET", f"{path}/deliveries")).data["items"]) == 1


async def _none(connection: Connection, counted: str) -> bool:
    return bool(await connection.fetchval(counted) == 0)


# ── no change is lost ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
async def test_a_stale_revision_changes_nothing(
    ask: Client, database: Connection, method: str
) -> None:
    path, _ = await whole(ask)
    read = (await ask("GET", path)).headers["ETag"]
    await ask("PATCH", path, {"name": "meanwhile"})
    body = None if method == "DELETE" else {"name": "late"}
    async with untouched(database):
        for stale in (read, '"1"', "nonsense", 'W/"1"', f"{read}, {read}", ""):
            refused = await ask(method, path, body, If_Match=stale)
            assert (refused.status, refused.code) == (412, "changed_meanwhile"), stale
    now = await ask("GET", path)
    assert now.data["name"] == "meanwhile"
    assert (await ask(method, path, body, If_Match=now.headers["ETag"])).status in (200, 204)


async def test_if_match_with_a_star_matches_any_revision(ask: Client) -> None:
    path, _ = await whole(ask)
    assert (await ask("PATCH", path, {"name": "x"}, If_Match="*")).status == 200
    assert (await ask("DELETE", path, If_Match="*")).status == 204
    assert (await ask("PATCH", path, {"name": "x"}, If_Match="*")).status == 404


async def test_every_change_makes_another_revision(ask: Client) -> None:
    path, _ = await whole(ask)
    answers = [
        await ask("GET", path),
        await ask("PATCH", path, {"name": "x"}),
        await ask("PATCH", f"{path}/rotate_secret"),
        await ask("PATCH", path, {"headers": {"X-One": "another"}}),
    ]
    tags = [answer.headers["ETag"] for answer in answers]
    assert len(set(tags)) == len(tags)
    assert (await ask("GET", path)).headers["ETag"] == tags[-1]


UNCHANGED: list[dict[str, Any]] = [
    {},
    {"url": None, "events": None, "name": None, "active": None, "metadata": None},
    WHOLE,
    {"retry": {"base": 1.5, "retries": 2}},
    {"headers": {"X-None": None}},
    {"headers": {"X-Two": "2"}},
    {"authentication": None, "tls": None},
]


@pytest.mark.parametrize("changes", UNCHANGED, ids=lambda changes: orjson.dumps(changes).decode())
async def test_a_change_that_changes_nothing_writes_nothing(
    ask: Client, database: Connection, changes: dict[str, Any]
) -> None:
    path, _ = await whole(ask)
    before = await ask("GET", path)
    version = "SELECT version FROM dispatcher.endpoint_version"
    drawn = await database.fetchval(version)
    async with untouched(database):
        for method in ("PATCH", "PUT"):
            for condition in ({}, {"If_Match": before.headers["ETag"]}):
                same = await ask(method, path, changes, **condition)
                assert (same.status, same.data) == (200, before.data)
                assert same.headers["ETag"] == before.headers["ETag"]
        refused = await ask("PATCH", path, changes, If_Match='"1"')
        assert (refused.status, refused.code) == (412, "changed_meanwhile")
    assert await database.fetchval(version) == drawn


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"team": "billing", "n": [True, None]}},
        {"events": ["role.*", "user.created"]},
        {"signatureSchemes": ["stripe", "standard"]},
        {"headers": {"x-two": "2"}},
        {"headers": {"X-Two": "3"}},
        {"authentication": {"type": "basic", "username": "u", "password": "p"}},
    ],
    ids=lambda changes: orjson.dumps(changes).decode(),
)
async def test_a_small_change_is_written(ask: Client, changes: dict[str, Any]) -> None:
    path, _ = await whole(ask)
    tag = (await ask("GET", path)).headers["ETag"]
    assert (await ask("PATCH", path, changes)).headers["ETag"] != tag


async def test_headers_that_cannot_be_read_can_be_removed(
    ask: Client, database: Connection
) -> None:
    path, made = await whole(ask)
    id_ = UUID(made["id"])
    other_key = Cipher(b"another key of thirty-two bytes!")
    await database.execute(
        "UPDATE dispatcher.endpoints SET headers = $2 WHERE id = $1",
        id_,
        other_key.encrypt(b'{"X-One":"1"}', context=id_.bytes),
    )
    await ask("PATCH", path, {"headers": None})
    left = "SELECT headers FROM dispatcher.endpoints WHERE id = $1"
    assert await database.fetchval(left, id_) is None


async def test_only_one_of_two_changes_of_a_revision_succeeds(ask: Client) -> None:
    path, _ = await whole(ask)
    tag = (await ask("GET", path)).headers["ETag"]
    answers = await asyncio.gather(
        *(ask("PATCH", path, {"name": f"by {n}"}, If_Match=tag) for n in range(5))
    )
    assert sorted(answer.status for answer in answers) == [200, 412, 412, 412, 412]
    [winner] = [answer.data["name"] for answer in answers if answer.status == 200]
    assert (await ask("GET", path)).data["name"] == winner


# ── the audit ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path", "body", "action"),
    [
        ("POST", "/api/webhooks", WHOLE, "webhook.create"),
        ("PATCH", "{webhook}", {"name": "x"}, "webhook.update"),
        ("PUT", "{webhook}", {"active": False}, "webhook.update"),
        ("PATCH", "{webhook}/rotate_secret", None, "webhook.rotate_secret"),
        ("POST", "{webhook}/test", None, "webhook.test"),
        ("POST", "{webhook}/recover", {"since": "2026-01-01T00:00:00Z"}, "webhook.recover"),
        ("DELETE", "{webhook}", None, "webhook.delete"),
        ("POST", "{delivery}/cancel", None, "delivery.cancel"),
        ("POST", "{delivery}/retry", None, "delivery.retry"),
        ("PUT", "/api/event-types/a.new", {"description": "x"}, "event_type.create"),
        ("PUT", "/api/event-types/a.type", {"description": "y"}, "event_type.update"),
        ("DELETE", "/api/event-types/a.type", None, "event_type.delete"),
        ("POST", "/api/quarantine/q_1/release", None, "quarantine.release"),
        ("DELETE", "/api/quarantine/q_2", None, "quarantine.discard"),
        ("POST", "/api/environments", {"name": "x"}, "environment.create"),
        ("POST", "/api/tokens", {"name": "x", "environmentId": "*"}, "token.create"),
        ("DELETE", "/api/tokens/{token}", None, "token.revoke"),
        ("POST", "/api/pause", None, "sending.pause"),
        ("POST", "/api/resume", None, "sending.resume"),
    ],
)
async def test_every_kind_of_change_is_on_record(
    standing: Api,
    ask: Client,
    subjects: dict[str, str],
    method: str,
    path: str,
    body: object,
    action: str,
) -> None:
    changer = await standing.client("admin", "env_default" if "environments" not in path else "*")
    if action == "token.create":
        body = {"name": "x", "environmentId": "env_default"}
    if action == "sending.resume":
        await changer("POST", "/api/pause")
    trace = f"trace-{action}-{method}"
    changed = await changer(method, path.format(**subjects), body, X_Request_Id=trace)
    assert changed.status < 300, changed.body
    entries = (await ask("GET", f"/api/audit?action={action}&limit=100")).data["items"]
    [entry] = [entry for entry in entries if entry["requestId"] == trace]
    assert entry["address"] == "127.0.0.1"
    tokens = {f"token:{token['id']}" for token in (await ask("GET", "/api/tokens")).data}
    assert entry["actor"] in tokens
    assert entry["subject"]
    assert entry["environmentId"] is not None


@pytest.fixture
async def subjects(
    ask: Client, database: Connection, receiver: Receiver
) -> AsyncIterator[dict[str, str]]:
    """The resources that the tests change, by kind."""
    receiver.otherwise = 500
    webhook, _ = await whole(ask, url=receiver.url, retry={"base": 3600, "jitter": 0})
    tested = (await ask("POST", f"{webhook}/test")).data["id"]
    delivery = f"/api/deliveries/{tested}"

    async def failed() -> bool:
        return bool((await ask("GET", delivery)).data["attempts"] == 1)

    await until(failed, "the first attempt has failed")
    await ask("PUT", "/api/event-types/a.type", {"description": "x"})
    await database.execute("DELETE FROM dispatcher.event_types WHERE name = 'a.new'")
    await database.execute(
        "INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason,"
        " detail) SELECT n, dispatcher.next_id(), 'env_default', 'a', 1, 'test', ''"
        " FROM generate_series(1, 2) AS n ON CONFLICT DO NOTHING"
    )
    token = (await ask("POST", "/api/tokens", {"name": "x", "environmentId": "env_default"})).data
    yield {"webhook": webhook, "delivery": delivery, "token": token["id"]}
    await ask("POST", "/api/resume")


async def test_a_change_that_cannot_be_audited_is_not_made(
    ask: Client, database: Connection
) -> None:
    path, before = await whole(ask)
    await database.execute(
        "ALTER TABLE dispatcher.audit ADD CHECK (action <> 'webhook.update') NOT VALID"
    )
    try:
        assert (await ask("PATCH", path, {"name": "unseen"})).status == 500
    finally:
        await database.execute("ALTER TABLE dispatcher.audit DROP CONSTRAINT audit_action_check")
    assert unlike(before, (await ask("GET", path)).data) == {}


async def test_the_audit_log_names_the_changed_fields(ask: Client) -> None:
    path, made = await whole(ask)
    await ask("PATCH", path, {"name": "renamed", "headers": {"X-One": "sesame"}})
    entries = (await ask("GET", f"/api/audit?subject={made['id']}")).data["items"]
    assert [entry["action"] for entry in entries] == ["webhook.update", "webhook.create"]
    assert entries[0]["detail"]["changed"] == ["headers", "name"]
    assert entries[0]["detail"]["name"] == "renamed"
    assert "sesame" not in str(entries)
