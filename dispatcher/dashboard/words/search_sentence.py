"""Say in one sentence what happened to the first thing that a search found. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from dispatcher.core import times
from dispatcher.core.model import Status
from dispatcher.services.deliveries.event_outcomes import EventOutcome
from dispatcher.services.deliveries.history_resources import Attempt, Delivery, DeliveryItem, Event
from dispatcher.services.overview import Count, WebhookHealth
from dispatcher.services.webhooks.webhook_resource import Webhook

Remedy = Literal["retry", "enable", "retry_failed", "release"]


@dataclass(frozen=True, slots=True)
class SearchSentence:
    """A sentence, whether it is good news, and the action that mends it, None if none does.

    `delivery_id` and `webhook_id` are the delivery that the sentence is about, and its webhook.
    """

    text: str
    state: Literal["good", "bad", "waits"]
    remedy: Remedy | None = None
    delivery_id: str | None = None
    webhook_id: UUID | None = None


_RANK = {"FAILED": 0, "PENDING": 1, "CANCELLED": 2, "DELIVERED": 3}


def worst(deliveries: Sequence[DeliveryItem], outcome: EventOutcome) -> str | None:
    """Return the id of the delivery that people ask about, None if there is none.

    A failed delivery comes first, then a pending, a cancelled and a delivered one. Of equals, the
    one with the most attempts comes first. `deliveries` are the newest ones of the event: if none
    of them failed, an older one may have failed.
    """
    delivery = min(deliveries, key=lambda d: (_RANK[d.status], -d.attempts), default=None)
    if (
        delivery is not None
        and delivery.status != "FAILED"
        and outcome.failed_delivery_id is not None
    ):
        return outcome.failed_delivery_id
    return None if delivery is None else delivery.id


def of_delivery(delivery: Delivery, webhook: str, now: datetime) -> SearchSentence:
    """Return what happened to a delivery. `webhook` is the name of its webhook."""
    event, subject = delivery.event, (delivery.id, delivery.webhook_id)
    if delivery.status == "DELIVERED":
        when = moment(delivery.ended_at, now)
        tries = (
            "at the first attempt" if delivery.attempts == 1 else f"by attempt {delivery.attempts}"
        )
        text = f"{event} was delivered to {webhook} at {when}, {tries}."
        return SearchSentence(text, "good", None, *subject)
    if delivery.status == "CANCELLED":
        text = (
            f"{event} to {webhook} was cancelled at {moment(delivery.ended_at, now)}:"
            f" {delivery.error}."
        )
        return SearchSentence(text, "bad", "retry", *subject)
    if delivery.is_quarantined:
        return SearchSentence(
            f"{event} to {webhook} is {delivery.error}.", "bad", "release", *subject
        )
    if not delivery.attempts:
        return SearchSentence(f"{event} waits to be sent to {webhook}.", "waits", None, *subject)
    sent = (
        f"{event} was sent to {webhook} {_times(delivery.attempts)},"
        f" {_answers(delivery.attempt_list)}"
    )
    if delivery.status == "FAILED":
        text = f"{sent}, given up at {moment(delivery.ended_at, now)}."
        return SearchSentence(text, "bad", "retry", *subject)
    following = (
        f"the next attempt is due at {moment(delivery.next_retry_at, now)}"
        if delivery.next_retry_at is not None
        else "the next attempt starts soon"
    )
    return SearchSentence(f"{sent}; {following}.", "waits", "retry", *subject)


def of_event(
    event: Event,
    outcome: EventOutcome,
    shown: Delivery | None,
    names: Mapping[UUID, str],
    now: datetime,
) -> SearchSentence:
    """Return what happened to an event: to its worst delivery, and how many others there are."""
    if event.waiting == "quarantine":
        return SearchSentence(
            f"{event.type} is in quarantine and is not delivered.", "bad", "release"
        )
    if shown is None:
        if event.waiting is not None:
            return SearchSentence(f"{event.type} waits for its fan-out.", "waits")
        when = moment(event.created_at, now)
        text = f"{event.type} was emitted at {when}, and has no deliveries."
        return SearchSentence(text, "waits")
    answer = of_delivery(shown, names.get(shown.webhook_id, "a webhook"), now)
    others = _others(outcome, shown.status)
    if not others:
        return answer
    return replace(answer, text=f"{answer.text[:-1]}; {others}.")


def of_webhook(webhook: Webhook, health: WebhookHealth | None, now: datetime) -> SearchSentence:
    """Return how a webhook does."""
    waiting = _waiting(health)
    if not webhook.active:
        reason = {
            "gone": "its receiver answered 410 Gone",
            "failing": "it failed for too long",
        }.get(webhook.disabled_reason or "", webhook.disabled_reason or "by hand")
        return SearchSentence(f"{webhook.name} is disabled: {reason}.{waiting}", "bad", "enable")
    if webhook.failing_since is not None:
        since = moment(webhook.failing_since, now)
        return SearchSentence(
            f"{webhook.name} has failed since {since}.{waiting}", "bad", "retry_failed"
        )
    if health is None or health.success_rate_24h is None:
        return SearchSentence(
            f"{webhook.name} is active; nothing was sent in the last 24 hours.{waiting}", "good"
        )
    rate = min(health.success_rate_24h * 100, 100 if health.success_rate_24h == 1 else 99.9)
    text = (
        f"{webhook.name} is active: {rate:.3g} % of {health.attempts_24h:,} attempts in the last 24"
        f" hours succeeded.{waiting}"
    )
    return SearchSentence(text, "good")


def _waiting(health: WebhookHealth | None) -> str:
    """Return how many deliveries wait, or an empty text if none does."""
    if health is None or not health.pending.number:
        return ""
    if health.pending == Count(1):
        return " 1 delivery waits."
    return f" {health.pending.number:,}{'+' if health.pending.more else ''} deliveries wait."


def moment(at: datetime | None, now: datetime) -> str:
    """Return an exact time in UTC, without the date if it is today."""
    if at is None:
        return "an unknown time"
    return at.strftime("%H:%M:%S UTC") if at.date() == now.date() else times.exact(at)


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _answers(attempts: Sequence[Attempt]) -> str:
    """Return what the receiver answered: each time the same, or at last."""
    words = [_answer(attempt) for attempt in attempts if attempt.outcome != "cancelled"]
    if not words:
        return "without an answer on record"
    if len(words) == 1:
        return words[0]
    return f"{words[-1]} each time" if len(set(words)) == 1 else f"at last {words[-1]}"


def _answer(attempt: Attempt) -> str:
    if attempt.status is not None:
        return f"answered {attempt.status}"
    return {
        "timeout": "timed out",
        "dns": "its name was not found",
        "connect": "no connection",
        "tls": "TLS failed",
        "blocked": "its address is blocked",
        "authentication": "no access token",
    }.get(attempt.outcome, attempt.outcome)


def _others(outcome: EventOutcome, shown: Status) -> str:
    """Return how the other deliveries of an event went, as in `other webhooks: 2 delivered`.

    `shown` is the status of the delivery that the sentence is about. It is not counted. Return an
    empty text if there are no others.
    """
    counts = {
        "DELIVERED": outcome.delivered,
        "FAILED": outcome.failed,
        "PENDING": outcome.retrying + outcome.waiting,
        "CANCELLED": outcome.cancelled,
    }
    counts[shown] -= 1
    least = "at least " if outcome.is_partial else ""
    listed = ", ".join(
        f"{least}{number:,} {status.lower()}" for status, number in counts.items() if number > 0
    )
    return f"other webhooks: {listed}" if listed else ""
