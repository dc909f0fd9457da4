"""Many events in one request: all or none, byte for byte, with their ids in order."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest

from tests.api.conftest import JSON, JSONAPI, OTHER, Api, ApiResponse, Client
from tests.api.refusals import pointers, untouched
from tests.api.test_payloads import TEXTS
from tests.conftest import Connection

NDJSON = "application/x-ndjson"
FORMS = [JSON, JSONAPI, NDJSON]
BATCH_LIMIT_BYTES = 8 * 2**20


def batch(form: str, events: list[bytes]) -> bytes:
    """The events, each `{"type":…,"data":…}`, as one body."""
    if form == NDJSON:
        return b"\r\n".join(events) + b"\n"
    if form == JSON:
        return b" [" + b" ,\n".join(events) + b"]\n"
    events = [event.replace(b"idempotencyKey", b"idempotency_key") for event in events]
    resources = (b'{"type":"event","attributes":' + event + b"}" for event in events)
    return b'{ "data" : [' + b",".join(resources) + b"] }"


def event(data: bytes = b"{}", type_: bytes = b"batch.x", more: bytes = b"") -> bytes:
    return b'{"data":' + data + b',"type":"' + type_ + b'"' + more + b"}"


async def post(ask: Client, form: str, events: list[bytes], **headers: str) -> ApiResponse:
    return await ask("POST", "/api/events", batch(form, events), Content_Type=form, **headers)


def ids_of(answer: ApiResponse) -> list[str]:
    assert answer.status == 201, answer.body
    assert answer.type in (JSON, JSONAPI)
    return [item["id"] for item in answer.json["data"]]


async def stored(database: Connection, ids: list[str]) -> list[tuple[str, str]]:
    rows = await database.fetch(
        "SELECT id, type, data::text AS data FROM dispatcher.events WHERE 'evt_' || id = ANY ($1)",
        ids,
    )
    events_by_id = {f"evt_{row['id']}": (row["type"], row["data"]) for row in rows}
    return [events_by_id[id_] for id_ in ids]


@pytest.mark.parametrize("form", FORMS)
async def test_ids_come_in_order_and_data_is_kept_as_it_was_written(
    ask: Client, database: Connection, form: str
) -> None:
    datas = list(TEXTS.values())
    if form == NDJSON:  # a line ends at a newline
        datas = [data.replace(b"\n", b"\t") for data in datas]
    types = [f"batch.t{n}" for n in range(len(datas))]
    events = [event(data, type_.encode()) for data, type_ in zip(datas, types, strict=True)]
    ids = ids_of(await post(ask, form, events))
    assert len(set(ids)) == len(events)
    assert sorted(ids, key=lambda id_: int(id_.removeprefix("evt_"))) == ids
    expected = [(t, data.decode()) for t, data in zip(types, datas, strict=True)]
    assert await stored(database, ids) == expected


@pytest.mark.parametrize("form", FORMS)
async def test_the_answer_has_the_form_that_is_asked_for(ask: Client, form: str) -> None:
    for accept in (JSON, JSONAPI):
        answer = await post(ask, form, [event()], Accept=accept)
        assert (answer.status, answer.type) == (201, accept)
        [item] = answer.json["data"]
        fields = item if accept == JSON else item["attributes"]
        assert fields["repeated"] is False
        assert item["id"].startswith("evt_")


async def test_a_batch_is_delivered(ask: Client, database: Connection) -> None:
    ids = ids_of(await post(ask, NDJSON, [event(type_=b"batch.shown")] * 3))
    listed = (await ask("GET", "/api/events?type=batch.shown")).data["items"]
    assert [item["id"] for item in listed] == ids[::-1]


async def test_empty_lines_are_left_out(ask: Client) -> None:
    body = b"\n\r\n" + event() + b"\n \n" + event()
    answer = await ask("POST", "/api/events", body, Content_Type=f"{NDJSON}; charset=utf-8")
    assert len(ids_of(answer)) == 2


BAD: dict[str, tuple[bytes, int, str, str]] = {
    # what the event at index 1 is: status, pointer in it, words of the message
    "no JSON": (b'{"type":"a","data":}', 400, "", "not JSON"),
    "NaN": (event(b"NaN"), 400, "", "NaN"),
    "a name twice": (b'{"type":"a","data":{"b":1,"b":2}}', 400, "", "twice"),
    "cut short": (b'{"type":"a","data":[1', 400, "", ""),
    "too deep": (event(b"[" * 65 + b"]" * 65), 400, "", "64 deep"),
    "far too deep": (event(b"[" * 5000 + b"]" * 5000), 400, "", "64 deep"),
    "no object": (b"17", 422, "", ""),
    "no data": (b'{"type":"a"}', 422, "/data", "required"),
    "no type": (b'{"data":1}', 422, "/type", "required"),
    "a number as type": (b'{"type":5,"data":1}', 422, "/type", ""),
    "a wrong type": (event(type_=b"a..b"), 422, "/type", ""),
    "a reserved type": (event(type_=b"endpoint.disabled"), 422, "/type", "reserved"),
    "too much data": (event(b'"' + b"x" * 2**18 + b'"'), 422, "/data", "262144"),
    "no object, in words": (b"7", 422, "", "must be an object"),
    "an unknown field": (event(more=b',"id":"evt_1"'), 422, "/id", "known"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("wrong", "status", "place", "words"), BAD.values(), ids=BAD.keys())
async def test_a_wrong_event_is_named_and_nothing_is_emitted(
    ask: Client, database: Connection, form: str, wrong: bytes, status: int, place: str, words: str
) -> None:
    async with untouched(database):
        refused = await post(ask, form, [event(), wrong, event()])
    assert refused.status == status, refused.body
    before = "/data/1" if form == JSONAPI else "/1"
    if form == JSONAPI and status == 422 and not wrong.isdigit():
        before += "/attributes"
    if form == JSONAPI and wrong.isdigit():
        place = "/attributes"
    assert pointers(refused) == [before + place]
    assert words in str(refused.json)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 422),
        (b"[ ]", 422),
        (b"[", 400),
        (b"[" + event(), 400),
        (b"[" + event() + b",]", 400),
        (b"[" + event() + event() + b"]", 400),
        (b"[" + event() + b"] x", 400),
        (b"[\xff]", 400),
    ],
)
async def test_an_invalid_array_of_events_is_refused(
    ask: Client, database: Connection, body: bytes, status: int
) -> None:
    async with untouched(database):
        assert (await ask("POST", "/api/events", body)).status == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"\n\n", 422),
        (event() + event(), 400),
        (b"\xff\n", 400),
        (b'{"type":"a",\n"data":1}', 400),
    ],
)
async def test_invalid_ndjson_is_refused(
    ask: Client, database: Connection, body: bytes, status: int
) -> None:
    async with untouched(database):
        answer = await ask("POST", "/api/events", body, Content_Type=NDJSON)
    assert answer.status == status, answer.body


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (b"{bad}", "line 5: is not JSON: Expecting property name enclosed in double quotes, at character 1"),
        (b"7", "line 5: must be an object"),
        (b'{"a":1,"a":2}', "line 5: A key stands twice in one object: 'a'"),
        (b"\xff", "line 5: is not UTF-8"),
        (b"{} {}", "line 5: has more than one value in its line, at character 2"),
    ],
)  # fmt: skip
async def test_a_wrong_event_of_ndjson_is_named_by_its_line_too(
    ask: Client, wrong: bytes, message: str
) -> None:
    body = b"\n" + event() + b"\n\r\n \n" + wrong + b"\n" + event()
    refused = await ask("POST", "/api/events", body, Content_Type=NDJSON)
    assert pointers(refused) == ["/1"]
    assert refused.json["error"]["details"][0]["message"] == message


async def test_a_key_twice_and_a_key_in_the_wrong_place_are_named(ask: Client) -> None:
    twice = await ask("POST", "/api/events", b'{"type":"a","data":{"x":1,"x":2}}')
    assert (twice.status, twice.code) == (400, "bad_json")
    assert twice.json["error"]["message"] == "A key stands twice in one object: 'x'"
    body = b'{"type":"a","data":1,"idempotencyKey":"k"}'
    misplaced = await ask("POST", "/api/events", body)
    assert (misplaced.status, pointers(misplaced)) == (422, ["/idempotencyKey"])
    assert "the header Idempotency-Key" in misplaced.json["error"]["details"][0]["message"]


@pytest.mark.parametrize("form", FORMS)
async def test_a_batch_of_a_thousand_events_is_accepted_and_a_larger_one_refused(
    ask: Client, database: Connection, form: str
) -> None:
    assert len(set(ids_of(await post(ask, form, [event()] * 1000)))) == 1000
    async with untouched(database):
        refused = await post(ask, form, [event()] * 1001)
    assert refused.status == 413
    assert "1000 events" in str(refused.json)


@pytest.mark.parametrize("form", FORMS)
async def test_a_batch_of_eight_mebibytes_is_accepted_and_a_larger_one_refused(
    ask: Client, database: Connection, form: str
) -> None:
    large = event(b'"' + b"x" * (200 * 1024) + b'"')
    number = BATCH_LIMIT_BYTES // (len(large) + 64)
    events = [large] * number
    room = BATCH_LIMIT_BYTES - len(batch(form, [*events, event(b'""')]))
    events.append(event(b'"' + b"y" * room + b'"'))
    assert len(batch(form, events)) == BATCH_LIMIT_BYTES
    assert len(ids_of(await post(ask, form, events))) == number + 1
    events[-1] = event(b'"' + b"y" * (room + 1) + b'"')
    async with untouched(database):
        assert (await post(ask, form, events)).status == 413


async def test_a_large_body_of_unknown_size_is_taken(standing: Api) -> None:
    part = event(b'"' + b"x" * 60_000 + b'"') + b"\n"

    async def parts(number: int) -> AsyncIterator[bytes]:
        for _ in range(number):
            yield part

    token = await standing.token("write", "env_default")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": NDJSON}
    async with aiohttp.ClientSession(standing.address, headers=headers) as session:
        for number, status in ((100, 201), (150, 413)):
            async with session.post("/api/events", data=parts(number)) as answer:
                assert answer.status == status


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────


def keyed(key: str, data: bytes = b"{}") -> bytes:
    return event(data, more=f',"idempotencyKey":"{key}"'.encode())


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """Of the test alone."""
    name: str = request.node.name
    return "".join(c if "!" <= c <= "~" and c not in '"\\' else "_" for c in name)


async def test_a_used_key_of_an_event_answers_the_first_events_id(ask: Client, key: str) -> None:
    [first] = ids_of(await post(ask, JSON, [keyed(key)]))
    answer = await post(ask, NDJSON, [event(), keyed(key), keyed(f"{key}2"), keyed(f"{key}2")])
    ids = ids_of(answer)
    assert ids[1] == first
    assert ids[2] == ids[3]
    assert len(set(ids)) == 3
    assert [item["repeated"] for item in answer.data] == [False, True, False, True]


async def test_a_key_of_a_batch_is_the_same_as_one_of_sql_or_of_the_header(
    ask: Client, database: Connection, key: str
) -> None:
    emitted = await database.fetchval(
        "SELECT dispatcher.emit('batch.x', '{}'::json, idempotency_key => $1)", key
    )
    assert ids_of(await post(ask, JSON, [keyed(key)])) == [emitted]
    single = await ask("POST", "/api/events", event(), Idempotency_Key=key)
    assert single.data["id"] == emitted


@pytest.mark.parametrize("wrong", ["", " ", "a b", "é", "x" * 256])
async def test_a_key_with_other_than_visible_ascii_is_refused(ask: Client, wrong: str) -> None:
    refused = await post(ask, JSON, [event(), keyed(wrong)])
    assert (refused.status, pointers(refused)) == (422, ["/1/idempotencyKey"])


async def test_many_requests_with_one_key_at_once_are_all_answered(ask: Client, key: str) -> None:
    """All events are committed by then: a look-up that has no connection must not hide that."""
    answers = await asyncio.gather(*(post(ask, JSON, [event(), keyed(key)]) for _ in range(32)))
    assert len({ids_of(answer)[1] for answer in answers}) == 1


async def test_two_batches_with_the_same_keys_emit_each_once(ask: Client, key: str) -> None:
    events = [keyed(f"{key}{n}") for n in range(50)]
    answers = await asyncio.gather(
        *(post(ask, JSON, events if n % 2 else events[::-1]) for n in range(8))
    )
    ids = [ids_of(answer) if n % 2 else ids_of(answer)[::-1] for n, answer in enumerate(answers)]
    assert all(batch_ids == ids[0] for batch_ids in ids)
    assert sum(not item["repeated"] for answer in answers for item in answer.data) == 50


@pytest.mark.parametrize("form", FORMS)
async def test_a_batch_that_is_repeated_with_its_header_happens_once(
    ask: Client, database: Connection, key: str, form: str
) -> None:
    first = await post(ask, form, [event(), keyed(f"e{key}")], Idempotency_Key=key)
    async with untouched(database):
        again = await post(ask, form, [event(), keyed(f"e{key}")], Idempotency_Key=key)
        other = await post(ask, form, [event()], Idempotency_Key=key)
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert other.status == 409


async def test_a_key_that_a_transaction_holds_fails_only_requests_with_it(
    standing: Api, ask: Client, database: Connection, key: str
) -> None:
    transaction = database.transaction()
    await transaction.start()
    try:
        await database.execute(
            "INSERT INTO dispatcher.events (type, data, idempotency_key) VALUES ('a', '1', $1)", key
        )
        held = asyncio.create_task(post(ask, JSON, [keyed(key)]))
        free = await asyncio.gather(*(post(ask, JSON, [event()]) for _ in range(8)))
        assert {answer.status for answer in free} == {201}
        refused = await held
    finally:
        await transaction.rollback()
    assert (refused.status, refused.code) == (503, "unavailable")
    assert "sent again after Retry-After, with its Idempotency-Key" in refused.body.decode()
    assert len(ids_of(await post(ask, JSON, [keyed(key)]))) == 1


# ── environments and scopes ──────────────────────────────────────────────────────────────────────


async def test_a_batch_goes_to_the_environment_that_is_named(
    ask: Client, database: Connection
) -> None:
    answer = await ask("POST", f"/apps/{OTHER}/events", [{"type": "a", "data": 1}])
    [id_] = ids_of(answer)
    query = "SELECT environment_id FROM dispatcher.events WHERE 'evt_' || id = $1"
    assert await database.fetchval(query, id_) == OTHER


@pytest.mark.parametrize("body", [event(), b"[" + event() + b"]"])
async def test_an_unknown_environment_is_a_404(
    ask: Client, database: Connection, body: bytes
) -> None:
    async with untouched(database):
        refused = await ask("POST", "/api/events", body, X_Environment_Id="env_nowhere")
    assert (refused.status, refused.code) == (404, "not_found")


async def test_a_token_with_the_scope_read_cannot_emit(standing: Api, database: Connection) -> None:
    reader = await standing.client("read", "env_default")
    async with untouched(database):
        assert (await post(reader, NDJSON, [event()])).status == 403


async def test_events_of_enforced_types_wait_for_their_check(ask: Client) -> None:
    await ask(
        "PUT", "/api/event-types/batch.checked", {"schema": {"type": "object"}, "enforce": True}
    )
    made: Any = (await ask("POST", "/api/events", event(type_=b"batch.checked"))).data
    plain: Any = (await ask("POST", "/api/events", event())).data
    await ask("DELETE", "/api/event-types/batch.checked")
    assert (made["waiting"], plain["waiting"]) == ("schema_check", "inbox")


async def test_other_routes_refuse_batches_and_ndjson(ask: Client) -> None:
    webhook = orjson.dumps([{"url": "https://example.com/", "events": ["a"]}])
    assert (await ask("POST", "/api/webhooks", webhook)).status == 422
    answer = await ask("POST", "/api/webhooks", webhook, Content_Type=NDJSON)
    assert answer.status == 415
    refused = await ask("POST", "/api/events", webhook, Content_Type="text/plain")
    assert refused.status == 415
    assert NDJSON in json.dumps(refused.json)
