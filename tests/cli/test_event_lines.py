"""The reading of events from lines, a batch at a time."""

from io import BytesIO

import pytest

from dispatcher.api.requests.event_batch import BATCH_LIMIT_BYTES, EVENTS_LIMIT
from dispatcher.cli.errors import MisuseError
from dispatcher.cli.event_lines import LINES_LIMIT_BYTES, Batch, batches, explain
from dispatcher.store.queries.events import NewEventRow

EVENT = b'{"type": "a.b", "data": 1}\n'


def read(text: bytes, most_data: int = BATCH_LIMIT_BYTES) -> list[Batch]:
    return list(batches(BytesIO(text), most_data=most_data))


def test_the_data_of_a_line_is_kept_byte_for_byte() -> None:
    text = b'{"type": "a.b", "data": {"n" : 1.10, "n2":1e400}, "idempotencyKey": "k"}'
    [batch] = read(text)
    assert batch.events == (NewEventRow("a.b", '{"n" : 1.10, "n2":1e400}', key="k"),)


def test_a_file_without_events_has_no_batch() -> None:
    assert read(b"") == read(b"\n \r\n\n") == []


def test_a_batch_has_as_many_events_as_a_request_may_have() -> None:
    parts = read(EVENT * (2 * EVENTS_LIMIT + 1))
    assert [len(batch.events) for batch in parts] == [EVENTS_LIMIT, EVENTS_LIMIT, 1]
    assert [(batch.lines[0], batch.lines[-1]) for batch in parts] == [
        (1, EVENTS_LIMIT),
        (EVENTS_LIMIT + 1, 2 * EVENTS_LIMIT),
        (2 * EVENTS_LIMIT + 1, 2 * EVENTS_LIMIT + 1),
    ]


def test_a_batch_has_few_large_events() -> None:
    large = b'{"type": "a.b", "data": "' + b"x" * (LINES_LIMIT_BYTES // 2) + b'"}\n'
    assert [len(batch.events) for batch in read(large * 3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "line 4: is not JSON: "),
        (b'{"type": "a..b", "data": 1}', "line 4, type: 'a..b' is not an event type"),
        (b'{"type": "webhook.test", "data": 1}', "line 4, type: "),
        (b'{"type": "a.b", "data": 1, "dat": 1}', "line 4, dat: "),
        (
            b'{"type": "a.b", "data": "0123456789"}',
            "line 4, data: data is 12 bytes, the limit is 9",
        ),
        (b"\xff", "line 4: is not UTF-8"),
        (b"[]", "line 4: "),
    ],
)
def test_a_wrong_event_is_named_by_its_line(line: bytes, message: str) -> None:
    with pytest.raises(MisuseError) as raised:
        read(EVENT + b"\n" + EVENT + line + b"\n" + EVENT, most_data=9)
    assert raised.value.message.startswith(message)


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    endless = BytesIO(EVENT + b" " * (3 * BATCH_LIMIT_BYTES))
    with pytest.raises(MisuseError, match="line 2 is longer than 8388608 bytes"):
        list(batches(endless, most_data=1))
    assert endless.tell() == len(EVENT) + BATCH_LIMIT_BYTES + 1


def test_a_problem_without_an_event_keeps_its_message() -> None:
    assert explain([{"message": "is unknown", "header": "X"}], [1, 2], "") == "is unknown"
    assert explain([{"message": "is wrong", "pointer": "/7/type"}], [1, 2], "") == "is wrong"
    assert explain([], [1, 2], "It was refused.") == "It was refused."
