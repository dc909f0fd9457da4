"""The demo's receiver believes only what is signed and unchanged; its samples can be told apart."""

import json
from itertools import islice
from time import perf_counter, time
from typing import Any

import pytest

from dispatcher.core import event_patterns, payload, signing
from dispatcher.demo.receiver import Receiver
from dispatcher.demo.samples import Sample, samples

SECRET = "6a" * 32
SAMPLE = Sample("user.created", '{"id":"usr_1", "score":1.10}')
NAMES = signing.HeaderNames("X-Acme-Signature", "X-Acme-Hex", "X-Acme-Timestamp", "X-Acme-Stripe")
EVENT_ID = 382_626_013_722_443_777
EVENT = f"evt_{EVENT_ID}"


@pytest.fixture
def receiver() -> Receiver:
    """One that awaits SAMPLE."""
    receiver = Receiver(body_hex_header=NAMES.body_hex)
    receiver.secret = SECRET
    receiver.emitted.add(SAMPLE)
    return receiver


def body_of(type_: str = SAMPLE.type, data: str = SAMPLE.data) -> bytes:
    return payload.build(EVENT_ID, type_, "env_default", data)


def headers_of(body: bytes, *, secret: str = SECRET, age: float = 0) -> dict[str, str]:
    signatures = signing.sign(
        ("body-hex", "standard"),
        NAMES,
        [secret],
        event_id=EVENT,
        timestamp=int(time() - age),
        body=body,
    )
    return {"X-Acme-Event": SAMPLE.type, "X-Acme-Attempt": "1", **signatures}


def test_an_event_of_the_demo_is_verified_and_timed(receiver: Receiver) -> None:
    arrival = receiver.check(body_of(), headers_of(body_of()), perf_counter() + 2)
    assert (arrival.fault, arrival.sample) == (None, SAMPLE)
    assert (arrival.type, arrival.event, arrival.attempt) == ("user.created", EVENT, "1")
    assert 2 <= arrival.latency < 30


def test_an_event_of_another_sender_is_verified(receiver: Receiver) -> None:
    body = body_of(data='{"id": "usr_2"}')
    arrival = receiver.check(body, headers_of(body), perf_counter())
    assert (arrival.fault, arrival.sample) == (None, None)


def test_an_event_that_the_demo_has_forgotten_counts_as_of_another_sender(
    receiver: Receiver,
) -> None:
    receiver.emitted.forget(SAMPLE)
    assert receiver.check(body_of(), headers_of(body_of()), perf_counter()).sample is None


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"secret": "7b" * 32}, "no signature matches"),
        ({"age": 400}, "at most 300 s allowed"),
    ],
)
def test_a_wrong_secret_or_an_old_timestamp_is_reported(
    receiver: Receiver, changed: dict[str, Any], fault: str
) -> None:
    headers = headers_of(body_of(), **changed)
    assert fault in str(receiver.check(body_of(), headers, perf_counter()).fault)


@pytest.mark.parametrize(
    ("missing", "fault"),
    [
        ("X-Acme-Signature", "no signature"),
        ("webhook-signature", "covers no time"),
        ("X-Acme-Event", "the headers name another event"),
    ],
)
def test_a_header_that_is_missing_is_a_fault(receiver: Receiver, missing: str, fault: str) -> None:
    headers = headers_of(body_of())
    del headers[missing]
    assert fault in str(receiver.check(body_of(), headers, perf_counter()).fault)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (json.dumps(json.loads(body_of())).encode(), "not in the documented form"),
        (body_of("user.updated"), "the headers name another event"),
        (b"[]", "not a JSON object"),
    ],
)
def test_an_invalid_body_is_reported_even_if_its_signature_is_valid(
    receiver: Receiver, body: bytes, fault: str
) -> None:
    assert fault in str(receiver.check(body, headers_of(body), perf_counter()).fault)


def test_a_byte_added_on_the_way_is_a_fault(receiver: Receiver) -> None:
    arrival = receiver.check(body_of() + b" ", headers_of(body_of()), perf_counter())
    assert "no signature matches" in str(arrival.fault)


def test_the_data_of_one_event_under_the_type_of_another_is_a_fault(receiver: Receiver) -> None:
    body = body_of("user.updated")
    headers = {**headers_of(body), "X-Acme-Event": "user.updated"}
    assert (
        receiver.check(body, headers, perf_counter()).fault == "the data belongs to another event"
    )


def test_samples_are_json_of_proper_types_and_never_the_same() -> None:
    many = list(islice(samples(), 2000))
    assert len({sample.data for sample in many}) == 2000
    assert len({sample.type for sample in many}) == 17
    for sample in many[:17]:
        assert event_patterns.parse_type(sample.type) == sample.type
        assert isinstance(json.loads(sample.data), dict)


def test_samples_of_two_demos_differ() -> None:
    assert next(samples()).data != next(samples()).data
