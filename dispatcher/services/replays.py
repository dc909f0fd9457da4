"""Recoveries: deliveries of one webhook that failed or were never made, sent again.

What counts as failed: deliveries that ended FAILED, or CANCELLED because they expired; not those a
person cancelled, nor those that are pending or were delivered since. They keep their name, their
attempts go on counting, their schedule begins anew. Missed: events that match the subscriptions of
now, and of which there is no delivery to the webhook at all.
"""

from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Literal
from uuid import UUID

from dispatcher.core import ids
from dispatcher.core.errors import Conflict, Invalid, Unknown
from dispatcher.core.pagination import DEFAULT_LIMIT, Page
from dispatcher.services.audit_log import Actor, Journal
from dispatcher.services.inputs.recoveries import NewRecovery
from dispatcher.store import replays as stored
from dispatcher.store.session import Asked

PREFIX = "rec"
COUNT_MOST = 100_000
"""No more is counted: whoever asks waits for the answer."""
COUNT_SECONDS = 2.0
COUNT_LOOK = 5_000
"""Ended deliveries and events looked at by one statement."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a recovery would send again. `more`: there may be more, it was too much to count."""

    webhook_id: UUID
    since: datetime
    until: datetime
    failed: int
    missed: int
    more: bool


@dataclass(frozen=True, slots=True)
class Recovery:
    """`total` was counted at the start (None: too many to count); `made` of them are on their way or
    were sent. All up to the time `reached`, between `since` and `until`, has been looked at. `error`
    is why the last step failed: it is tried some times before the recovery is FAILED."""

    id: str
    webhook_id: UUID
    state: Literal["RUNNING", "DONE", "CANCELLED", "FAILED"]
    since: datetime
    until: datetime
    reached: datetime
    missed: bool
    rate: int | None
    total: int | None
    made: int
    error: str | None
    created_at: datetime
    finished_at: datetime | None


class Recoveries:
    """Raises StoreUnavailable and StatementTimeout besides what is said, and Unknown for a webhook
    that is not in the environment."""

    def __init__(self, session: Asked, actor: Actor) -> None:
        self._stored = stored.Recoveries(session)
        self._journal = Journal(session, actor)

    async def preview(self, environment_id: str, webhook_id: UUID, form: NewRecovery) -> Preview:
        """Counts for no more than about COUNT_SECONDS. Raises Invalid."""
        _, preview = await self._count(environment_id, webhook_id, form)
        return preview

    async def start(self, environment_id: str, webhook_id: UUID, form: NewRecovery) -> Recovery:
        """In a transaction of the caller's; daemons begin within about a second.

        Raises Invalid, and Conflict when the webhook is disabled, for what is recovered would be
        held, or when a recovery of it is running.
        """
        active, preview = await self._count(environment_id, webhook_id, form)
        if not active:
            raise Conflict(f"the webhook {webhook_id} is disabled: enable it first")
        row = await self._stored.start(
            environment_id,
            webhook_id,
            since=preview.since,
            until=preview.until,
            missed=form.missed,
            rate=form.rate,
            total=None if preview.more else preview.failed + preview.missed,
        )
        if row is None:
            raise Conflict(f"a recovery of the webhook {webhook_id} is running")
        started = _recovery(row)
        await self._journal.note(
            "webhook.recover",
            str(webhook_id),
            environment_id,
            recovery=started.id,
            since=started.since,
            until=started.until,
            missed=started.missed,
            rate=started.rate,
            total=started.total,
        )
        return started

    async def list(
        self,
        environment_id: str,
        webhook_id: UUID,
        *,
        before: int | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[Recovery]:
        """Newest first; none for a webhook that is not there."""
        rows = await self._stored.list(environment_id, webhook_id, before=before, limit=limit + 1)
        shown = rows[:limit]
        more = len(rows) > limit
        return Page(tuple(map(_recovery, shown)), shown[-1]["id"] if more else None)

    async def get(self, environment_id: str, webhook_id: UUID, recovery_id: str) -> Recovery:
        """As it is now."""
        row = await self._stored.get(environment_id, webhook_id, _number(recovery_id))
        if row is None:
            raise _unknown(recovery_id)
        return _recovery(row)

    async def cancel(self, environment_id: str, webhook_id: UUID, recovery_id: str) -> Recovery:
        """In a transaction of the caller's: after its commit nothing more is made. What was made is
        sent. Raises Conflict for one that is done; one that is cancelled stays so."""
        row = await self._stored.cancel(environment_id, webhook_id, _number(recovery_id))
        if row is None:
            over = await self.get(environment_id, webhook_id, recovery_id)
            if over.state != "CANCELLED":
                raise Conflict(f"the recovery {recovery_id} is {over.state}")
            return over
        cancelled = _recovery(row)
        await self._journal.note(
            "webhook.cancel_recovery",
            str(webhook_id),
            environment_id,
            recovery=cancelled.id,
            made=cancelled.made,
        )
        return cancelled

    async def _count(
        self, environment_id: str, webhook_id: UUID, form: NewRecovery
    ) -> tuple[bool, Preview]:
        """Whether the webhook is active, and what there is for it."""
        began, failed, missed = monotonic(), 0, 0
        until, position = form.until, None
        while True:
            found = await self._stored.count(
                environment_id,
                webhook_id,
                since=form.since,
                until=until,
                position=position,
                missed=form.missed,
                look=COUNT_LOOK,
            )
            if found is None:
                raise Unknown(f"there is no webhook {webhook_id}")
            if not found.forwards:
                raise Invalid.field("since", "must be in the past")
            failed, missed = failed + found.failed, missed + found.missed
            stuck = found.position == position
            until, position = found.until, found.position
            enough = failed + missed >= COUNT_MOST or monotonic() - began >= COUNT_SECONDS
            if found.complete or enough or stuck:
                preview = Preview(webhook_id, form.since, until, failed, missed, not found.complete)
                return found.active, preview


def _number(recovery_id: str) -> int:
    try:
        return ids.parse(PREFIX, recovery_id)
    except ValueError:
        raise _unknown(recovery_id) from None


def _unknown(recovery_id: str) -> Unknown:
    return Unknown(f"there is no recovery {recovery_id}")


def _within(row: dict[str, Any]) -> datetime:
    """Ids know milliseconds: the position may be a little off the times it lies between."""
    reached: datetime = min(max(row["reached"], row["since"]), row["until"])
    return reached


def _recovery(row: dict[str, Any]) -> Recovery:
    return Recovery(
        id=f"{PREFIX}_{row['id']}",
        webhook_id=row["endpoint_id"],
        state=row["state"],
        since=row["since"],
        until=row["until"],
        reached=row["until"] if row["state"] == "DONE" else _within(row),
        missed=row["missed"],
        rate=row["rate"],
        total=row["total"],
        made=row["made"],
        error=row["error"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )
