"""What producers emit over HTTP is delivered, and shown, byte for byte."""

import pytest

from tests.api.conftest import JSON, JSONAPI, Client, delivered
from tests.api.refusals import pointers, untouched
from tests.conftest import Connection
from tests.receivers import Receiver

LISTED = 16 * 1024
EMITTED_LIMIT_BYTES = 256 * 1024

TEXTS = {
    "a trailing zero": b"1.10",
    "a number out of range": b"1e400",
    "a large integer": b"9007199254740993",
    "a long integer": b"1" * 400,
    "minus zero": b"-0.0",
    "an exponent": b"1E+2",
    "a NUL": b'"\\u0000"',
    "half a surrogate pair": b'"\\ud800"',
    "halves of a pair, turned round": b'"\\udc00\\ud800"',
    "escapes": rb'"\u00e9\/\b\f\n\"\\"',
    "letters": '"é€😀 \u2028"'.encode(),
    "the order of keys": b'{"b":1,"a":2,"10":3,"9":4}',
    "whitespace": b'{ "a" :\t[ 1 ,\r\n 2 ] }',
    "brackets in text": b'"}]{[,:"',
    "a name like its own": b'{"data":{"data":[{"data":1.10}]}}',
    "null": b"null",
    "false": b"false",
    "text": b'""',
    "a list": b"[]",
    "60 levels": b"[" * 60 + b"]" * 60,
}


def document(type_: str, data: bytes, dialect: str) -> bytes:
    """As a producer would write it who does not care for order."""
    fields = b'{"data": ' + data + b' ,\n"type":"' + type_.encode() + b'"}'
    if dialect == JSON:
        return fields
    return b'{"data":{"attributes" : ' + fields + b',"type":"event"}}'


@pytest.mark.parametrize("dialect", [JSON, JSONAPI])
@pytest.mark.parametrize("data", TEXTS.values(), ids=TEXTS.keys())
async def test_data_is_delivered_as_it_was_written(
    ask: Client, receiver: Receiver, dialect: str, data: bytes
) -> None:
    webhook = {"url": receiver.url, "events": ["exact.bytes"]}
    id_ = (await ask("POST", "/api/webhooks", webhook)).data["id"]
    body = document("exact.bytes", data, dialect)
    emitted = await ask("POST", "/api/events", body, Content_Type=dialect)
    assert (emitted.status, emitted.type) == (201, dialect)
    assert b'"data":' + data + b"," in emitted.body
    [request] = await receiver.wait_for(1)
    assert request.body.endswith(b',"data":' + data + b"}")
    for path in (f"/api/webhooks/{id_}/deliveries", "/api/deliveries?limit=1"):
        assert b'"payload":' + request.body + b"," in (await ask("GET", path)).body
    assert b'"data":' + data + b"," in (await ask("GET", "/api/events?limit=1")).body
    one = emitted.headers["Location"]
    assert b'"data":' + data + b"," in (await ask("GET", one, Accept=dialect)).body
    assert (await ask("DELETE", f"/api/webhooks/{id_}")).status == 204


async def test_a_large_payload_is_shown_with_its_delivery_only(
    ask: Client, receiver: Receiver
) -> None:
    webhook = {"url": receiver.url, "events": ["large.or.not"]}
    id_ = (await ask("POST", "/api/webhooks", webhook)).data["id"]
    shown = []
    for size in (LISTED - 1000, LISTED + 1):
        data = b'"' + b"x" * (size - 2) + b'"'
        body = document("large.or.not", data, JSON)
        shown.append((await ask("POST", "/api/events", body)).data)
        assert shown[-1]["data"] == data[1:-1].decode()
    items = await delivered(ask, id_, 2)
    assert [item["payload"] is None for item in items] == [True, False]
    assert items[0]["payloadSize"] > LISTED + 1
    large = (await ask("GET", f"/api/deliveries/{items[0]['id']}")).data
    assert len(large["payload"]["data"]) == LISTED - 1
    events = (await ask("GET", "/api/events?type=large.*")).data["items"]
    assert [event["data"] is None for event in events] == [True, False]
    assert [event["dataSize"] for event in events] == [LISTED + 1, LISTED - 1000]
    event = (await ask("GET", f"/api/events/{events[0]['id']}")).data
    assert len(event["data"]) == LISTED - 1
    assert event["deliveries"][0]["payload"] is None


@pytest.mark.parametrize("dialect", [JSON, JSONAPI])
@pytest.mark.parametrize(
    "type_", ["webhook.test", "endpoint.disabled", "endpoint.x", "delivery.exhausted"]
)
async def test_the_dispatchers_own_types_are_not_emitted_by_others(
    ask: Client, database: Connection, type_: str, dialect: str
) -> None:
    async with untouched(database):
        body = document(type_, b"{}", dialect)
        refused = await ask("POST", "/api/events", body, Content_Type=dialect)
    assert refused.status == 422
    assert pointers(refused) == ["/type" if dialect == JSON else "/data/attributes/type"]


@pytest.mark.parametrize("dialect", [JSON, JSONAPI])
async def test_data_over_the_limit_is_refused(
    ask: Client, database: Connection, dialect: str
) -> None:
    async with untouched(database):
        body = document("a.type", b'"' + b"x" * (EMITTED_LIMIT_BYTES - 1) + b'"', dialect)
        refused = await ask("POST", "/api/events", body, Content_Type=dialect)
    assert refused.status == 422
    assert pointers(refused) == ["/data" if dialect == JSON else "/data/attributes/data"]
    fits = document("a.type", b'"' + b"x" * (EMITTED_LIMIT_BYTES - 2) + b'"', dialect)
    assert (await ask("POST", "/api/events", fits, Content_Type=dialect)).status == 201


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"a"}',
        b'{"type":"a","data":1,"data":2}',
        b'{"type":"a","data":1,"environment_id":"env_other"}',
        b'{"type":"a","data":1,"id":"evt_1"}',
        b'{"type":"a","data":01}',
        b'{"type":"a","data":}',
    ],
)
async def test_an_event_without_type_or_data_is_refused(
    ask: Client, database: Connection, body: bytes
) -> None:
    async with untouched(database):
        assert (await ask("POST", "/api/events", body)).status in (400, 422)


async def test_a_test_event_has_the_example_of_the_catalogue(
    ask: Client, receiver: Receiver
) -> None:
    example = b'{"example":{"b":1,"a":"\\u00e9"}}'
    await ask("PUT", "/api/event-types/webhook.test", example)
    webhook = {"url": receiver.url, "events": ["a"]}
    id_ = (await ask("POST", "/api/webhooks", webhook)).data["id"]
    await ask("POST", f"/api/webhooks/{id_}/test")
    [request] = await receiver.wait_for(1)
    assert request.body.endswith(',"data":{"b":1,"a":"é"}}'.encode())
    await ask("DELETE", "/api/event-types/webhook.test")
