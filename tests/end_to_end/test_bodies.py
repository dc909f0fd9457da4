"""What a receiver reads: the producer's own bytes, signed so that others' libraries verify them."""

import hashlib
import hmac
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import standardwebhooks
import stripe

from dispatcher.core import signing
from dispatcher.services.webhooks.webhook_resource import Webhook
from tests.end_to_end.stories import Daemons, SharedStory, Story
from tests.receivers import Receiver, Request

ALL_SCHEMES = {"schemes": list(signing.SCHEMES)}

NASTY = {
    "key order": '{"z":1,"a":2,"z":3}',
    "white space": '{ "a" :\t[ 1,\n2 ] }',
    "trailing zero": '{"amount":1.10}',
    "beyond a double": '{"n":1e400}',
    "minus zero, exponent": "[-0.0,1E2,1e-7]",
    "2^53 + 1": '{"n":9007199254740993}',
    "NUL": '{"s":"a\\u0000b"}',
    "lone surrogate": '{"s":"\\ud800","t":"\\udc00\\ud800"}',
    "surrogate pair": '{"s":"\\ud83d\\ude00"}',
    "other scripts": '{"s":"grün 例え 😀 \u2028 \u202e"}',
    "quotes and markup": '{"s":"\\"\\\\ <script>&amp;\\/"}',
    "scalar": "1.0",
    "text": '"plain"',
    "null": "null",
    "deep": "[" * 300 + "]" * 300,
    "200 KB": '{"s":"' + "x" * 200_000 + '"}',
}


def verify_webhook(raw_body: bytes, signature_header: str, secret: str) -> bool:
    """As receivers' documentation prints it."""
    expected = hmac.new(secret.encode(), raw_body, hashlib.sha256).hexdigest()
    received = signature_header.replace("sha256=", "")
    return hmac.compare_digest(expected, received)


def assert_verifies(request: Request, webhook: Webhook) -> None:
    """Under every scheme, by other people's code; and under no other secret."""
    assert webhook.signing_secret is not None
    headers, secret = dict(request.headers), webhook.signing_secret
    standardwebhooks.Webhook(secret).verify(request.body, headers)
    standardwebhooks.Webhook(f"whsec_{secret}").verify(request.body, headers)
    stripe.WebhookSignature.verify_header(
        request.body, headers["X-Dispatcher-Stripe-Signature"], secret, tolerance=300
    )
    assert verify_webhook(request.body, headers["X-Dispatcher-Signature"], secret)
    timestamped = f"{headers['X-Dispatcher-Timestamp']}.".encode() + request.body
    expected = hmac.new(secret.encode(), timestamped, hashlib.sha256).hexdigest()
    assert headers["X-Dispatcher-Timestamped-Signature"] == expected
    wrong = secret[::-1]
    assert not verify_webhook(request.body, headers["X-Dispatcher-Signature"], wrong)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(wrong).verify(request.body, headers)


