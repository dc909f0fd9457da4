"""Read and move events that wait for the schema check.

Their types have an enforced schema.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event to check. `schema` is a JSON text, or None if any data is valid."""

    id: int
    environment_id: str
    type: str
    schema: str | None


class UnvalidatedEvents:
    """The events that wait for the schema check."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def waiting(
        self,
        limit: int,
        shards: Collection[int],
        *,
        after_id: int = 0,
        excluded_environments: Collection[str] = (),
    ) -> Sequence[Waiting]:
        """Return the oldest unvalidated events of these shards.

        Their ids are above `after_id`, and they are of none of the `excluded_environments`.
        """
        rows = await self._session.fetch(
            statement("unvalidated_events/waiting"),
            limit,
            list(shards),
            after_id,
            list(excluded_environments),
        )
        return [Waiting(**row) for row in rows]

    async def with_data(self, ids: Collection[int], size: int) -> Mapping[int, str | None]:
        """Return the data of the oldest events, at most `size` bytes together.

        The first one is always read, even if it is larger. The value is None for an event that is
        left for the next call. An event that is gone has no key.
        """
        rows = await self._session.fetch(statement("unvalidated_events/with_data"), list(ids), size)
        return {row["id"]: row["data"] for row in rows}

    async def move(
        self, passed: Collection[int], refused: Collection[tuple[int, str, str]]
    ) -> Sequence[tuple[int, str]]:
        """Move `passed` events to the inbox, and `refused` ones to quarantine.

        Each refused event is `(id, reason, detail)`. Return the id and reason of the events that
        this call quarantined.
        """
        ids, reasons, details = zip(*refused, strict=True) if refused else ((), (), ())
        rows = await self._session.fetch(
            statement("unvalidated_events/move"),
            list(passed),
            list(ids),
            list(reasons),
            list(details),
        )
        return [(row["event_id"], row["reason"]) for row in rows]
