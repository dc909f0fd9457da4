"""The sentences that answer a search, by table."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dispatcher.dashboard.words import search_sentence
from dispatcher.services.deliveries.event_outcomes import EventOutcome
from dispatcher.services.deliveries.history_resources import Attempt, Delivery, Event
from dispatcher.services.overview import Count, WebhookHealth
from dispatcher.services.webhooks.webhook_resource import Webhook

NOW = datetime(2026, 11, 29, 17, 0, tzinfo=UTC)
AT = datetime(2026, 11, 29, 16, 31, 40, tzinfo=UTC)
YESTERDAY = AT - timedelta(days=1)
WEBHOOK = UUID(int=1)


def _made(kind: type[Any], **values: Any) -> Any:
    return kind(**{field.name: values.get(field.name) for field in fields(kind)})


def attempt(outcome: str, status: int | None = None) -> Attempt:
    made: Attempt = _made(Attempt, outcome=outcome, status=status)
    return made


def delivery(status: str, attempts: tuple[Attempt, ...] = (), **values: Any) -> Delivery:
    made: Delivery = _made(
        Delivery,
        **{
            "id": "dlv_1",
            "event": "order.created",
            "webhook_id": WEBHOOK,
            "status": status,
            "attempts": len(attempts),
            "attempt_list": attempts,
            "ended_at": AT,
            **values,
        },
    )
    return made


FIVES = (attempt("http", 500),) * 7
DELIVERIES = [
    (
        delivery("FAILED", FIVES),
        "order.created was sent to Initech 7 times, answered 500 each time, given up at 16:31:40 UTC.",
        "retry",
    ),
    (
        delivery("FAILED", (attempt("timeout"), attempt("http", 503)), ended_at=YESTERDAY),
        "order.created was sent to Initech twice, at last answered 503, given up at 2026-11-28 16:31:40 UTC.",
        "retry",
    ),
    (
        delivery("FAILED", (attempt("dns"),)),
        "order.created was sent to Initech once, its name was not found, given up at 16:31:40 UTC.",
        "retry",
    ),
    (
        delivery("DELIVERED", (attempt("ok", 200),)),
        "order.created was delivered to Initech at 16:31:40 UTC, at the first attempt.",
        None,
    ),
    (
        delivery("PENDING", (attempt("tls"),), next_retry_at=AT),
        "order.created was sent to Initech once, TLS failed; the next attempt is due at 16:31:40 UTC.",
        "retry",
    ),
    (
        delivery("PENDING", (attempt("http", 500),), error="in quarantine: no room"),
        "order.created to Initech is in quarantine: no room.",
        "release",
    ),
    (delivery("PENDING"), "order.created waits to be sent to Initech.", None),
    (
        delivery("CANCELLED", error="cancelled by hand"),
        "order.created to Initech was cancelled at 16:31:40 UTC: cancelled by hand.",
        "retry",
    ),
]


@pytest.mark.parametrize(("of", "text", "remedy"), DELIVERIES)
def test_a_delivery_is_answered_by_its_state_and_last_response(
    of: Delivery, text: str, remedy: str | None
) -> None:
    answer = search_sentence.of_delivery(of, "Initech", NOW)
    assert (answer.text, answer.remedy) == (text, remedy)
    assert (answer.delivery_id, answer.webhook_id) == ("dlv_1", WEBHOOK)


def event(*deliveries: Delivery, waiting: str | None = None) -> Event:
    made: Event = _made(
        Event, type="order.created", created_at=AT, waiting=waiting, deliveries=deliveries
    )
    return made


def outcome(**values: Any) -> EventOutcome:
    counts = dict.fromkeys(("delivered", "failed", "cancelled", "retrying", "waiting"), 0)
    made: EventOutcome = _made(EventOutcome, **{**counts, "is_partial": False, **values})
    return made


def test_an_event_is_answered_by_its_worst_delivery_and_the_number_of_others() -> None:
    well, badly = delivery("DELIVERED", id="dlv_2"), delivery("FAILED", FIVES)
    of = event(well, badly, delivery("PENDING", id="dlv_3"))
    went = outcome(delivered=1, failed=1, waiting=1, failed_delivery_id="dlv_9")
    assert search_sentence.worst(of.deliveries, went) == "dlv_1"
    answer = search_sentence.of_event(of, went, badly, {WEBHOOK: "Initech"}, NOW)
    assert answer.text.endswith("given up at 16:31:40 UTC; other webhooks: 1 delivered, 1 pending.")
    assert (answer.state, answer.delivery_id) == ("bad", "dlv_1")


def test_a_failed_delivery_is_found_below_the_newest_ones() -> None:
    of = event(delivery("DELIVERED", id="dlv_2"))
    assert search_sentence.worst(of.deliveries, outcome(delivered=149)) == "dlv_2"
    went = outcome(delivered=149, failed=1, failed_delivery_id="dlv_1")
    assert search_sentence.worst(of.deliveries, went) == "dlv_1"
    answer = search_sentence.of_event(of, went, delivery("FAILED", FIVES), {}, NOW)
    assert answer.text.endswith("; other webhooks: 149 delivered.")


def test_the_number_of_others_says_if_not_all_were_counted() -> None:
    of = event(delivery("DELIVERED", (attempt("ok", 200),)))
    went = outcome(delivered=100_000, retrying=2, is_partial=True)
    answer = search_sentence.of_event(of, went, delivery("DELIVERED"), {}, NOW)
    assert answer.text.endswith("other webhooks: at least 99,999 delivered, at least 2 pending.")


@pytest.mark.parametrize(
    ("waiting", "text", "remedy"),
    [
        ("quarantine", "order.created is in quarantine and is not delivered.", "release"),
        ("inbox", "order.created waits for its fan-out.", None),
        (
            None,
            "order.created was emitted at 16:31:40 UTC, and has no deliveries.",
            None,
        ),
    ],
)
def test_an_event_without_deliveries_is_answered_by_the_reason(
    waiting: str | None, text: str, remedy: str | None
) -> None:
    answer = search_sentence.of_event(event(waiting=waiting), outcome(), None, {}, NOW)
    assert (answer.text, answer.remedy) == (text, remedy)


def webhook(**values: Any) -> Webhook:
    made: Webhook = _made(Webhook, **{"name": "Initech", "active": True, **values})
    return made


HEALTH = WebhookHealth(1234, 0.998, 10.0, 20.0, Count(37), ())
WEBHOOKS = [
    (webhook(), None, "Initech is active; nothing was sent in the last 24 hours.", None),
    (
        webhook(),
        HEALTH,
        "Initech is active: 99.8 % of 1,234 attempts in the last 24 hours succeeded. 37 deliveries wait.",
        None,
    ),
    (
        webhook(failing_since=AT),
        replace(HEALTH, pending=Count(1)),
        "Initech has failed since 16:31:40 UTC. 1 delivery waits.",
        "retry_failed",
    ),
    (
        webhook(failing_since=AT),
        HEALTH,
        "Initech has failed since 16:31:40 UTC. 37 deliveries wait.",
        "retry_failed",
    ),
    (
        webhook(active=False, disabled_reason="gone"),
        None,
        "Initech is disabled: its receiver answered 410 Gone.",
        "enable",
    ),
]


@pytest.mark.parametrize(("of", "health", "text", "remedy"), WEBHOOKS)
def test_a_webhook_is_answered_by_its_state_and_success(
    of: Webhook, health: WebhookHealth | None, text: str, remedy: str | None
) -> None:
    answer = search_sentence.of_webhook(of, health, NOW)
    assert (answer.text, answer.remedy) == (text, remedy)
