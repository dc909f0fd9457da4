"""Events of types with an enforced schema, until somebody has looked at their data."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event to examine. `schema` is a JSON text; None: any data will do."""

    id: int
    environment_id: str
    type: str
    schema: str | None


class Unexamined:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def waiting(
        self,
        limit: int,
        shards: Collection[int],
        *,
        above: int = 0,
        without: Collection[str] = (),
    ) -> Sequence[Waiting]:
        """The oldest that the owner of these shards is to examine, with ids above `above` and of
        none of the environments `without`."""
        rows = await self._session.fetch(
            statement("unvalidated_events/waiting"), limit, list(shards), above, list(without)
        )
        return [Waiting(**row) for row in rows]

    async def with_data(self, ids: Collection[int], size: int) -> Mapping[int, str | None]:
        """The data of the oldest, `size` bytes together unless the first alone is more; None is
        left for another time. An event that is gone has no key."""
        rows = await self._session.fetch(statement("unvalidated_events/with_data"), list(ids), size)
        return {row["id"]: row["data"] for row in rows}

    async def move(
        self, passed: Collection[int], refused: Collection[tuple[int, str, str]]
    ) -> Sequence[tuple[int, str]]:
        """Put events into the inbox, or `(id, reason, detail)` into quarantine; those that this
        call put there, with their reasons."""
        ids, reasons, details = zip(*refused, strict=True) if refused else ((), (), ())
        rows = await self._session.fetch(
            statement("unvalidated_events/move"),
            list(passed),
            list(ids),
            list(reasons),
            list(details),
        )
        return [(row["event_id"], row["reason"]) for row in rows]