async def test_the_body_holds_the_producers_text_byte_for_byte(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    webhook = await shared_story.subscribe(receiver.url)
    expected = {}
    for data in NASTY.values():
        name = await shared_story.connection.fetchval("SELECT dispatcher.emit('a.b', $1)", data)
        created = await shared_story.connection.fetchval(
            "SELECT to_char(dispatcher.id_time($1) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
            int(name.removeprefix("evt_")),
        )
        head = f'{{"event":"a.b","event_id":"{name}","timestamp":"{created}"'
        expected[name] = f'{head},"environment_id":"env_default","data":{data}}}'.encode()
    requests = await receiver.wait_for(len(NASTY))
    assert {r.headers["webhook-id"]: r.body for r in requests} == expected
    for request in requests:
        assert_verifies(request, webhook)


async def test_every_attempt_sends_the_same_bytes_under_a_signature_of_its_own(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    webhook = await story.subscribe(receiver.url)
    await daemons.start(signing=ALL_SCHEMES, retry={"base": "600ms", "factor": 1})
    receiver.answers = [500, 500]
    await story.insert()
    requests = await receiver.wait_for(3)
    assert len({r.body for r in requests}) == 1
    assert len({r.headers["webhook-id"] for r in requests}) == 1
    assert len({r.headers["webhook-signature"] for r in requests}) > 1, "signed once for all"
    for request in requests:
        assert_verifies(request, webhook)
        assert -0.01 < request.at - int(request.headers["webhook-timestamp"]) < 60


async def test_each_endpoint_signs_with_its_own_secret(
    shared_story: SharedStory, receiver: Receiver, another: Receiver
) -> None:
    one, other = (
        await shared_story.subscribe(receiver.url),
        await shared_story.subscribe(another.url),
    )
    await shared_story.insert(5)
    for request in await receiver.wait_for(5):
        assert_verifies(request, one)
    for request in await another.wait_for(5):
        assert_verifies(request, other)


async def test_the_headers_are_those_of_the_contract(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    await shared_story.subscribe(receiver.url)
    await shared_story.insert(type_="role.created")
    (request,) = await receiver.wait_for(1)
    (attempt,) = await _recorded(shared_story)
    assert request.method == "POST"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"] == "Dispatcher-Webhook/1.0"
    assert request.headers["X-Dispatcher-Event"] == "role.created"
    assert request.headers["X-Dispatcher-Delivery"] == f"dlv_{attempt['delivery_id']}"
    assert request.headers["X-Dispatcher-Attempt"] == "1"
    assert request.headers["webhook-id"] == f"evt_{attempt['event_id']}"


async def test_another_brand_changes_the_names_and_nothing_else(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    webhook = await story.subscribe(receiver.url)
    await daemons.start(signing={"brand": "Paylent", "schemes": ["body-hex"]})
    await story.insert()
    (request,) = await receiver.wait_for(1)
    assert webhook.signing_secret is not None
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"] == "Paylent-Webhook/1.0"
    assert request.headers["X-Paylent-Event"] == "user.created"
    assert request.headers["X-Paylent-Signature"].startswith("sha256=")
    assert verify_webhook(
        request.body, request.headers["X-Paylent-Signature"], webhook.signing_secret
    )
    names = {name.lower() for name in request.headers}
    assert {n for n in names if n.startswith(("x-", "webhook-"))} == {
        "x-paylent-signature",
        "x-paylent-event",
        "x-paylent-delivery",
        "x-paylent-attempt",
    }


async def test_no_signature_is_kept_with_the_attempt(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    await shared_story.subscribe(receiver.url)
    await shared_story.insert()
    (request,) = await receiver.wait_for(1)
    (attempt,) = await _recorded(shared_story)
    assert (attempt["brand"], attempt["signed_at"]) == (
        None,
        int(request.headers["webhook-timestamp"]),
    )
    signed = [value for name, value in request.headers.items() if "signature" in name.lower()]
    assert len(signed) == len(ALL_SCHEMES["schemes"])
    assert [value for value in signed if value[-32:] in str(attempt)] == []


async def _recorded(story: Story) -> list[dict[str, Any]]:
    await story.ended(DELIVERED=1)
    return await story.attempts()


async def test_the_signature_has_the_machines_time_and_the_record_the_databases(
    story: Story, daemons: Daemons, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receivers compare the one with their clocks; people compare the other with their events."""
    hour = 3_600.0
    ahead = SimpleNamespace(time=lambda: time.time() + hour)
    monkeypatch.setattr("dispatcher.engine.sending.attempt.time", ahead)
    await story.subscribe(receiver.url)
    await daemons.start(signing={"schemes": ["standard"]})
    await story.insert()
    await story.ended(DELIVERED=1)
    (attempt,) = await story.attempts()
    assert abs(attempt["started_at"].timestamp() - time.time()) < 60
    assert int(receiver.requests[0].headers["webhook-timestamp"]) == pytest.approx(
        time.time() + hour, abs=60
    )
    created = await story.connection.fetchval(
        "SELECT dispatcher.id_time($1)", attempt["delivery_id"]
    )
    assert attempt["started_at"] >= created - timedelta(seconds=0.1)
