"""Answers with data that Python cannot hold."""

import json
from typing import Any

import pytest

from dispatcher.client import documents
from dispatcher.client.documents import LEVELS_LIMIT, read
from dispatcher.client.resources import Response, page


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def listed(*payloads: str) -> bytes:
    items = ",".join(f'{{"id":"dlv_{n}","payload":{text}}}' for n, text in enumerate(payloads))
    return f'{{"success":true,"data":{{"items":[{items}],"nextCursor":null}}}}'.encode()


def payloads(body: bytes) -> list[Any]:
    return [event.payload for event in page(Response(200, {}, body).data())]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9" * 4400, "9" * 4400),
        ("-" + "9" * 4400, "-" + "9" * 4400),
        ("9" * 4000, int("9" * 4000)),
        ("1e400", "1e400"),
        ("1.5e3", 1500.0),
        (f'{{"n":{"9" * 4400}}}', {"n": "9" * 4400}),
        (nested(1200), nested(1200)),
        ('{"a":' * 1200 + "1" + "}" * 1200, '{"a":' * 1200 + "1" + "}" * 1200),
        (f'{{"data":{nested(1200)}}}', f'{{"data":{nested(1200)}}}'),
        (nested(LEVELS_LIMIT), json.loads(nested(LEVELS_LIMIT))),
        (nested(100_000), nested(100_000)),
        ('"' + "[" * 1200 + '\\""', "[" * 1200 + '"'),
        (r'"\ud800"', "\ud800"),
        ("null", None),
    ],
)
def test_data_that_cannot_be_parsed_is_returned_as_its_text_and_hides_no_other(
    text: str, value: object
) -> None:
    assert payloads(listed("1", text, '{"ok":[1]}')) == [1, value, {"ok": [1]}]


def test_producers_json_stays_text_at_every_level_of_an_answer() -> None:
    deep = nested(500)
    event = f'{{"data":{deep},"deliveries":[{{"payload":{deep},"id":"dlv_1"}}]}}'
    document = Response(200, {}, f'{{"success":true,"data":{event}}}'.encode()).data()
    assert document == {"data": deep, "deliveries": [{"payload": deep, "id": "dlv_1"}]}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b"]" * 10, b'{"a":1}x', b"[" * 200 + b"]" * 300]
)
def test_text_that_is_not_json_raises_an_error(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        read(body)


def test_what_was_read_can_be_written_as_json_again() -> None:
    body = listed(nested(LEVELS_LIMIT - 1), nested(LEVELS_LIMIT), nested(LEVELS_LIMIT + 1), "1e999")
    assert json.loads(json.dumps(documents.read(body)))
