"""Change deliveries at the request of a person."""

from collections.abc import Collection, Sequence
from typing import Literal, TypedDict
from uuid import UUID

from dispatcher.core.model import Status
from dispatcher.store.queries.history import History
from dispatcher.store.rows import all_rows
from dispatcher.store.session import Queryable, without_locks
from dispatcher.store.statements import statement


class DeliveryStateRow(TypedDict):
    """The state of a delivery for a person who wants to change it.

    A QUEUED delivery waits in the inbox to become pending again. `status` is what lists show. It is
    None if only attempts that were recorded late were found. `attempt` is the number of attempts so
    far. `active` and `deleted` are the endpoint's. If `has_unapplied_notices` is true, a daemon may
    still hold the delivery as it was before a change.
    """

    id: int
    state: Literal["PENDING", "QUEUED", "ENDED"]
    status: Status | None
    event_id: int
    endpoint_id: UUID
    type: str
    attempt: int
    active: bool
    deleted: bool
    has_unapplied_notices: bool


class DeliveryActions:
    """Changes to deliveries. Call these methods within a transaction, after `lock`."""

    def __init__(self, session: Queryable) -> None:
        self._session = session
        self._reads = without_locks(session)

    async def lock(self, delivery_ids: Collection[int]) -> None:
        """Lock deliveries against other changes of this kind until the transaction ends."""
        await self._session.fetch(statement("delivery_actions/lock"), list(delivery_ids))

    async def lock_all(self) -> None:
        """Lock all deliveries as `lock` does, for a change that finds many while it is made."""
        await self._session.fetch(statement("delivery_actions/lock_all"))

    async def lock_pending(self, delivery_ids: Collection[int]) -> Collection[int]:
        """Lock pending deliveries against all changes until the transaction ends.

        Return those that are being recorded, and so are not locked.
        """
        rows = await self._session.fetch(
            statement("delivery_actions/lock_pending"), list(delivery_ids)
        )
        return {row["id"] for row in rows}

    async def find(
        self, delivery_ids: Collection[int], environment_id: str
    ) -> Sequence[DeliveryStateRow]:
        """Return the state of each delivery that the environment has, newest first.

        Deliveries in quarantine are left out. A long history is read in spans of days, the latest
        first, until all are found.
        """
        rows_by_id: dict[int, DeliveryStateRow] = {}
        left = set(delivery_ids)
        for above, until in await History(self._reads).spans(min(delivery_ids)):
            rows = await self._reads.fetch(
                statement("delivery_actions/find"), list(left), environment_id, above, until
            )
            for row in all_rows(DeliveryStateRow, rows):
                late = rows_by_id.get(row["id"])
                if late is not None:
                    row["attempt"] = max(row["attempt"], late["attempt"])
                rows_by_id[row["id"]] = row
            left -= {row["id"] for row in rows_by_id.values() if row["status"] is not None}
            if not left:
                break
        return [rows_by_id[id_] for id_ in sorted(rows_by_id.keys() - left, reverse=True)]

    async def keep_events(self, event_ids: Collection[int]) -> Collection[int]:
        """Return those of the events that are not pruned yet.

        Their partitions are locked, so that none of them is pruned until the transaction ends.
        """
        rows = await self._session.fetch(statement("delivery_actions/keep_events"), list(event_ids))
        return {row["id"] for row in rows}

    async def expedite(self, delivery_ids: Collection[int]) -> int:
        """Make pending deliveries due now. Return how many of them are pending."""
        rows = await self._session.fetch(statement("delivery_actions/expedite"), list(delivery_ids))
        return len(rows)

    async def enqueue(self, ended: Sequence[DeliveryStateRow], environment_id: str) -> int:
        """Queue ended deliveries again. Return how many this call queued.

        Deliveries that are queued or pending already, or whose endpoint was deleted, are skipped.
        """
        rows = await self._session.fetch(
            statement("delivery_actions/enqueue"),
            [row["id"] for row in ended],
            [row["event_id"] for row in ended],
            [row["endpoint_id"] for row in ended],
            [row["type"] for row in ended],
            [row["attempt"] for row in ended],
            environment_id,
        )
        return len(rows)

    async def cancel(self, delivery_ids: Collection[int], environment_id: str, error: str) -> int:
        """End those of the deliveries that are pending or queued. Return how many were ended."""
        rows = await self._session.fetch(
            statement("delivery_actions/cancel"), list(delivery_ids), environment_id, error
        )
        return len(rows)
