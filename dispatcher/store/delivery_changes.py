"""Send one or many deliveries again, or cancel them, at the request of people.

Call these functions within a transaction that has locked the deliveries with `DeliveryActions`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from dispatcher.core.retry_refusal import RetryRefusal, retry_refusal
from dispatcher.store.queries.delivery_actions import DeliveryActions, DeliveryStateRow
from dispatcher.store.session import Queryable

CANCELLED_BY_HAND: Final = "cancelled by hand"
"""The error of the last attempt of a delivery that people cancel."""
LOOKS_LIMIT: Final = 2
"""How often to look for deliveries to cancel.

During the first look, a delivery may leave the inbox and become pending.
"""


class SentAgain(NamedTuple):
    """How many deliveries are sent again, and why others are not, by their id.

    A delivery that is neither counted nor refused has changed since it was found.
    """

    number: int
    refusals: Mapping[int, RetryRefusal]


async def send_again(
    session: Queryable, environment_id: str, rows: Collection[DeliveryStateRow]
) -> SentAgain:
    """Make pending deliveries due now, and queue ended ones again.

    A delivery that is already queued counts as sent again. The partitions of the events are locked
    until the transaction ends.
    """
    actions = DeliveryActions(session)
    kept = await actions.keep_events({row["event_id"] for row in rows})
    refusals = _refusals(rows, kept)
    accepted = [row for row in rows if row["id"] not in refusals]
    pending = [row["id"] for row in accepted if row["state"] == "PENDING"]
    ended = [row for row in accepted if row["state"] == "ENDED"]
    number = len(accepted) - len(pending) - len(ended)
    if pending:
        number += await actions.expedite(pending)
    if ended:
        number += await actions.enqueue(ended, environment_id)
    return SentAgain(number, refusals)


async def cancel(session: Queryable, environment_id: str, delivery_ids: Sequence[int]) -> int:
    """End those of the deliveries that are pending or queued. Return how many were.

    An attempt in progress is finished.
    """
    actions, number = DeliveryActions(session), 0
    for _ in range(LOOKS_LIMIT):
        number += await actions.cancel(delivery_ids, environment_id, CANCELLED_BY_HAND)
        if number == len(delivery_ids):
            break
    return number


def _refusals(
    rows: Collection[DeliveryStateRow], kept_events: Collection[int]
) -> Mapping[int, RetryRefusal]:
    """Return why deliveries cannot be sent again, by the id of each that cannot."""
    refusals = {
        row["id"]: retry_refusal(
            is_ended=row["state"] == "ENDED",
            attempts=row["attempt"],
            is_active=row["active"],
            is_deleted=row["deleted"],
            is_event_kept=row["event_id"] in kept_events,
            has_unapplied_notices=row["has_unapplied_notices"],
        )
        for row in rows
    }
    return {id_: refusal for id_, refusal in refusals.items() if refusal is not None}
