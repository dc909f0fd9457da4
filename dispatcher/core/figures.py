"""The figures of the whole database and of one daemon, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

BACKLOG_COUNT_LIMIT: Final = 5_000
"""Most pending deliveries of one kind that are counted. Endpoints are counted ten times as far."""
STATES: Final = ("due", "scheduled", "held")
"""The states of pending deliveries, see Waiting."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Pending deliveries, by state.

    `due`: to be sent now, including those under way; `scheduled`: to be sent later; `held`: the
    webhook is disabled or rests, or sending is paused. `more` lists the states with more
    deliveries than were counted. `oldest_due_seconds` is for how long the oldest has been due.
    """

    due: int
    scheduled: int
    held: int
    more: tuple[str, ...]
    oldest_due_seconds: float


@dataclass(frozen=True, slots=True)
class Inbox:
    """Events that are not fanned out yet, and the age of the oldest in seconds.

    `more` is true if only the oldest ones were counted, and there are more.
    """

    events: int
    more: bool
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class WebhookCounts:
    """Webhooks by state.

    `failing` ones are active, and no attempt has succeeded since one failed.
    """

    active: int
    disabled: int
    failing: int


@dataclass(frozen=True, slots=True)
class LastHour:
    """Counts of the last 60 minutes.

    `delivered` and `failed` are deliveries that succeeded and that failed for good; `attempts`
    and `failed_attempts` are attempts.
    """

    delivered: int
    failed: int
    attempts: int
    failed_attempts: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the database at the time `at`.

    `environments` is the number of pending deliveries by environment and state. `paused_at` is the
    start of the environment's own pause, `all_paused_at` that of the pause of all environments.
    """

    at: datetime
    pending: Waiting
    environments: Mapping[str, Mapping[str, int]]
    inbox: Inbox
    endpoints: WebhookCounts
    quarantined: int
    paused_at: datetime | None
    all_paused_at: datetime | None


@dataclass(frozen=True, slots=True)
class PauseTotals:
    """All pauses in force together.

    `all_since` is None if not all environments are paused. `environments` counts those paused
    themselves. `oldest` is the start of the oldest pause, None if there is none.
    """

    all_since: datetime | None
    environments: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Vitals:
    """The current state of one daemon."""

    in_flight: int
    unrecorded: int
    shards: int
    lease_valid: bool
    listening: bool
    stages_failing: int
    connections_busy: int
    connections_idle: int
