"""Run bulk actions step by step: each step retries or cancels some deliveries that a filter selects."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import orjson

from dispatcher.store import bulk_actions as stored
from dispatcher.store.bulk_actions import ClaimedBulkActionRow
from dispatcher.store.data_errors import describe, is_data_error
from dispatcher.store.delivery_actions import (
    ATTEMPTS_MOST,
    BY_HAND,
    ChangedDeliveries,
    DeliveryActions,
)
from dispatcher.store.delivery_search import DeliverySearch
from dispatcher.store.errors import StatementTimeoutError
from dispatcher.store.session import Queryable, Session
from dispatcher.telemetry import observe

DELIVERIES_LIMIT: Final = 500
"""Deliveries that one step changes, at most."""
DELIVERIES_MINIMUM: Final = 20
"""The same after timeouts: each timeout divides the number by four, down to this."""
ROWS_LIMIT: Final = 2_000
"""Rows of deliveries to be sent again that may wait in the inbox before the next step."""
FULL_SECONDS: Final = 0.5
"""Seconds until the next step if so many wait."""
PACED_SECONDS: Final = 0.25
"""Seconds of a rate that one step may use up."""
IDLE_SECONDS: Final = 1.0
"""Seconds until a bulk action that was started elsewhere is noticed."""
WAIT_MINIMUM_SECONDS: Final = 0.05
"""Shortest wait while another daemon works on the bulk action."""
FAILURES_LIMIT: Final = 8
"""Failed steps in a row until a bulk action fails, about two minutes after the first."""


class BulkActions:
    """The stage that runs bulk actions."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._limit = DELIVERIES_LIMIT

    async def run_once(self) -> float:
        """Run one step, and return the seconds to the next.

        Raises StoreUnavailableError or StatementTimeoutError. After a timeout, the next step is smaller.
        """
        try:
            async with self._session.transaction() as opened:
                is_due = await self._step(opened)
        except StatementTimeoutError as error:
            if self._limit > DELIVERIES_MINIMUM:
                self._limit = max(DELIVERIES_MINIMUM, self._limit // 4)
                raise
            return await self._note_failure(error)
        except Exception as error:
            if not is_data_error(error):
                raise
            return await self._note_failure(error)
        self._limit = min(DELIVERIES_LIMIT, self._limit * 2)
        if is_due:
            return 0.0
        wait = await stored.BulkActions(self._session).next()
        return IDLE_SECONDS if wait is None else max(WAIT_MINIMUM_SECONDS, min(wait, IDLE_SECONDS))

    async def _step(self, session: Queryable) -> bool:
        """Run one step of the bulk action that is due. Return False if none is due."""
        actions = stored.BulkActions(session)
        row = await actions.claim(ROWS_LIMIT)
        if row is None:
            return False
        skipped = Counter(orjson.loads(row["skipped"]))
        if row["action"] == "retry" and not row["has_room"]:
            await actions.advance(
                row["id"],
                row["position"],
                made=0,
                skipped=skipped,
                wait=FULL_SECONDS,
                is_done=False,
            )
            return True
        ids, position = await self._next_ids(session, row)
        changed = await _change(session, row, ids)
        await actions.advance(
            row["id"],
            position or 0,
            made=changed.made,
            skipped=skipped + Counter(changed.skipped),
            wait=changed.made / row["rate"] if row["rate"] else 0.0,
            is_done=position is None,
        )
        return True

    async def _next_ids(
        self, session: Queryable, row: ClaimedBulkActionRow
    ) -> tuple[Sequence[int], int | None]:
        """Return the deliveries of a step, and the position after it, None after the last."""
        if row["ids"] is not None:
            return row["ids"], None
        limit = self._limit
        if row["rate"] is not None:
            limit = min(limit, max(1, int(row["rate"] * PACED_SECONDS)))
        criteria = replace(stored.from_json(row["criteria"]), high=row["position"])
        page = await DeliverySearch(session).page(row["environment_id"], criteria, limit)
        return (page.items, page.next) if page is not None else ((), None)

    async def _note_failure(self, error: Exception) -> float:
        """Note a failed step: this bulk action is tried again later, and others go on.

        Return 0.0, the seconds to the next step.
        """
        actions = stored.BulkActions(self._session)
        failed = await actions.note_failure(describe(error), FAILURES_LIMIT)
        if failed is not None:
            observe.bulk_actions.step_failed(*failed, error)
        return 0.0


async def _change(
    session: Queryable, row: ClaimedBulkActionRow, ids: Sequence[int]
) -> ChangedDeliveries:
    """Retry or cancel deliveries that were selected a moment ago."""
    if not ids:
        return ChangedDeliveries(0, {})
    actions, environment_id = DeliveryActions(session), row["environment_id"]
    await actions.lock_many(ids)
    if row["action"] == "cancel":
        return await actions.cancel_many(ids, environment_id, BY_HAND)
    status = stored.from_json(row["criteria"]).status
    return await actions.retry_many(ids, environment_id, status=status, attempts_most=ATTEMPTS_MOST)
