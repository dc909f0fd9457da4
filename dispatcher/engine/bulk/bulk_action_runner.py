"""Run bulk actions step by step: each step retries or cancels some of their deliveries.

A filter selects these, or a list of ids names them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import orjson

from dispatcher.engine.batch_size import BatchSize
from dispatcher.engine.bulk import bulk_changes
from dispatcher.engine.bulk.step_loop import Step, StepLoop
from dispatcher.store.queries.bulk_actions import BulkActions, ClaimedBulkActionRow, from_json
from dispatcher.store.queries.delivery_search import DeliverySearch
from dispatcher.store.session import Queryable, Session, Transaction, without_locks
from dispatcher.telemetry import observe

DELIVERIES_LIMIT: Final = 500
"""Deliveries that one step changes, at most."""
ROWS_LIMIT: Final = 2_000
"""Rows of deliveries to be sent again that may wait in the inbox before the next step."""
FULL_SECONDS: Final = 0.5
"""Seconds until the next step if so many wait."""
NOTICES_LIMIT: Final = 2_000
"""Change notices that may wait before the next step. People's own changes wait behind them."""
NOTICES_SECONDS: Final = 0.05
"""Seconds until the next step if so many wait. The daemons apply them as fast as they can."""
RECORDING_SECONDS: Final = 0.05
"""Seconds until the next step if an attempt at the next delivery is being recorded."""
PACED_SECONDS: Final = 0.25
"""With a rate, one step changes at most what it allows in this time, or else one delivery."""


class BulkActionRunner(StepLoop):
    """The stage that runs bulk actions."""

    def __init__(self, session: Session) -> None:
        super().__init__(
            session, BulkActions(session), claim=_claim, on_failure=observe.bulk_actions.step_failed
        )


async def _claim(session: Transaction) -> Step | None:
    row = await BulkActions(session).claim(ROWS_LIMIT, NOTICES_LIMIT)
    if row is None:
        return None
    return Step(row["environment_id"], row["id"], partial(_step, session, row))


async def _step(session: Transaction, row: ClaimedBulkActionRow, size: BatchSize) -> None:
    if (wait := _full_seconds(row)) is not None:
        done = bulk_changes.Changed(0, {}, row["position"])
    else:
        done = await _change(session, row, _limit(row, size))
        wait = done.number / row["rate"] if row["rate"] else 0.0
        if done.position == row["position"]:
            wait = RECORDING_SECONDS
    await BulkActions(session).advance(
        row["environment_id"],
        row["id"],
        done.position or 0,
        made=done.number,
        skipped=Counter(orjson.loads(row["skipped"])) + Counter(done.skipped),
        wait=wait,
        is_done=done.position is None,
    )


def _full_seconds(row: ClaimedBulkActionRow) -> float | None:
    """Return the seconds to wait because too much waits already, None if there is room."""
    if not row["has_notice_room"]:
        return NOTICES_SECONDS
    return FULL_SECONDS if row["action"] == "retry" and not row["has_room"] else None


def _limit(row: ClaimedBulkActionRow, size: BatchSize) -> int:
    """Return how many deliveries the next step may change."""
    limit = size.scale(DELIVERIES_LIMIT)
    return limit if row["rate"] is None else min(limit, max(1, int(row["rate"] * PACED_SECONDS)))


async def _change(
    session: Queryable, row: ClaimedBulkActionRow, limit: int
) -> bulk_changes.Changed:
    """Retry or cancel the next deliveries of a bulk action."""
    environment_id, criteria = row["environment_id"], from_json(row["criteria"])
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
