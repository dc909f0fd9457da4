"""A request that is repeated with its Idempotency-Key happens once."""

import asyncio
from typing import Any

import pytest

from tests.api.conftest import JSON, JSONAPI, OTHER, Api, ApiResponse, Client, delivered
from tests.api.refusals import untouched
from tests.conftest import Connection
from tests.receivers import Receiver

WEBHOOK = {"url": "https://example.com/", "events": ["user.created"]}


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """Of the test alone."""
    name: str = request.node.name
    return "".join(c if "!" <= c <= "~" else "_" for c in name)


async def twice(
    ask: Client, key: str, path: str, body: object = None
) -> tuple[ApiResponse, ApiResponse]:
    first = await ask("POST", path, body, Idempotency_Key=key)
    assert "Idempotent-Replayed" not in first.headers
    return first, await ask("POST", path, body, Idempotency_Key=key)


async def test_a_repeated_creation_returns_the_same_webhook_without_its_secret(
    ask: Client, database: Connection, key: str
) -> None:
    first = await ask("POST", "/api/webhooks", WEBHOOK, Idempotency_Key=key)
    async with untouched(database):
        again = await ask("POST", "/api/webhooks", WEBHOOK, Idempotency_Key=key)
    assert (first.status, again.status, again.type) == (201, 201, first.type)
    assert again.headers["Idempotent-Replayed"] == "true"
    expected = first.data
    assert len(expected.pop("secret")) == 64
    assert again.data == expected


async def test_a_repeated_request_has_the_location_and_the_etag_of_the_first(
    ask: Client, key: str
) -> None:
    answers = [*await twice(ask, key, "/api/webhooks", WEBHOOK)]
    path = answers[0].headers["Location"]
    await ask("PATCH", path, {"name": "another"})
    answers.append(await ask("POST", "/api/webhooks", WEBHOOK, Idempotency_Key=key))
    for name in ("Location", "ETag"):
        assert len({answer.headers[name] for answer in answers}) == 1
    assert answers[0].headers["ETag"] != (await ask("GET", path)).headers["ETag"]
    started, again = await twice(
        ask, f"{key}2", f"{path}/recover", {"since": "2026-01-01T00:00:00Z"}
    )
    assert again.headers["Location"] == started.headers["Location"]
    rotated, again = await twice(ask, f"{key}3", f"{path}/rotate_secret")
    assert again.headers["ETag"] == rotated.headers["ETag"]
    assert "Location" not in again.headers


async def test_a_response_that_was_stored_without_headers_is_repeated(
    ask: Client, database: Connection, key: str
) -> None:
    first = await ask("POST", "/api/webhooks", WEBHOOK, Idempotency_Key=key)
    await database.execute(
        "UPDATE dispatcher.idempotent_responses SET body = convert_to($2, 'UTF8') WHERE key = $1",
        key,
        '{"success":true,"data":{"text":"a\r\n\r\nb"}}',
    )
    again = await ask("POST", "/api/webhooks", WEBHOOK, Idempotency_Key=key)
    assert (first.status, again.status) == (201, 201)
    assert again.body == b'{"success":true,"data":{"text":"a\r\n\r\nb"}}'
    assert "Location" not in again.headers


async def test_a_repeated_change_says_that_no_daemon_was_waited_for(ask: Client, key: str) -> None:
    made = (await ask("POST", "/api/webhooks", WEBHOOK)).data
    first, again = await twice(ask, key, f"/api/webhooks/{made['id']}/rotate_secret")
    assert "X-Propagation" not in first.headers
    assert again.headers["X-Propagation"] == "pending"
    _, again = await twice(ask, f"{key}2", "/api/webhooks", WEBHOOK)
    assert "X-Propagation" not in again.headers


