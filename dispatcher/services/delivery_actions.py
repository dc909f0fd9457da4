"""One delivery is sent again, or not at all: as a person wishes."""

from collections.abc import Mapping
from typing import Any

from dispatcher.core import ids
from dispatcher.core.errors import Conflict, Unknown
from dispatcher.services.audit_log import Actor, Journal
from dispatcher.store.delivery_actions import Resends
from dispatcher.store.session import Asked

BY_HAND = "cancelled by hand"
ATTEMPTS_MOST = 30_000
"""Attempts after which a delivery is not retried by hand: a script that retries a failing one every
second would else go on for ever. `recoverable()` in the database has the same number."""


class Resend:
    """Ask within a transaction. After it, see `confirmed.heeded`."""

    def __init__(self, session: Asked, actor: Actor) -> None:
        self._resends = Resends(session)
        self._journal = Journal(session, actor)

    async def retry(self, environment_id: str, delivery_name: str) -> int:
        """Send a pending one now, and one that ended again: under its name, its attempts counted on
        from the last, on a fresh schedule. Returns its id. Raises Unknown and Conflict."""
        delivery_id, found = await self._look(environment_id, delivery_name)
        if reason := _no_retry(found):
            raise Conflict(reason)
        if found["state"] == "PENDING":
            done = await self._resends.expedite(delivery_id)
        else:
            done = found["state"] == "OWED" or await self._resends.owe(
                delivery_id,
                event_id=found["event_id"],
                endpoint_id=found["endpoint_id"],
                environment_id=environment_id,
                type_=found["type"],
                attempts=found["attempt"],
            )
        if not done:
            raise Conflict("the delivery has just changed: look at it, and try again")
        await self._journal.note("delivery.retry", delivery_name, environment_id)
        return delivery_id

    async def cancel(self, environment_id: str, delivery_name: str) -> int:
        """End a pending one; an attempt that is under way is finished. Returns its id. Raises Unknown
        and Conflict."""
        delivery_id, found = await self._look(environment_id, delivery_name)
        if found["state"] == "ENDED":
            raise Conflict("the delivery has ended")
        if not await self._resends.cancel(delivery_id, BY_HAND):
            raise Conflict("the delivery has just changed: look at it, and try again")
        await self._journal.note("delivery.cancel", delivery_name, environment_id)
        return delivery_id

    async def _look(self, environment_id: str, delivery_name: str) -> tuple[int, Mapping[str, Any]]:
        try:
            delivery_id = ids.parse("dlv", delivery_name)
        except ValueError:
            raise Unknown(f"there is no delivery {delivery_name!r}") from None
        await self._resends.lock(delivery_id)
        found = await self._resends.look(delivery_id, environment_id)
        if found is None:
            raise Unknown(f"there is no delivery {delivery_name}")
        return delivery_id, found


def _no_retry(found: Mapping[str, Any]) -> str | None:
    """Why a delivery can not be sent again; None if it can."""
    if found["deleted"]:
        return "the webhook was deleted"
    if not found["active"]:
        return "the webhook is disabled: enable it first"
    if not found["event_kept"]:
        return "the event is no longer kept"
    if found["attempt"] >= ATTEMPTS_MOST:
        return (
            f"the delivery has had {found['attempt']} attempts, and {ATTEMPTS_MOST} are the most: "
            "emit the event again instead"
        )
    if found["state"] == "ENDED" and found["unheeded"]:  # else two could make one attempt
        return "an attempt at the delivery may be under way: try again when it is over"
    return None
