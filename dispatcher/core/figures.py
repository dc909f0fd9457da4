"""The figures that say how things are, as values: of the whole database, and of one daemon."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

STATES: Final = ("due", "scheduled", "held")
"""Of pending deliveries, see Waiting."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Pending deliveries. `due`: to be sent now, those under way included; `scheduled`: for later;
    `held`: the webhook is disabled or rests, or sending is paused. `more`: the states of which there
    are more than was counted. `oldest_due_seconds`: for how long the oldest has been due."""

    due: int
    scheduled: int
    held: int
    more: tuple[str, ...]
    oldest_due_seconds: float


@dataclass(frozen=True, slots=True)
class Inbox:
    """Events that were not fanned out yet, and the age of the oldest. `more`: of those that wait
    longest so many were counted, and there are more."""

    events: int
    more: bool
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Endpoints:
    """`failing` are active, and have only failed for a while."""

    active: int
    disabled: int
    failing: int


@dataclass(frozen=True, slots=True)
class LastHour:
    """Of the last 60 minutes: deliveries that arrived, and that ended without, and attempts."""

    delivered: int
    exhausted: int
    attempts: int
    failed_attempts: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """As of `at`. `environments`: how many deliveries wait, by environment and state."""

    at: datetime
    pending: Waiting
    environments: Mapping[str, Mapping[str, int]]
    inbox: Inbox
    endpoints: Endpoints
    quarantined: int
    paused_at: datetime | None
    all_paused_at: datetime | None
    paused_environments: int


@dataclass(frozen=True, slots=True)
class Vitals:
    """Of one daemon, at one moment."""

    in_flight: int
    unrecorded: int
    shards: int
    lease_valid: bool
    listening: bool
    stages_failing: int
    connections_busy: int
    connections_idle: int