async def test_a_repeated_json_api_document_is_answered_with_a_document(
    ask: Client, key: str
) -> None:
    document = {"data": {"type": "webhook", "attributes": WEBHOOK}}
    headers = {"Idempotency_Key": key, "Content_Type": JSONAPI}
    first, again = [await ask("POST", "/api/webhooks", document, **headers) for _ in range(2)]
    assert (again.status, again.type) == (201, JSONAPI)
    assert again.json["data"]["id"] == first.json["data"]["id"]
    assert "signing_secret" in first.json["data"]["attributes"]
    assert "signing_secret" not in again.json["data"]["attributes"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/webhooks", {**WEBHOOK, "name": "another"}),
        ("/apps/env_default/webhooks", WEBHOOK),
    ],
)
async def test_a_key_used_for_another_request_is_refused(
    ask: Client, database: Connection, key: str, path: str, body: object
) -> None:
    await ask("POST", "/api/webhooks", WEBHOOK, Idempotency_Key=key)
    async with untouched(database):
        refused = await ask("POST", path, body, Idempotency_Key=key)
    assert (refused.status, refused.code) == (409, "idempotency_key_reused")
    assert refused.json["error"]["details"][0]["header"] == "Idempotency-Key"


async def test_two_concurrent_requests_with_one_key_create_one_webhook(
    ask: Client, database: Connection, key: str
) -> None:
    answers = await asyncio.gather(
        *(ask("POST", "/api/webhooks", WEBHOOK, Idempotency_Key=key) for _ in range(8))
    )
    assert {answer.status for answer in answers} == {201}
    [id_] = {answer.data["id"] for answer in answers}
    assert sum("secret" in answer.data for answer in answers) == 1
    created = (
        "SELECT count(*) FROM dispatcher.audit WHERE action = 'webhook.create' AND subject = $1"
    )
    assert await database.fetchval(created, id_) == 1


async def test_the_same_key_in_another_environment_is_another_key(ask: Client, key: str) -> None:
    first = await ask("POST", "/api/webhooks", WEBHOOK, Idempotency_Key=key)
    path = f"/apps/{OTHER}/webhooks"
    second = await ask("POST", path, WEBHOOK, Idempotency_Key=key)
    assert (second.status, second.data["environmentId"]) == (201, OTHER)
    assert second.data["id"] != first.data["id"]


async def test_keys_of_administrators_bound_to_environments_are_separate(
    standing: Api, key: str
) -> None:
    answers = []
    for environment in ("env_default", OTHER):
        bound = await standing.client("admin", environment)
        form = {"name": "x", "environmentId": environment}
        answers.append(await bound("POST", "/api/tokens", form, Idempotency_Key=key))
    assert [answer.status for answer in answers] == [201, 201]
    assert all(answer.data["token"] for answer in answers)


async def test_a_test_is_sent_once(ask: Client, receiver: Receiver, key: str) -> None:
    id_ = (await ask("POST", "/api/webhooks", {**WEBHOOK, "url": receiver.url})).data["id"]
    first, again = await twice(ask, key, f"/api/webhooks/{id_}/test")
    assert first.status == again.status == 202
    assert again.data["id"] == first.data["id"]
    assert [item["id"] for item in await delivered(ask, id_)] == [first.data["id"]]


@pytest.mark.parametrize("named", ["rotate_secret", "rotate-secret"])
async def test_a_secret_is_rotated_once(
    ask: Client, database: Connection, key: str, named: str
) -> None:
    id_ = (await ask("POST", "/api/webhooks", WEBHOOK)).data["id"]
    first, again = await twice(ask, key, f"/api/webhooks/{id_}/{named}")
    assert "secret" in first.data
    assert "secret" not in again.data
    rotated = "SELECT count(*) FROM dispatcher.audit WHERE subject = $1 AND action LIKE '%rotate%'"
    assert await database.fetchval(rotated, id_) == 1


async def test_a_recovery_is_started_once(ask: Client, key: str) -> None:
    id_ = (await ask("POST", "/api/webhooks", WEBHOOK)).data["id"]
    path = f"/api/webhooks/{id_}/recover"
    first, again = await twice(ask, key, path, {"since": "2026-01-01T00:00:00Z"})
    assert (first.status, again.status) == (202, 202)
    assert again.data["id"] == first.data["id"]
    [listed] = (await ask("GET", f"/api/webhooks/{id_}/recoveries")).data["items"]
    assert listed["id"] == first.data["id"]


