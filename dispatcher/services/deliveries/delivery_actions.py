"""Retry or cancel one delivery at the request of a person."""

from collections.abc import Mapping
from typing import Final

from dispatcher.core import ids
from dispatcher.core.errors import ConflictError
from dispatcher.core.retry_refusal import RETRYABLE_ATTEMPTS_LIMIT, RetryRefusal
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.services.public_ids import delivery_number, no_delivery
from dispatcher.store import delivery_changes
from dispatcher.store.queries import delivery_actions as stored
from dispatcher.store.queries.quarantine import Quarantine
from dispatcher.store.session import Queryable

_REFUSALS: Final[Mapping[RetryRefusal, str]] = {
    "deleted": "The webhook was deleted. Emit the event again for another webhook.",
    "disabled": "The webhook is disabled. Enable it, then retry the delivery.",
    "dropped": "The event is no longer kept. Emit it again instead.",
    "attempts": f"The delivery has had {RETRYABLE_ATTEMPTS_LIMIT:,} attempts, the most that one may"
    " have. Emit the event again instead.",
    "in_progress": "An attempt at the delivery may be in progress. Try again when it is over.",
}


class DeliveryActions:
    """Changes to one delivery. Call these methods within a transaction.

    After the commit, wait with `propagation.wait_until_acknowledged`.
    """

    def __init__(self, session: Queryable, actor: Actor) -> None:
        self._session = session
        self._stored = stored.DeliveryActions(session)
        self._quarantine = Quarantine(session)
        self._journal = Journal(session, actor)

    async def retry(self, environment_id: str, delivery_name: str) -> int:
        """Send a pending delivery now, or send an ended one again. Return its id.

        An ended delivery keeps its id. Its attempts are counted on, and its retry schedule starts
        again. Raise NotFoundError or ConflictError.
        """
        delivery_id, row = await self._lock_and_find(environment_id, delivery_name)
        number, refusals = await delivery_changes.send_again(self._session, environment_id, [row])
        if delivery_id in refusals:
            raise ConflictError(_REFUSALS[refusals[delivery_id]])
        if not number:
            raise _just_changed()
        await self._journal.note("delivery.retry", delivery_name, environment_id)
        return delivery_id

    async def cancel(self, environment_id: str, delivery_name: str) -> int:
        """End a pending delivery. Return its id.

        An attempt in progress is finished. Raise NotFoundError or ConflictError.
        """
        delivery_id, row = await self._lock_and_find(environment_id, delivery_name)
        if row["state"] != "ENDED":
            if await delivery_changes.cancel(self._session, environment_id, [delivery_id]):
                await self._journal.note("delivery.cancel", delivery_name, environment_id)
                return delivery_id
            # It may have ended, or gone to quarantine, since it was found.
            _, row = await self._lock_and_find(environment_id, delivery_name)
        if row["state"] == "ENDED":
            status = row["status"].lower() if row["status"] else "not pending"
            raise ConflictError(
                f"The delivery has ended: {delivery_name} is {status}. Only a pending one can be"
                " cancelled."
            )
        raise _just_changed()

    async def _lock_and_find(
        self, environment_id: str, delivery_name: str
    ) -> tuple[int, stored.DeliveryStateRow]:
        delivery_id = delivery_number(delivery_name)
        await self._stored.lock([delivery_id])
        rows = await self._stored.find([delivery_id], environment_id)
        if not rows:
            entry = await self._quarantine.get(environment_id, delivery_id)
            if entry is not None and entry["delivery_id"] == delivery_id:
                raise ConflictError(
                    f"The delivery is in quarantine: {entry['detail'].rstrip('.')}. Release or"
                    f" discard {ids.QUARANTINE_PREFIX}_{delivery_id} instead."
                )
            raise no_delivery(delivery_name)
        return delivery_id, rows[0]


def _just_changed() -> ConflictError:
    return ConflictError("The delivery has just changed. Look at it, and try again.")
