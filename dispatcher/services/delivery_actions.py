"""Retry or cancel one delivery at the request of a person."""

from collections.abc import Mapping
from typing import Final

from dispatcher.core import ids
from dispatcher.core.errors import ConflictError, NotFoundError
from dispatcher.core.retry_refusal import ATTEMPTS_LIMIT, RetryRefusal, retry_refusal
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.store.queries import delivery_actions as stored
from dispatcher.store.queries.delivery_actions import BY_HAND
from dispatcher.store.queries.quarantine import Quarantine
from dispatcher.store.session import Queryable

LOOKS_LIMIT: Final = 3
"""Looks at a delivery to cancel: from one to the next it may leave the inbox, or end."""
_REFUSALS: Final[Mapping[RetryRefusal, str]] = {
    "deleted": "The webhook was deleted. Emit the event again for another webhook.",
    "disabled": "The webhook is disabled. Enable it, then retry the delivery.",
    "dropped": "The event is no longer kept. Emit it again instead.",
    "attempts": f"The delivery has had {ATTEMPTS_LIMIT} attempts, the most that one may have."
    " Emit the event again instead.",
    "in_progress": "An attempt at the delivery may be in progress. Try again when it is over.",
}


class DeliveryActions:
    """Changes to one delivery. Call these methods within a transaction.

    After the commit, wait with `propagation.wait_until_acknowledged`.
    """

    def __init__(self, session: Queryable, actor: Actor) -> None:
        self._stored = stored.DeliveryActions(session)
        self._quarantine = Quarantine(session)
        self._journal = Journal(session, actor)

    async def retry(self, environment_id: str, delivery_name: str) -> int:
        """Send a pending delivery now, or send an ended one again. Return its id.

        An ended delivery keeps its name and goes on counting its attempts, on a new schedule. Raise
        NotFoundError or ConflictError.
        """
        delivery_id, row = await self._lock_and_find(environment_id, delivery_name)
        kept = await self._stored.keep_events([row["event_id"]])
        if refusal := retry_refusal(
            is_ended=row["state"] == "ENDED",
            attempts=row["attempt"],
            is_active=row["active"],
            is_deleted=row["deleted"],
            is_event_kept=bool(kept),
            has_unapplied_notices=row["has_unapplied_notices"],
        ):
            raise ConflictError(_REFUSALS[refusal])
        if row["state"] == "PENDING":
            done = await self._stored.expedite([delivery_id]) > 0
        else:
            done = row["state"] == "QUEUED" or await self._stored.enqueue([row], environment_id) > 0
        if not done:
            raise ConflictError("The delivery has just changed. Look at it, and try again.")
        await self._journal.note("delivery.retry", delivery_name, environment_id)
        return delivery_id

    async def cancel(self, environment_id: str, delivery_name: str) -> int:
        """End a pending delivery. Return its id.

        An attempt in progress is finished. Raise NotFoundError or ConflictError.
        """
        for _ in range(LOOKS_LIMIT):
            delivery_id, row = await self._lock_and_find(environment_id, delivery_name)
            if row["state"] == "ENDED":
                raise ConflictError("The delivery has ended. Only a pending one can be cancelled.")
            if await self._stored.cancel([delivery_id], environment_id, BY_HAND):
                await self._journal.note("delivery.cancel", delivery_name, environment_id)
                return delivery_id
        raise ConflictError("The delivery has just changed. Look at it, and try again.")

    async def _lock_and_find(
        self, environment_id: str, delivery_name: str
    ) -> tuple[int, stored.DeliveryStateRow]:
        try:
            delivery_id = ids.parse("dlv", delivery_name)
        except ValueError:
            raise _unknown(delivery_name) from None
        await self._stored.lock([delivery_id])
        found = await self._stored.find([delivery_id], environment_id)
        if not found:
            entry = await self._quarantine.get(environment_id, delivery_id)
            if entry is not None and entry["delivery_id"] == delivery_id:
                raise ConflictError(
                    f"The delivery is in quarantine: {entry['detail'].rstrip('.')}. Release or"
                    f" discard q_{delivery_id} instead."
                )
            raise _unknown(delivery_name)
        return delivery_id, found[0]


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(
        f"There is no delivery {name!r}. Check its id and the environment. It may be too old to be"
        " kept."
    )
