"""Build deliveries, attempts and events, as people read them, from rows. Do no I/O."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatcher.core import ids, payload, recorded_headers
from dispatcher.core.model import RawJson, Status
from dispatcher.core.pagination import Page
from dispatcher.core.request_headers import DEFAULT_BRAND, sent_headers
from dispatcher.services.deliveries.event_outcomes import EventOutcome
from dispatcher.store.queries.events import NewEventRow
from dispatcher.store.queries.history import (
    AttemptRow,
    DeliveryItemRow,
    EventData,
    EventItemRow,
    Place,
)


@dataclass(frozen=True, slots=True)
class DeliveryItem:
    """One event on its way to one webhook.

    `payload` is the exact body. It is None in a list if it is large, and everywhere if retention
    has dropped the event; then `payload_size` is None too. The fields from `response_status` to
    `error` are those of the last attempt. For a delivery in quarantine, `error` says why.
    `next_retry_at` is set only for pending deliveries that are fanned out. `ended_at` is set for
    delivered, failed and cancelled ones.
    """

    id: str
    webhook_id: UUID
    environment_id: str
    event: str
    event_id: str
    payload: RawJson | None
    payload_size: int | None
    status: Status
    attempts: int
    response_status: int | None
    response_body: str | None
    duration_ms: int | None
    error_code: str | None
    error: str | None
    next_retry_at: datetime | None
    created_at: datetime
    delivered_at: datetime | None
    ended_at: datetime | None
    reference: str | None

    @property
    def is_quarantined(self) -> bool:
        """Return True if the delivery is in quarantine. history/items.sql marks it in `error`."""
        return self.status == "PENDING" and (self.error or "").startswith("in quarantine: ")

    @staticmethod
    def from_row(
        row: DeliveryItemRow, data: EventData | None, payload_limit: int
    ) -> "DeliveryItem":
        """Return a delivery of a list. Leave out a payload of more than `payload_limit` bytes."""
        text, size_bytes = _payload(row, data)
        is_shown = size_bytes is not None and size_bytes <= payload_limit
        ended_at = None if row["status"] == "PENDING" else row["recorded_at"]
        return DeliveryItem(
            id=ids.delivery_name(row["id"]),
            webhook_id=row["endpoint_id"],
            environment_id=row["environment_id"],
            event=row["type"],
            event_id=ids.event_name(row["event_id"]),
            payload=text if is_shown else None,
            payload_size=size_bytes,
            status=row["status"],
            attempts=row["attempts"],
            response_status=row["response_status"],
            response_body=_readable(row["response_body"]),
            duration_ms=row["duration_ms"],
            error_code=None if row["outcome"] == "ok" else row["outcome"],
            error=row["error"],
            next_retry_at=row["next_at"],
            created_at=ids.created_at(row["id"]),
            delivered_at=ended_at if row["status"] == "DELIVERED" else None,
            ended_at=ended_at,
            reference=data.reference if data is not None else None,
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request, or the end of a delivery without a request (`outcome` is `cancelled`).

    An end without a request repeats the number of the last attempt. `request_headers` leave out
    signatures and the webhook's own headers. `response_body` is an excerpt. `response_truncated` is
    None if that is unknown. `next_at` is when the next attempt was due. `lookup_ms`, `connect_ms`,
    `tls_ms` and `first_byte_ms` are the phases of `duration_ms`, each None if it did not happen;
    the last counts from when the connection is ready, so it includes writing the request.
    """

    number: int
    started_at: datetime
    duration_ms: int
    outcome: str
    status: int | None
    error: str | None
    request_headers: dict[str, str]
    response_headers: tuple[tuple[str, str], ...]
    response_body: str | None
    response_truncated: bool | None
    next_at: datetime | None
    lookup_ms: int | None
    connect_ms: int | None
    tls_ms: int | None
    first_byte_ms: int | None

    @classmethod
    def from_row(cls, row: AttemptRow) -> "Attempt":
        """Return an attempt from its row."""
        headers = recorded_headers.read(row["response_headers"] or "[]")
        return cls(
            number=row["attempt"],
            started_at=row["started_at"],
            duration_ms=row["duration_ms"],
            outcome=row["outcome"],
            status=row["status"],
            error=row["error"],
            request_headers=_sent(row),
            response_headers=headers,
            response_body=_readable(row["response_body"]),
            response_truncated=_is_truncated(headers, row["response_body"]),
            next_at=row["next_at"],
            lookup_ms=row["lookup_ms"],
            connect_ms=row["connect_ms"],
            tls_ms=row["tls_ms"],
            first_byte_ms=row["first_byte_ms"],
        )


@dataclass(frozen=True, slots=True)
class Delivery(DeliveryItem):
    """One event on its way to one webhook, with its newest 200 attempts, oldest first.

    `waits_for` is the first pending delivery of an `ordered` webhook, which must end before this
    one is sent, whatever `next_retry_at` says. It is None if nothing is in the way.
    """

    attempt_list: tuple[Attempt, ...]
    waits_for: str | None

    @classmethod
    def of(
        cls, item: DeliveryItem, attempts: Iterable[Attempt], *, waits_for: int | None
    ) -> "Delivery":
        """Return a delivery with its attempts."""
        first = None if waits_for is None else ids.delivery_name(waits_for)
        return cls(**_values(item), attempt_list=tuple(attempts), waits_for=first)


