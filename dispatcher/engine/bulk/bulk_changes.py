"""Retry or cancel some deliveries at once, for one step of a bulk action."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dispatcher.core import ids as id_times
from dispatcher.store import delivery_changes
from dispatcher.store.queries.delivery_actions import DeliveryActions, DeliveryStateRow
from dispatcher.store.queries.history import DAYS_AT_ONCE_LIMIT
from dispatcher.store.session import Queryable


class Changed(NamedTuple):
    """How many deliveries were changed, and how many were not, by reason.

    The reasons are those of `retry_refusal`, and `changed`: in another status by now, or not in the
    environment. `position` is the id below which the next step goes on, None after the last.
    """

    number: int
    skipped: Mapping[str, int]
    position: int | None


async def lock(
    session: Queryable, ids: Sequence[int], position: int | None
) -> tuple[Sequence[int], int | None]:
    """Lock deliveries until the transaction ends. Return them, and the position after them.

    `ids` are the newest first. If an attempt at one is being recorded, return those before it. The
    next step begins with it.
    """
    actions = DeliveryActions(session)
    await actions.lock(ids)
    if not (held := await actions.lock_pending(ids)):
        return ids, position
    return [id_ for id_ in ids if id_ > max(held)], max(held) + 1


async def cancel(
    session: Queryable, environment_id: str, ids: Sequence[int], position: int | None
) -> Changed:
    """Cancel those of the deliveries that are pending or queued. Call this after `lock`.

    One that is queued waits in the inbox to become pending again.
    """
    number = await delivery_changes.cancel(session, environment_id, ids)
    return Changed(number, _nonzero({"changed": len(ids) - number}), position)


async def retry(
    session: Queryable,
    environment_id: str,
    ids: Sequence[int],
    position: int | None,
    *,
    status: str | None,
) -> Changed:
    """Send pending deliveries now, and ended ones again. Call this after `lock`.

    `ids` are the newest first. Skip those in another status than `status`. If the events are of too
    many days, do only the first deliveries.
    """
    rows = await DeliveryActions(session).find(ids, environment_id)
    near = _of_some_days(rows)
    if len(near) < len(rows):
        position = near[-1]["id"]
        ids = [id_ for id_ in ids if id_ >= position]
    matching = [row for row in near if status in (None, row["status"])]
    number, refusals = await delivery_changes.send_again(session, environment_id, matching)
    changed = len(ids) - number - len(refusals)
    skipped = _nonzero({**Counter(refusals.values()), "changed": changed})
    return Changed(number, skipped, position)


def _of_some_days(rows: Sequence[DeliveryStateRow]) -> Sequence[DeliveryStateRow]:
    """Return the first of the deliveries, whose events are of DAYS_AT_ONCE_LIMIT days at most.

    The partitions of the events are locked until the transaction ends.
    """
    days: set[int] = set()
    for number, row in enumerate(rows):
        days.add(id_times.created_ms(row["event_id"]) // id_times.DAY_MS)
        if len(days) > DAYS_AT_ONCE_LIMIT:
            return rows[:number]
    return rows


def _nonzero(counts: Mapping[str, int]) -> Mapping[str, int]:
    """Return the counts that are not zero."""
    return {reason: number for reason, number in counts.items() if number}
