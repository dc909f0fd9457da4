"""Read and write bulk actions: retries or cancellations of many deliveries.

A filter selects these, or a list of ids names them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Literal, TypedDict
from uuid import UUID

import orjson

from dispatcher.store.queries.history import HistoryFilter
from dispatcher.store.rows import all_rows, first_row
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class BulkActionRow(TypedDict):
    """A bulk action. `criteria` and `skipped` are JSON; `rate` is in deliveries a second."""

    id: int
    environment_id: str
    action: Literal["retry", "cancel"]
    criteria: str
    ids: list[int] | None
    position: int
    rate: int | None
    state: Literal["RUNNING", "DONE", "CANCELLED", "FAILED"]
    total: int | None
    made: int
    skipped: str
    next_at: datetime
    created_at: datetime
    finished_at: datetime | None
    failures: int
    error: str | None


class ClaimedBulkActionRow(BulkActionRow):
    """A bulk action whose next step is due.

    `has_room` is false if the inbox is full, `has_notice_room` if too many change notices wait.
    """

    has_room: bool
    has_notice_room: bool


class BulkActions:
    """The table of bulk actions."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def lock(self, environment_id: str) -> None:
        """Let no other bulk action of the environment start until the transaction ends."""
        await self._session.fetch(statement("bulk_actions/lock"), environment_id)

    async def start(
        self,
        environment_id: str,
        action: str,
        criteria: HistoryFilter,
        *,
        ids: Sequence[int] | None,
        rate: int | None,
        total: int | None,
        limit: int,
    ) -> BulkActionRow | None:
        """Start a bulk action. Return None if the environment has `limit` running ones.

        Call `lock` first, in the same transaction.
        """
        rows = await self._session.fetch(
            statement("bulk_actions/start"),
            environment_id,
            action,
            to_json(criteria),
            ids,
            criteria.high,
            rate,
            total,
            limit,
        )
        return first_row(BulkActionRow, rows)

    async def get(self, environment_id: str, action_id: int) -> BulkActionRow | None:
        """Return one bulk action, or None if there is none."""
        rows = await self._session.fetch(statement("bulk_actions/get"), environment_id, action_id)
        return first_row(BulkActionRow, rows)

    async def list(
        self, environment_id: str, *, before: int | None, limit: int
    ) -> list[BulkActionRow]:
        """Return at most `limit` bulk actions with ids below `before`, newest first."""
        rows = await self._session.fetch(
            statement("bulk_actions/list"), environment_id, before, limit
        )
        return all_rows(BulkActionRow, rows)

    async def cancel(self, environment_id: str, action_id: int) -> BulkActionRow | None:
        """Cancel a running bulk action. Return its row, or None if it is not running."""
        rows = await self._session.fetch(
            statement("bulk_actions/cancel"), environment_id, action_id
        )
        return first_row(BulkActionRow, rows)

    async def claim(self, waiting: int, notices: int) -> ClaimedBulkActionRow | None:
        """Lock the bulk action that has been due longest, until the transaction ends.

        It has no room if `waiting` rows of the inbox are to be sent again, or if `notices` change
        notices wait. Return None if none is due.
        """
        rows = await self._session.fetch(statement("bulk_actions/claim"), waiting, notices)
        return first_row(ClaimedBulkActionRow, rows)

    async def advance(
        self,
        environment_id: str,
        action_id: int,
        position: int,
        *,
        made: int,
        skipped: Mapping[str, int],
        wait: float,
        is_done: bool,
    ) -> None:
        """Record a step. `skipped` are all skipped deliveries by reason, `wait` is in seconds."""
        await self._session.fetch(
            statement("bulk_actions/advance"),
            action_id,
            position,
            made,
            orjson.dumps(skipped).decode(),
            wait,
            is_done,
            environment_id,
        )

    async def next(self) -> float | None:
        """Return the seconds until a bulk action is due. Return None if none is running."""
        rows = await self._session.fetch(statement("bulk_actions/next"))
        wait: float | None = rows[0]["wait"]
        return wait

    async def bring_forward(self) -> None:
        """Make the next step of each running bulk action due now, after the clock was set back."""
        await self._session.fetch(statement("bulk_actions/bring_forward"))

    async def note_failure(
        self, environment_id: str, action_id: int, error: str, limit: int
    ) -> str | None:
        """Postpone a bulk action whose step failed. After `limit` failures in a row it has failed.

        Return its state, or None if it is not running any more.
        """
        rows = await self._session.fetch(
            statement("bulk_actions/note_failure"), action_id, error, limit, environment_id
        )
        return rows[0]["state"] if rows else None

    async def prune(self, keep: float, limit: int) -> int:
        """Delete up to `limit` bulk actions that ended `keep` seconds ago. Return how many."""
        return len(await self._session.fetch(statement("bulk_actions/prune"), keep, limit))


def to_json(criteria: HistoryFilter) -> str:
    """Return a filter as JSON, without the fields that are not set."""
    values = {name: value for name, value in asdict(criteria).items() if value is not None}
    return orjson.dumps(values, default=str).decode()


def from_json(text: str) -> HistoryFilter:
    """Return the filter of a JSON text that `to_json` made."""
    values = orjson.loads(text)
    if "endpoint_id" in values:
        values["endpoint_id"] = UUID(values["endpoint_id"])
    return HistoryFilter(**values)