@dataclass(frozen=True, slots=True)
class EventItem:
    """One event of an environment.

    `data` is the producer's text. It is None in a list if it is large. `source` is `producer`,
    `dispatcher` for dispatcher's own events, or `directed` for events to one webhook alone.
    `outcome` is how its deliveries went. It is None in a list unless the request asks for it,
    and in the response to the request that emits the event.
    """

    id: str
    environment_id: str
    type: str
    data: RawJson | None
    data_size: int
    idempotency_key: str | None
    reference: str | None
    source: str
    created_at: datetime
    outcome: EventOutcome | None = field(default=None, kw_only=True)

    @classmethod
    def from_row(cls, row: EventItemRow) -> "EventItem":
        """Return an event of a list from its row."""
        return cls(
            id=ids.event_name(row["id"]),
            environment_id=row["environment_id"],
            type=row["type"],
            data=row["data"],
            data_size=row["size"],
            idempotency_key=row["idempotency_key"],
            reference=row["reference"],
            source=row["source"],
            created_at=ids.created_at(row["id"]),
        )


@dataclass(frozen=True, slots=True)
class Event(EventItem):
    """One event with its newest deliveries, at most 100.

    `waiting` is where the event waits while its deliveries are not made yet. `more_deliveries` is
    true if it has more deliveries than these: the listing of its deliveries has all.
    """

    waiting: Place | None
    deliveries: tuple[DeliveryItem, ...]
    more_deliveries: bool

    @classmethod
    def of(
        cls, item: EventItem, waiting: Place | None, deliveries: Page[DeliveryItem, int]
    ) -> "Event":
        """Return an event with its deliveries."""
        return cls(
            **_values(item),
            waiting=waiting,
            deliveries=deliveries.items,
            more_deliveries=deliveries.next is not None,
        )

    def count_deliveries(self) -> EventOutcome | None:
        """Return how the deliveries went, or None if there are more than this object holds.

        They count as in `event_outcomes/of_events.sql`. But an event whose attempts are too old to
        be kept gives the same result as one without deliveries.
        """
        if self.more_deliveries:
            return None
        ways = Counter(map(_way, self.deliveries))
        failed = (delivery.id for delivery in self.deliveries if delivery.status == "FAILED")
        return EventOutcome(
            place=self.waiting,
            delivered=ways["delivered"],
            failed=ways["failed"],
            cancelled=ways["cancelled"],
            retrying=ways["retrying"],
            waiting=ways["waiting"],
            failed_delivery_id=next(failed, None),
            is_partial=False,
            is_kept=True,
        )


def _way(delivery: DeliveryItem) -> str:
    if delivery.status == "PENDING":
        return "retrying" if delivery.attempts else "waiting"
    return delivery.status.lower()


def _payload(row: DeliveryItemRow, data: EventData | None) -> tuple[RawJson | None, int | None]:
    """Return the body and its size in bytes.

    Both are None if retention has dropped the event. Only the body is None if its text is not
    available.
    """
    if data is None:
        return None, None
    body = payload.build(row["event_id"], row["type"], row["environment_id"], data.text or "")
    if data.text is None:
        return None, len(body) + data.size_bytes
    return RawJson(body.decode()), len(body)


def _sent(row: AttemptRow) -> dict[str, str]:
    """Return the request headers, or none if no request was made."""
    if row["signed_at"] is None:
        return {}
    brand = row["brand"] or DEFAULT_BRAND
    return sent_headers(brand, row["type"], row["delivery_id"], row["attempt"])


def _is_truncated(headers: Sequence[tuple[str, str]], body: bytes | None) -> bool | None:
    """Return True if the response is longer than the excerpt, by its Content-Length.

    Return None if the length is unknown. It counts the bytes as received.
    """
    lengths = {value for name, value in headers if name.lower() == "content-length"}
    length = lengths.pop() if len(lengths) == 1 else ""
    if body is None or not (length.isascii() and length.isdigit() and len(length) < 19):
        return None
    return int(length) > len(body)


def _readable(body: bytes | None) -> str | None:
    """Return the body as text without NUL. Databases and terminals cannot hold a NUL."""
    return None if body is None else body.decode("utf-8", "replace").replace("\x00", "�")


def new_event(event_id: int, environment_id: str, row: NewEventRow, *, is_checked: bool) -> Event:
    """Return an event that was just emitted. If `is_checked`, it waits for the schema check."""
    return Event(
        id=ids.event_name(event_id),
        environment_id=environment_id,
        type=row.type,
        data=RawJson(row.data),
        data_size=len(row.data.encode()),
        idempotency_key=row.key,
        reference=row.reference,
        source="producer",
        created_at=ids.created_at(event_id),
        waiting="schema_check" if is_checked else "inbox",
        deliveries=(),
        more_deliveries=False,
    )


def _values(item: DeliveryItem | EventItem) -> dict[str, Any]:
    return {item_field.name: getattr(item, item_field.name) for item_field in fields(item)}
