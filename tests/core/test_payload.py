import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core import ids, payload


def id_at(moment: str, sequence: int = 0) -> int:
    milliseconds = round(datetime.fromisoformat(moment).timestamp() * 1000)
    return (milliseconds - ids.EPOCH_MS) << ids.TIME_SHIFT | sequence


def test_the_body_is_exactly_the_contract() -> None:
    event_id = id_at("2026-02-26T12:00:00+00:00", sequence=7)
    assert payload.build(event_id, "user.created", "env_default", '{"id":"usr_1"}') == (
        b'{"event":"user.created","event_id":"evt_%d","timestamp":"2026-02-26T12:00:00.000Z",'
        b'"environment_id":"env_default","data":{"id":"usr_1"}}' % event_id
    )


@pytest.mark.parametrize(
    "text",
    [
        "1.10",
        "1e400",
        "-0.0",
        "1E2",
        "9007199254740993",
        '"\\u0000"',
        '"\\ud800"',
        '{"b":1,"a":2,"b":3}',
        ' { "spaced" :\n\t[ 1 , 2 ] } ',
        '"grüße 漢字 \U0001f600"',
        '"<script>\u2028\\/"',
        "null",
        "[]",
        "[" * 6000 + "]" * 6000,
        '"' + "x" * 200_000 + '"',
    ],
    ids=lambda text: text[:20],
)
def test_the_producers_text_is_carried_byte_for_byte(text: str) -> None:
    body = payload.build(id_at("2026-02-26T12:00:00+00:00"), "a", "env_default", text)
    head, _, rest = body.partition(b'"data":')
    assert rest == text.encode() + b"}"
    assert json.loads(head + b'"data":0}')["event"] == "a"


@pytest.mark.parametrize(
    ("moment", "timestamp"),
    [
        ("2024-01-01T00:00:00+00:00", "2024-01-01T00:00:00.000Z"),
        ("2024-02-29T23:59:59.999+00:00", "2024-02-29T23:59:59.999Z"),
        ("2026-12-31T23:59:59.007+00:00", "2026-12-31T23:59:59.007Z"),
        ("2026-02-26T12:00:00.050+02:00", "2026-02-26T10:00:00.050Z"),
        ("2093-09-06T15:47:35.551+00:00", "2093-09-06T15:47:35.551Z"),
    ],
)
def test_the_timestamp_is_the_ids_time_to_the_millisecond_in_utc(
    moment: str, timestamp: str
) -> None:
    body = payload.build(id_at(moment, sequence=2**22 - 1), "a", "env_default", "1")
    assert json.loads(body)["timestamp"] == timestamp


@given(st.integers(min_value=0, max_value=ids.LARGEST_ID))
def test_every_id_gives_a_timestamp_that_reads_back_as_its_time(event_id: int) -> None:
    written = json.loads(payload.build(event_id, "a", "env_default", "1"))["timestamp"]
    read = datetime.strptime(written, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert round(read.timestamp() * 1000) == ids.created_ms(event_id)


def test_no_environment_name_can_break_out_of_its_string() -> None:
    body = payload.build(1, "a", 'env_","data":"forged', '"real"')
    assert json.loads(body)["environment_id"] == 'env_","data":"forged'
    assert json.loads(body)["data"] == "real"


def test_the_same_event_gives_the_same_bytes() -> None:
    event = (id_at("2026-02-26T12:00:00+00:00"), "a.b", "env_x", '{"n":1.0}')
    assert payload.build(*event) == payload.build(*event)
