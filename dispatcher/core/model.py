"""The nouns of the system as frozen values: what the stages hand to one another.

Ids of events, deliveries and attempts are 63-bit integers that carry their creation time
(`ids.py`); endpoint ids are UUIDs. Times are seconds since the Unix epoch on the database's
clock unless a name says otherwise; durations are seconds. Those made for every attempt are
values as well, though not frozen: freezing would cost several microseconds an attempt.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NewType
from uuid import UUID

RawJson = NewType("RawJson", str)
"""JSON text that is handed on as it is: what a producer wrote is never parsed and written anew."""

State = Literal["DELIVERED", "FAILED", "CANCELLED"]
"""How a delivery ended. A delivery that has not ended is PENDING, and has no state yet."""

ErrorCode = Literal["timeout", "dns", "connect", "tls", "reset", "protocol", "blocked"]
"""Why there was no answer. An answer that is not 2xx has the code `http`, a 2xx `ok`; `cancelled`
marks the last row of a delivery that ended without an attempt."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again: `retries` further attempts, `base * factor**n` seconds apart.

    `jitter` is a fraction (0.2 = ±20 %); `cap` bounds one delay, before jitter.
    """

    retries: int
    base: float
    factor: float
    jitter: float
    cap: float


@dataclass(frozen=True, slots=True)
class Event:
    """A fact emitted once, with the exact bytes every attempt to deliver it sends."""

    id: int
    type: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL with its secrets and limits, as the sending side needs it.

    `secret` is the text shown to the user once; `previous_secret` still signs beside it until
    `previous_until`. `None` for a limit, the schemes or the policy means the configured default.
    """

    id: UUID
    environment_id: str
    url: str
    active: bool
    deleted: bool
    ordered: bool
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    previous_until: float | None
    headers: dict[str, str] = field(repr=False)
    schemes: tuple[str, ...] | None
    max_in_flight: int | None
    timeout: float | None
    retry: RetryPolicy | None
    paused_until: float | None
    failing: bool
    rate_limit: int | None = None
    """Requests a second; None: as fast as it goes."""

    def secrets_at(self, now: float) -> tuple[str, ...]:
        """The secrets that sign at `now`, the current one first."""
        if self.previous_secret and self.previous_until and now < self.previous_until:
            return (self.secret, self.previous_secret)
        return (self.secret,)


@dataclass(slots=True, unsafe_hash=True)
class Delivery:
    """One event owed to one endpoint, pending, held in memory by the daemon that owns its shard.

    `attempt` counts the attempts recorded so far; `base` is that count when the present retry
    schedule began (not 0 after somebody asked for a finished delivery to be sent again).
    """

    id: int
    event_id: int
    endpoint_id: UUID
    shard: int
    attempt: int
    base: int
    next_at: float


@dataclass(frozen=True, slots=True)
class Nudge:
    """Word that the row of a delivery was changed by somebody else than the owner of its shard.

    `delivery` is the row as it is now, None when it is gone.
    """

    id: int
    delivery_id: int
    endpoint_id: UUID
    shard: int
    delivery: Delivery | None


class Heartbeat(NamedTuple):
    """Another daemon's row: how often it renewed its lease, and how many seconds ago the last time
    was by the database's clock (negative if that was set back)."""

    daemon: int
    renewals: int
    age: float


class Silent(NamedTuple):
    """Another daemon that has not renewed its lease since that count, long enough to have stopped
    sending; `whole_lease`: for the whole length of a lease."""

    daemon: int
    renewals: int
    whole_lease: bool


class SetBack(NamedTuple):
    """The database's clock was set back by so many seconds. Rows of these shards written by a
    transaction older than `horizon` hold times that are too late by as much."""

    seconds: float
    shards: frozenset[int]
    horizon: str


class Timings(NamedTuple):
    """Seconds that each phase of a POST took; None for one that there was not.

    A kept connection needs no lookup, no connection and no TLS. `first_byte` is counted from the
    moment the request was written. What is left of the duration is the rest of the answer.
    """

    lookup: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None


NO_TIMINGS = Timings()


@dataclass(slots=True, unsafe_hash=True)
class Response:
    """An answer whose status line arrived in time. `body` is an excerpt, never decoded or decompressed."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    truncated: bool
    duration: float
    timings: Timings = NO_TIMINGS


@dataclass(frozen=True, slots=True)
class SendError:
    """No usable answer: a stable code, and a sentence that an endpoint's owner can act on."""

    code: ErrorCode
    reason: str
    duration: float
    timings: Timings = NO_TIMINGS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt means for its delivery and its endpoint: decided, not yet recorded.

    `state` None: try again `delay` seconds from now. `pause`: start nothing for this endpoint
    for so long. `disable`: the reason to stop sending to the endpoint altogether.
    """

    code: Literal["ok", "http", "cancelled"] | ErrorCode
    error: str | None
    state: State | None
    delay: float | None
    pause: float | None
    disable: str | None


@dataclass(slots=True, unsafe_hash=True)
class Result:
    """An attempt that was made and decided, on its way into the database.

    `request_headers` and `response_headers` are JSON texts; the first holds what varies from
    attempt to attempt, never a signature.
    """

    delivery: Delivery
    outcome: Outcome
    started_at: float
    status: int | None
    duration_ms: int
    request_headers: str
    response_headers: str | None
    response_body: bytes | None = field(repr=False)
