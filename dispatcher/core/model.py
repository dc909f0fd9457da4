"""The nouns of the system, as values that the stages pass to one another.

Ids of events, deliveries and attempts are 63-bit integers that carry their creation time
(`ids.py`); ids of endpoints are UUIDs. Times are seconds since the Unix epoch on the database's
clock unless a name says otherwise; durations are seconds. Most values are frozen. Those created for
every attempt are not: freezing would cost several microseconds an attempt.
"""

from dataclasses import dataclass, field
from operator import itemgetter
from typing import Literal, NamedTuple, NewType, TypedDict
from uuid import UUID

from dispatcher.core.credentials import OAuth2Client, TlsIdentity

RawJson = NewType("RawJson", str)
"""JSON text that is passed on as it is. It is never parsed and written again, because that could
change the bytes that the producer wrote.
"""

State = Literal["DELIVERED", "FAILED", "CANCELLED"]
"""How a delivery ended. A delivery that has not ended is PENDING, and has no state yet."""

Status = Literal["PENDING", "DELIVERED", "FAILED", "CANCELLED"]
"""The state of a delivery as people see it."""

Scope = Literal["read", "support", "write", "admin"]
"""What a token may do. Each scope includes those before it."""

ErrorCode = Literal[
    "timeout", "dns", "connect", "tls", "reset", "protocol", "blocked", "authentication"
]
"""Why an attempt got no response; `authentication` if there was no access token to send.

An internal error of the daemon has the code `protocol`, with a reason that says so.
A response that is not 2xx has the code `http`, a 2xx has `ok`.
`cancelled` marks the row of `attempts` with which a delivery ended without a request.
"""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to retry: up to `retries` times, `base * factor**n` seconds apart.

    `jitter` is a fraction (0.2 = ±20 %). `cap` limits one delay in seconds, before jitter.
    """

    retries: int
    base: float
    factor: float
    jitter: float
    cap: float


@dataclass(slots=True, unsafe_hash=True)
class Event:
    """A fact that was emitted once, with the exact bytes that every attempt sends."""

    id: int
    type: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL with its secrets and limits, as the sending side needs it.

    `secret` is the text that the user sees once. `previous_secret` signs beside it until
    `previous_until`. `may_send` is False while the endpoint is disabled or deleted, and while
    sending is paused for it; a rest is in `resting_until` alone. None for the schemes,
    `max_in_flight`, `timeout` or `retry` means the configured default.
    """

    id: UUID
    environment_id: str
    url: str
    may_send: bool
    ordered: bool
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    previous_until: float | None
    headers: dict[str, str] = field(repr=False)
    schemes: tuple[str, ...] | None
    max_in_flight: int | None
    timeout: float | None
    retry: RetryPolicy | None
    resting_until: float | None
    is_failing: bool = False
    """No attempt has succeeded since the last one that failed."""
    rate_limit: int | None = None
    """Requests a second; None means no limit."""
    oauth2: OAuth2Client | None = None
    """The client whose access tokens are sent. Basic credentials are in `headers`."""
    tls: TlsIdentity | None = None

    def secrets_at(self, now: float) -> tuple[str, ...]:
        """Return the secrets that sign at `now` (Unix seconds), the current one first."""
        if self.previous_secret and self.previous_until and now < self.previous_until:
            return (self.secret, self.previous_secret)
        return (self.secret,)


class DeliveryRow(TypedDict):
    """The columns of a pending delivery, as the fields of Delivery."""

    id: int
    event_id: int
    endpoint_id: UUID
    shard: int
    attempt: int
    base: int
    next_at: float


_columns = itemgetter(*DeliveryRow.__annotations__)


@dataclass(slots=True, unsafe_hash=True)
class Delivery:
    """One pending event for one endpoint, in the memory of the daemon that owns its shard.

    `attempt` counts the attempts recorded so far. `base` is that count when the current retry
    schedule began: it is not 0 after a finished delivery was sent again by hand.
    """

    id: int
    event_id: int
    endpoint_id: UUID
    shard: int
    attempt: int
    base: int
    next_at: float

    @classmethod
    def from_row(cls, row: DeliveryRow) -> "Delivery":
        """Return the delivery of its row."""
        return cls(*_columns(row))

    @property
    def attempts_of_schedule(self) -> int:
        """Return the number of attempts since the current retry schedule began."""
        return self.attempt - self.base


