"""Deliveries, attempts and events as people read them, and how they are made of rows. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

import orjson

from dispatcher.core import ids, payload
from dispatcher.core.model import RawJson
from dispatcher.core.pagination import Page
from dispatcher.services.inputs.history import Status

Place = Literal["inbox", "unexamined", "quarantine"]
"""Where an event is before its deliveries are made."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DELIVERY_HEADER: Final = re.compile(r"X-(.+)-Delivery")


@dataclass(frozen=True, slots=True)
class DeliveryItem:
    """One event owed to one webhook.

    `payload` is the exact body; None in a listing if it is large, and when retention has dropped
    the event (then there is no `payload_size` either). From `response_status` to `error` it is the
    last attempt's. `next_retry_at` is of pending ones only; not set while one waits to be fanned
    out. `ended_at` is also that of failed and cancelled ones.
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


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request, or (`outcome` is `cancelled`) the end without one: that repeats a number.

    `request_headers` are without signatures, and without the webhook's own headers. Of the answer's
    body no more than an excerpt is kept; `response_truncated` is None where nobody can tell.
    `next_at` is when the next attempt was due.
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


@dataclass(frozen=True, slots=True)
class Delivery(DeliveryItem):
    """With every attempt, oldest first."""

    attempt_list: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class EventItem:
    """`data` is the producer's text, None in a listing if it is large. `source`: `producer`; or
    `dispatcher` for its own, and `directed` for those to one webhook."""

    id: str
    environment_id: str
    type: str
    data: RawJson | None
    data_size: int
    idempotency_key: str | None
    source: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Event(EventItem):
    """`waiting`: where it still is before its deliveries are made. Of those, the newest are here;
    `deliveries_next` None: all."""

    waiting: Place | None
    deliveries: tuple[DeliveryItem, ...]
    deliveries_next: int | None


def delivery_item(
    row: Mapping[str, Any], data: tuple[int, str | None] | None, most: int
) -> DeliveryItem:
    text, size = _payload(row, data)
    ended_at = None if row["status"] == "PENDING" else row["recorded_at"]
    return DeliveryItem(
        id=ids.delivery_name(row["id"]),
        webhook_id=row["endpoint_id"],
        environment_id=row["environment_id"],
        event=row["type"],
        event_id=ids.event_name(row["event_id"]),
        payload=text if size is not None and size <= most else None,
        payload_size=size,
        status=row["status"],
        attempts=row["attempts"],
        response_status=row["response_status"],
        response_body=_readable(row["response_body"]),
        duration_ms=row["duration_ms"],
        error_code=None if row["outcome"] == "ok" else row["outcome"],
        error=row["error"],
        next_retry_at=row["next_at"],
        created_at=_time_of(row["id"]),
        delivered_at=ended_at if row["status"] == "DELIVERED" else None,
        ended_at=ended_at,
    )


def _payload(
    row: Mapping[str, Any], data: tuple[int, str | None] | None
) -> tuple[RawJson | None, int | None]:
    """The body and its bytes; no body where there is no text of the data."""
    if data is None:
        return None, None
    size, text = data
    body = payload.build(row["event_id"], row["type"], row["environment_id"], text or "")
    if text is None:
        return None, len(body) + size
    return RawJson(body.decode()), len(body)


def attempt(row: Mapping[str, Any]) -> Attempt:
    answered = orjson.loads(row["response_headers"] or "[]")
    headers = tuple((name, value) for name, value in answered)
    return Attempt(
        number=row["attempt"],
        started_at=row["started_at"],
        duration_ms=row["duration_ms"],
        outcome=row["outcome"],
        status=row["status"],
        error=row["error"],
        request_headers=_sent(row["type"], orjson.loads(row["request_headers"])),
        response_headers=headers,
        response_body=_readable(row["response_body"]),
        response_truncated=_is_truncated(headers, row["response_body"]),
        next_at=row["next_at"],
    )


def _sent(type_: str, varied: dict[str, str]) -> dict[str, str]:
    """What went out, under the brand of that time. Nothing is kept of a request never made."""
    brand = next((found[1] for name in varied if (found := _DELIVERY_HEADER.fullmatch(name))), None)
    if brand is None:
        return {}
    return {
        "Content-Type": "application/json",
        "User-Agent": f"{brand}-Webhook/1.0",
        f"X-{brand}-Event": type_,
        **{name: value for name, value in varied.items() if name.startswith(f"X-{brand}-")},
    }


def _is_truncated(headers: Sequence[tuple[str, str]], body: bytes | None) -> bool | None:
    """By the length that was announced, which is that of the bytes as received."""
    lengths = {value for name, value in headers if name.lower() == "content-length"}
    length = lengths.pop() if len(lengths) == 1 else ""
    if body is None or not (length.isascii() and length.isdigit() and len(length) < 19):
        return None
    return int(length) > len(body)


def _readable(body: bytes | None) -> str | None:
    """As text that everything can hold: databases and terminals have no place for a NUL."""
    return None if body is None else body.decode("utf-8", "replace").replace("\x00", "�")


def event_item(row: Mapping[str, Any]) -> EventItem:
    return EventItem(
        id=ids.event_name(row["id"]),
        environment_id=row["environment_id"],
        type=row["type"],
        data=row["data"],
        data_size=row["size"],
        idempotency_key=row["idempotency_key"],
        source=row["source"],
        created_at=_time_of(row["id"]),
    )


def _time_of(id_: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ids.created_ms(id_))


def delivery(item: DeliveryItem, attempts: Sequence[Mapping[str, Any]]) -> Delivery:
    return Delivery(**_values(item), attempt_list=tuple(attempt(row) for row in attempts))


def event(item: EventItem, waiting: Place | None, deliveries: Page[DeliveryItem]) -> Event:
    return Event(
        **_values(item),
        waiting=waiting,
        deliveries=deliveries.items,
        deliveries_next=deliveries.next,
    )


def _values(item: DeliveryItem | EventItem) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in fields(item)}
