"""Judge in one line whether all is well, and list what is not: since when, why, what waits."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from dispatcher.core import durations, times
from dispatcher.core.figures import Backlog
from dispatcher.core.heartbeats import LEASE_SECONDS
from dispatcher.services.backlog import Backlogs
from dispatcher.store.queries.daemons import Daemons
from dispatcher.store.queries.endpoints import Endpoints, UnwellEndpointRow
from dispatcher.store.session import Queryable

LISTED_LIMIT: Final = 10
"""Webhooks that are listed, at most."""
BEHIND_SECONDS: Final = 10.0
"""A due delivery that waits for longer means that sending is behind."""
PENDING_COUNTED_LIMIT: Final = 1_000
NO_DAEMON = "No daemon is running, so nothing is sent. Start one with dispatcher run."


@dataclass(frozen=True, slots=True)
class UnwellWebhook:
    """A webhook that only fails, or that was disabled because it did.

    `since` is when it began to fail, or None if the webhook is disabled. `code` is the last status
    or error code, and empty if the webhook is disabled. `why` is the last answer or error, or why
    the webhook was disabled. `waiting` counts pending deliveries; `more` is true if there are more.
    """

    id: UUID
    environment_id: str
    name: str
    active: bool
    since: datetime | None
    code: str
    why: str
    waiting: int
    more: bool

    @classmethod
    def from_row(cls, row: UnwellEndpointRow) -> "UnwellWebhook":
        """Return the webhook of its row."""
        reason = {"gone": "answered 410 Gone", "failing": "failed for too long"}
        disabled = reason.get(row["disabled_reason"] or "", row["disabled_reason"] or "")
        code = str(row["status"] or row["outcome"] or "")
        return cls(
            id=row["id"],
            environment_id=row["environment_id"],
            name=row["name"],
            active=row["active"],
            since=row["failing_since"] if row["active"] else None,
            code=code if row["active"] else "",
            why=(row["error"] or code or "no attempt on record") if row["active"] else disabled,
            waiting=min(row["pending"], PENDING_COUNTED_LIMIT),
            more=row["pending"] > PENDING_COUNTED_LIMIT,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all is well. `problems` are sentences, the most urgent first.

    `unwell` are the webhooks that fail, at most LISTED_LIMIT; `unwell_number` is how many there
    are.
    """

    backlog: Backlog
    problems: tuple[str, ...]
    unwell: tuple[UnwellWebhook, ...]
    unwell_number: int

    @property
    def is_well(self) -> bool:
        """Return True if there is no problem."""
        return not self.problems


async def has_daemon(daemons: Daemons) -> bool:
    """Return True if a daemon of the database has given a sign of life within its lease."""
    return any(row["silence"] < LEASE_SECONDS for row in await daemons.list())


class Verdicts:
    """Judgements of the current state. The methods raise StoreError and StatementTimeoutError."""

    def __init__(self, session: Queryable) -> None:
        self._backlogs = Backlogs(session)
        self._endpoints = Endpoints(session)
        self._daemons = Daemons(session)

    async def read(self, environment_id: str | None) -> Verdict:
        """Return the verdict on one environment, or on all for None."""
        backlog = await self._backlogs.read(environment_id)
        rows = await self._endpoints.unwell(environment_id, LISTED_LIMIT)
        number = rows[0]["number"] if rows else 0
        is_running = await has_daemon(self._daemons)
        return Verdict(
            backlog,
            problems(backlog, number, is_running=is_running),
            tuple(map(UnwellWebhook.from_row, rows)),
            number,
        )


def problems(backlog: Backlog, unwell: int, *, is_running: bool) -> tuple[str, ...]:
    """Return what is not well, the most urgent first. `unwell` is the number of such webhooks."""
    pending, paused = backlog.pending, backlog.all_paused_at or backlog.paused_at
    waiting = pending.due + pending.scheduled + pending.held + backlog.inbox.events
    at_least = "more than " if pending.more or backlog.inbox.more else ""
    sentences = []
    if not is_running:
        sentences.append(NO_DAEMON)
    if paused is not None:
        sentences.append(
            f"Sending has been paused since {times.exact(paused)}, and {at_least}{waiting:,} wait."
        )
    if is_running and pending.oldest_due_seconds > BEHIND_SECONDS:
        lag = durations.rounded(pending.oldest_due_seconds)
        more = "more than " if "due" in pending.more else ""
        due = "1 delivery is" if pending.due == 1 else f"{more}{pending.due:,} deliveries are"
        sentences.append(f"Sending is behind by {lag}: {due} due and not sent.")
    if is_running and backlog.inbox.oldest_seconds > BEHIND_SECONDS:
        lag = durations.rounded(backlog.inbox.oldest_seconds)
        sentences.append(f"Events have waited {lag} for fan-out.")
    if unwell:
        sentences.append("1 webhook fails." if unwell == 1 else f"{unwell:,} webhooks fail.")
    if backlog.quarantined:
        one = backlog.quarantined == 1
        entries = "1 entry is" if one else f"{backlog.quarantined:,} entries are"
        sentences.append(f"{entries} in quarantine.")
    return tuple(sentences)