class ChangeNoticeRow(DeliveryRow):
    """The columns of a change notice, and of its delivery: None if the delivery was deleted."""

    notice_id: int
    delivery_id: int
    notice_endpoint_id: UUID
    notice_shard: int


@dataclass(frozen=True, slots=True)
class ChangeNotice:
    """A change notice: a delivery's row was changed, but not by the owner of its shard.

    `delivery` is the row as it is now, None if it was deleted.
    """

    id: int
    delivery_id: int
    endpoint_id: UUID
    shard: int
    delivery: Delivery | None

    @classmethod
    def from_row(cls, row: ChangeNoticeRow) -> "ChangeNotice":
        """Return the change notice of its row."""
        has_delivery = row["id"] is not None
        return cls(
            id=row["notice_id"],
            delivery_id=row["delivery_id"],
            endpoint_id=row["notice_endpoint_id"],
            shard=row["notice_shard"],
            delivery=Delivery.from_row(row) if has_delivery else None,
        )


class AppliedChanges(NamedTuple):
    """The ids of the change notices that were applied, and the deliveries to park."""

    notice_ids: list[int]
    to_park: list[Delivery]


class Heartbeat(NamedTuple):
    """The row of another daemon: how often it has renewed its lease, and when it last did.

    `age` is the seconds since the last renewal on the database's clock. It is negative if that
    clock was set back. A daemon that `is_draining` starts no more sends and gives up its shards.
    """

    daemon: int
    renewals: int
    age: float
    is_draining: bool = False


class SilentDaemon(NamedTuple):
    """Another daemon that has not renewed its lease since the count `renewals`.

    It has been silent long enough to have stopped sending. `whole_lease` is True if it has been
    silent for the whole length of a lease.
    """

    daemon: int
    renewals: int
    whole_lease: bool


class ClockSetBack(NamedTuple):
    """The database's clock was set back by `seconds`.

    In rows of these shards that a transaction older than `horizon` wrote, times are too late by as
    much.
    """

    seconds: float
    shards: frozenset[int]
    horizon: str


@dataclass(slots=True, unsafe_hash=True)
class Timings:
    """Seconds that each phase of a POST took; None for a phase that did not happen.

    A connection that is used again needs no lookup, no connect and no TLS handshake. `first_byte`
    counts from when the connection is ready, so it includes writing the request. The rest of the
    duration is the rest of the response.
    """

    lookup: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None


NO_TIMINGS = Timings()


@dataclass(slots=True, unsafe_hash=True)
class Response:
    """A response whose status line arrived in time.

    `body` is an excerpt in bytes, never decoded or decompressed. `duration` is in seconds.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    truncated: bool
    duration: float
    timings: Timings = NO_TIMINGS


@dataclass(frozen=True, slots=True)
class SendError:
    """An attempt without a usable response: a stable code, and a reason for the endpoint's owner.

    `duration` is in seconds.
    """

    code: ErrorCode
    reason: str
    duration: float
    timings: Timings = NO_TIMINGS


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision about one attempt, for its delivery and its endpoint, not recorded yet.

    If `state` is None, retry in `delay` seconds. `rest` is the seconds for which the endpoint
    asked not to be called. `disable` is the reason to stop sending to the endpoint altogether.
    """

    code: Literal["ok", "http", "cancelled"] | ErrorCode
    error: str | None
    state: State | None
    delay: float | None
    rest: float | None
    disable: str | None


class Sent(NamedTuple):
    """What has to be kept of a request to know the headers that were sent, but for the signatures.

    `brand` is in their names, `signed_at` is the signed timestamp in epoch seconds. The attempt has
    the other values: see `core/request_headers.py`.
    """

    brand: str
    signed_at: int


@dataclass(slots=True, unsafe_hash=True)
class Result:
    """An attempt with its decision, to be written to the database.

    `sent` is None if no request was made. `response_headers` is a text of
    `core/recorded_headers.py`.
    """

    delivery: Delivery
    outcome: Outcome
    started_at: float
    status: int | None
    duration_ms: int
    sent: Sent | None
    response_headers: str | None
    response_body: bytes | None = field(repr=False)
    timings: Timings = NO_TIMINGS