async def test_a_token_is_made_once_and_shown_once(
    ask: Client, database: Connection, key: str
) -> None:
    first, again = await twice(ask, key, "/api/tokens", {"name": key, "environmentId": "*"})
    assert "token" in first.data
    assert "token" not in again.data
    assert again.data["id"] == first.data["id"]
    kept = await database.fetch(
        "SELECT body FROM dispatcher.idempotent_responses WHERE key = $1", key
    )
    assert first.data["token"].encode() not in kept[0]["body"]


async def test_an_event_is_emitted_once(ask: Client, database: Connection, key: str) -> None:
    event = b'{"type":"user.created","data":{"n":1.10}}'
    first = await ask("POST", "/api/events", event, Idempotency_Key=key)
    async with untouched(database):
        again = await ask("POST", "/api/events", event, Idempotency_Key=key)
        other = await ask(
            "POST", "/api/events", event.replace(b"1.10", b"1.1"), Idempotency_Key=key
        )
    assert (first.status, again.status) == (201, 201)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.data["id"] == first.data["id"]
    assert again.data["idempotencyKey"] == key
    assert (other.status, other.code) == (409, "conflict")


@pytest.mark.parametrize("first_reference", ["ord_1", None])
@pytest.mark.parametrize("form", [JSON, JSONAPI])
async def test_an_event_with_another_reference_is_another_event(
    ask: Client, database: Connection, key: str, first_reference: str | None, form: str
) -> None:
    async def emit(reference: str | None) -> ApiResponse:
        event = {"type": "user.created", "data": {}}
        if reference is not None:
            event["reference"] = reference
        body = {"data": {"type": "event", "attributes": event}} if form == JSONAPI else event
        return await ask("POST", "/api/events", body, Idempotency_Key=key, Content_Type=form)

    first = await emit(first_reference)
    async with untouched(database):
        again = await emit(first_reference)
        others = [
            await emit(reference)
            for reference in ("ord_2", "ord_1", None)
            if reference != first_reference
        ]
    assert (first.status, again.status) == (201, 201)
    assert again.headers["Idempotent-Replayed"] == "true"
    for other in others:
        assert other.status == 409
        assert "was used for another event, evt_" in other.body.decode()


async def test_an_event_emitted_with_sql_has_its_key_here_too(
    ask: Client, database: Connection, key: str
) -> None:
    emitted = await database.fetchval(
        "SELECT dispatcher.emit('user.created', '[1]'::json, idempotency_key => $1)", key
    )
    event = b'{"type":"user.created","data":[1]}'
    again = await ask("POST", "/api/events", event, Idempotency_Key=key)
    assert again.data["id"] == emitted
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_many_emit_one_event_at_once(ask: Client, key: str) -> None:
    event = {"type": "user.created", "data": {}}
    answers = await asyncio.gather(
        *(ask("POST", "/api/events", event, Idempotency_Key=key) for _ in range(8))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.data["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 7


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/webhooks", {"url": "http://10.0.0.1/", "events": ["*"]}, 422),
        ("/api/webhooks", {}, 422),
        ("/api/webhooks", b"{", 400),
        ("/api/webhooks/00000000-0000-4000-8000-000000000000/test", {}, 404),
        ("/api/environments", {"id": "env_default", "name": "x"}, 409),
        ("/api/events", {"type": "webhook.test", "data": 1}, 422),
    ],
)
async def test_a_request_that_was_refused_does_not_use_the_key_up(
    ask: Client, key: str, path: str, body: Any, status: int
) -> None:
    for _ in range(2):
        refused = await ask("POST", path, body, Idempotency_Key=key)
        assert refused.status == status
        assert "Idempotent-Replayed" not in refused.headers
    assert (await ask("POST", "/api/webhooks", WEBHOOK, Idempotency_Key=key)).status == 201


async def test_a_token_without_the_scope_sees_nothing_of_a_stored_response(
    standing: Api, key: str
) -> None:
    writer = await standing.client("write")
    await writer("POST", "/api/webhooks", WEBHOOK, Idempotency_Key=key)
    reader = await standing.client("read")
    refused = await reader("POST", "/api/webhooks", WEBHOOK, Idempotency_Key=key)
    assert refused.status == 403
