"""Change deliveries at the request of a person."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypedDict
from uuid import UUID

import orjson

from dispatcher.store.rows import first_row
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement

BY_HAND = "cancelled by hand"
ATTEMPTS_MOST = 30_000
"""Most attempts of a delivery that a person may retry.

Otherwise a script could retry a failing delivery every second without end. `replayable()` in the
database has the same number.
"""


class DeliveryStateRow(TypedDict):
    """The state of a delivery for a person who wants to change it.

    QUEUED waits in the inbox to become pending again. `attempt` is how many attempts there were.
    `active` and `deleted` are the endpoint's. If `has_unapplied_notices` is true, a daemon may
    still hold the delivery as it was before a change.
    """

    state: Literal["PENDING", "QUEUED", "ENDED"]
    event_id: int
    endpoint_id: UUID
    type: str
    attempt: int
    active: bool
    deleted: bool
    event_kept: bool
    has_unapplied_notices: bool


class ChangedDeliveries(NamedTuple):
    """How many deliveries were changed, and how many were not, by reason.

    The reasons: `changed` (in another status by now, or not in the environment), `deleted` and
    `disabled` (the endpoint), `dropped` (the event), `attempts` (there were too many), and
    `in_progress` (an attempt may be running).
    """

    made: int
    skipped: Mapping[str, int]


class DeliveryActions:
    """Changes to one delivery, or to many. Call these methods within a transaction, after `lock`."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def lock(self, delivery_id: int) -> None:
        """Lock the delivery against other changes of this kind until the transaction ends."""
        await self._session.fetch(statement("delivery_actions/lock"), delivery_id)

    async def find(self, delivery_id: int, environment_id: str) -> DeliveryStateRow | None:
        """Return the state of a delivery, or None if the environment has no such delivery.

        `state` is PENDING, QUEUED (waits in the inbox to become pending again) or ENDED. The other
        keys are `event_id type endpoint_id attempt` (how many attempts there were), `active
        deleted` of its endpoint, `event_kept`, and `has_unapplied_notices`: true if a daemon may
        still hold the delivery as it was before a change.
        """
        rows = await self._session.fetch(
            statement("delivery_actions/find"), delivery_id, environment_id
        )
        return first_row(DeliveryStateRow, rows)

    async def expedite(self, delivery_id: int) -> bool:
        """Make the delivery due now. Return False if it is not pending."""
        return bool(await self._session.fetch(statement("delivery_actions/expedite"), delivery_id))

    async def enqueue(
        self,
        delivery_id: int,
        *,
        event_id: int,
        endpoint_id: UUID,
        environment_id: str,
        type_: str,
        attempts: int,
    ) -> bool:
        """Queue an ended delivery again after `attempts` attempts.

        Return False if it is already queued or pending.
        """
        rows = await self._session.fetch(
            statement("delivery_actions/enqueue"),
            delivery_id,
            event_id,
            endpoint_id,
            environment_id,
            type_,
            attempts,
        )
        return bool(rows)

    async def cancel(self, delivery_id: int, error: str) -> bool:
        """End the delivery. Return False if it is not pending."""
        return bool(
            await self._session.fetch(statement("delivery_actions/cancel"), delivery_id, error)
        )

    async def lock_many(self, delivery_ids: Sequence[int]) -> None:
        """Lock deliveries, as `lock` does."""
        await self._session.fetch(statement("delivery_actions/lock_many"), delivery_ids)

    async def retry_many(
        self,
        delivery_ids: Sequence[int],
        environment_id: str,
        *,
        status: str | None,
        attempts_most: int,
    ) -> ChangedDeliveries:
        """Send pending deliveries now, and ended ones again.

        Skip those in another status than `status`, and those with `attempts_most` attempts.
        """
        rows = await self._session.fetch(
            statement("delivery_actions/retry_many"),
            delivery_ids,
            environment_id,
            status,
            attempts_most,
        )
        return ChangedDeliveries(rows[0]["made"], orjson.loads(rows[0]["skipped"]))

    async def cancel_many(
        self, delivery_ids: Sequence[int], environment_id: str, error: str
    ) -> ChangedDeliveries:
        """End pending deliveries. Skip those that have ended."""
        rows = await self._session.fetch(
            statement("delivery_actions/cancel_many"), delivery_ids, environment_id, error
        )
        made: int = rows[0]["made"]
        left = len(delivery_ids) - made
        return ChangedDeliveries(made, {"changed": left} if left else {})
