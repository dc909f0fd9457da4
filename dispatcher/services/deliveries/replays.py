"""Replay deliveries of one webhook that failed or were never made. The API says "recovery".

A delivery counts as failed if it ended FAILED, or CANCELLED because it expired. It does not count
if a person cancelled it, if it is pending, or if it was delivered since. A failed delivery keeps
its name, goes on counting its attempts, and starts a new schedule. An event counts as missed if it
matches the current subscriptions and has no delivery to the webhook at all.
"""

from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Literal
from uuid import UUID

from dispatcher.core import ids
from dispatcher.core.errors import ConflictError, InvalidError
from dispatcher.core.pagination import DEFAULT_LIMIT, Page
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.services.deliveries.preview_limits import COUNT_LIMIT, COUNT_SECONDS
from dispatcher.services.inputs.replay_inputs import NewRecovery
from dispatcher.services.public_ids import no_recovery, no_webhook, recovery_number
from dispatcher.store.queries import replays as stored
from dispatcher.store.session import Queryable, without_locks

COUNT_LIMIT_ROWS = 5_000
"""Most ended deliveries and events that one statement reads."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The count of what a recovery would send. `more` is true if counting stopped early."""

    webhook_id: UUID
    since: datetime
    until: datetime
    failed: int
    missed: int
    more: bool


@dataclass(frozen=True, slots=True)
class Recovery:
    """One recovery of a webhook.

    `total` was counted at the start, or is None if counting stopped early. `made` counts what was
    queued so far. Everything up to the time `reached`, between `since` and `until`, is
    done. `error` is why the last step failed. A step is tried several times before the recovery is
    FAILED.
    """

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

    @classmethod
    def from_row(cls, row: stored.ReplayRow) -> "Recovery":
        """Return the recovery of its row."""
        return cls(
            id=f"{ids.RECOVERY_PREFIX}_{row['id']}",
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


class Replays:
    """The replays of webhooks.

    Each method also raises StoreError and StatementTimeoutError. All methods but `list` raise
    NotFoundError for a webhook that is not in the environment.
    """

    def __init__(self, session: Queryable, actor: Actor) -> None:
        self._stored = stored.Replays(session)
        self._reads = stored.Replays(without_locks(session))
        self._journal = Journal(session, actor)

    async def preview(self, environment_id: str, webhook_id: UUID, form: NewRecovery) -> Preview:
        """Count what a replay would send, for about COUNT_SECONDS at most. Raise InvalidError."""
        _, preview = await self._count(environment_id, webhook_id, form)
        return preview

    async def start(self, environment_id: str, webhook_id: UUID, form: NewRecovery) -> Recovery:
        """Start a replay. Call this in a transaction. Daemons begin within about a second.

        Raise InvalidError. Raise ConflictError if the webhook is disabled, because its deliveries
        would wait, or if a replay of it is running.
        """
        active, preview = await self._count(environment_id, webhook_id, form)
        if not active:
            raise ConflictError(f"The webhook {webhook_id} is disabled. Enable it first.")
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
            raise ConflictError(
                f"A recovery of the webhook {webhook_id} is running. Wait until it ends, or"
                " cancel it."
            )
        started = Recovery.from_row(row)
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
    ) -> Page[Recovery, int]:
        """Return the replays of a webhook, newest first, or none for an unknown webhook."""
        rows = await self._stored.list(environment_id, webhook_id, before=before, limit=limit + 1)
        return Page.of(rows, limit, make=Recovery.from_row, key=lambda row: row["id"])

    async def get(self, environment_id: str, webhook_id: UUID, recovery_id: str) -> Recovery:
        """Return one replay. Raise NotFoundError if there is none."""
        row = await self._stored.get(environment_id, webhook_id, recovery_number(recovery_id))
        if row is None:
            raise no_recovery(recovery_id)
        return Recovery.from_row(row)

    async def cancel(self, environment_id: str, webhook_id: UUID, recovery_id: str) -> Recovery:
        """Cancel a replay. Call this in a transaction. It makes no deliveries after the commit.

        Deliveries that were made are sent. Raise ConflictError if the replay has ended. Return a
        cancelled one unchanged.
        """
        row = await self._stored.cancel(environment_id, webhook_id, recovery_number(recovery_id))
        if row is None:
            over = await self.get(environment_id, webhook_id, recovery_id)
            if over.state != "CANCELLED":
                raise ConflictError(
                    f"The recovery {recovery_id} is {over.state}. Only a running one can be"
                    " cancelled."
                )
            return over
        cancelled = Recovery.from_row(row)
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
        """Return True if the webhook is active, and the count of what a replay would send.

        Count in steps, until all is counted, or there are COUNT_LIMIT, or COUNT_SECONDS are over.
        """
        deadline = monotonic() + COUNT_SECONDS
        failed = missed = 0
        until, position = form.until, None
        while True:
            step = await self._count_step(environment_id, webhook_id, form, until, position)
            failed += step.failed
            missed += step.missed
            is_over = step.complete or failed + missed >= COUNT_LIMIT or monotonic() >= deadline
            # Otherwise a step that does not advance would be repeated.
            if is_over or step.position == position:
                more = not step.complete
                return step.active, Preview(
                    webhook_id, form.since, step.until, failed, missed, more
                )
            until, position = step.until, step.position

    async def _count_step(
        self,
        environment_id: str,
        webhook_id: UUID,
        form: NewRecovery,
        until: datetime | None,
        position: int | None,
    ) -> stored.Counted:
        """Count what a replay would send above `position`, reading at most COUNT_LIMIT_ROWS rows.

        Raise NotFoundError for an unknown webhook, and InvalidError if the time span is empty.
        """
        counted = await self._reads.count(
            environment_id,
            webhook_id,
            since=form.since,
            until=until,
            position=position,
            missed=form.missed,
            look=COUNT_LIMIT_ROWS,
        )
        if counted is None:
            raise no_webhook(webhook_id)
        if not counted.forwards:
            raise InvalidError.field("since", "must be in the past")
        return counted


def _within(row: stored.ReplayRow) -> datetime:
    """Return the time reached, limited to the replay's time span.

    Ids have millisecond precision, so the position may lie a little outside.
    """
    reached: datetime = min(max(row["reached"], row["since"]), row["until"])
    return reached
