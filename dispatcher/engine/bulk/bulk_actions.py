"""Run bulk actions step by step: each step retries or cancels some of their deliveries.

A filter selects these, or a list of ids names them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import orjson

from dispatcher.engine.batch_size import BatchSize
from dispatcher.engine.bulk import bulk_changes
from dispatcher.engine.bulk.step_loop import FAILURES_LIMIT, StepLoop
from dispatcher.store.queries import bulk_actions as stored
from dispatcher.store.queries.bulk_actions import ClaimedBulkActionRow
from dispatcher.store.queries.delivery_search import DeliverySearch
from dispatcher.store.session import Queryable, Session, without_locks
from dispatcher.telemetry import observe

DELIVERIES_LIMIT: Final = 500
"""Deliveries that one step changes, at most."""
ROWS_LIMIT: Final = 2_000
"""Rows of deliveries to be sent again that may wait in the inbox before the next step."""
FULL_SECONDS: Final = 0.5
"""Seconds until the next step if so many wait."""
RECORDING_SECONDS: Final = 0.05
"""Seconds until the next step if an attempt at the next delivery is being recorded."""
PACED_SECONDS: Final = 0.25
"""Seconds of a rate that one step may use up."""


class BulkActions:
    """The stage that runs bulk actions."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stored = stored.BulkActions(session)
        self._claimed: int | None = None
        self._loop = StepLoop(
            step=self._step, next_wait=self._stored.next, note_failure=self._note_failure
        )
        self.wake = self._loop.wake

    async def run_once(self) -> float:
        """Run one step, and return the seconds to the next. Raise what StepLoop.run_once raises."""
        return await self._loop.run_once()

    async def _step(self, size: BatchSize) -> bool:
        self._claimed = None
        async with self._session.transaction() as session:
            actions = stored.BulkActions(session)
            row = await actions.claim(ROWS_LIMIT)
            if row is None:
                return False
            self._claimed = row["id"]
            skipped = Counter(orjson.loads(row["skipped"]))
            if row["action"] == "retry" and not row["has_room"]:
                done, wait = bulk_changes.Changed(0, {}, row["position"]), FULL_SECONDS
            else:
                done = await _change(session, row, _limit(row, size))
                wait = done.number / row["rate"] if row["rate"] else 0.0
                if done.position == row["position"]:
                    wait = RECORDING_SECONDS
            await actions.advance(
                row["environment_id"],
                row["id"],
                done.position or 0,
                made=done.number,
                skipped=skipped + Counter(done.skipped),
                wait=wait,
                is_done=done.position is None,
            )
        return True

    async def _note_failure(self, description: str, error: Exception) -> None:
        if self._claimed is None:
            raise error
        state = await self._stored.note_failure(self._claimed, description, FAILURES_LIMIT)
        if state is not None:
            observe.bulk_actions.step_failed(self._claimed, state, error)


def _limit(row: ClaimedBulkActionRow, size: BatchSize) -> int:
    """Return how many deliveries the next step may change."""
    limit = size.scale(DELIVERIES_LIMIT)
    return limit if row["rate"] is None else min(limit, max(1, int(row["rate"] * PACED_SECONDS)))


async def _change(
    session: Queryable, row: ClaimedBulkActionRow, limit: int
) -> bulk_changes.Changed:
    """Retry or cancel the next deliveries of a bulk action."""
    environment_id, criteria = row["environment_id"], stored.from_json(row["criteria"])
    if row["ids"] is not None:
        ids, position = _next_named(row["ids"], row["position"], limit)
    else:
        search = DeliverySearch(without_locks(session))
        page = await search.page(environment_id, replace(criteria, high=row["position"]), limit)
        ids, position = (page.items, page.next) if page is not None else ((), None)
    if ids:
        ids, position = await bulk_changes.lock(session, ids, position)
    if not ids:
        return bulk_changes.Changed(0, {}, position)
    if row["action"] == "cancel":
        return await bulk_changes.cancel(session, environment_id, ids, position)
    return await bulk_changes.retry(session, environment_id, ids, position, status=criteria.status)


def _next_named(ids: Sequence[int], position: int, limit: int) -> tuple[Sequence[int], int | None]:
    """Return the next of the deliveries that were named, and the position after them."""
    left = [id_ for id_ in sorted(ids, reverse=True) if id_ < position]
    return left[:limit], left[limit - 1] if len(left) > limit else None
