"""What became of events: deliveries pending and ended, and their attempts. Reads only.

Each statement looks at no more rows than it is told, in the order of an index. Sessions should
have plan_cache_mode=force_custom_plan, so that partitions are pruned.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatcher.ids import LARGEST
from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


@dataclass(frozen=True, slots=True)
class Wanted:
    """Ids from `low` up to, and without, `high`; a status; a type, or what types begin with."""

    low: int = 0
    high: int = LARGEST
    status: str | None = None
    type: str | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The ids that were found, newest first, and how far down it was looked; None: to the end."""

    ids: list[int]
    horizon: int | None


class History:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def endpoints(
        self, environment_id: str, endpoint_id: UUID | None, most: int
    ) -> list[UUID]:
        """Those of the environment, deleted ones too; or the one, if it is of the environment."""
        rows = await self._session.fetch(
            statement("history/endpoints"), environment_id, endpoint_id, most
        )
        return [row["id"] for row in rows]

    async def of_endpoints(
        self, endpoint_ids: Sequence[UUID], wanted: Wanted, rows: int, most: int
    ) -> Seen:
        """The newest `most` deliveries; `rows` of each endpoint and each kind are looked at."""
        found = await self._session.fetch(
            statement("history/of_endpoints"), endpoint_ids, *_narrowed(wanted, rows), most
        )
        return _seen(found)

    async def of_environment(
        self, environment_id: str, wanted: Wanted, rows: int, most: int
    ) -> Seen:
        """As `of_endpoints`, but `rows` of all environments are looked at."""
        found = await self._session.fetch(
            statement("history/of_environment"), environment_id, *_narrowed(wanted, rows), most
        )
        return _seen(found)

    async def of_event(
        self, environment_id: str, event_id: int, before: int, most: int
    ) -> list[int]:
        """Delivery ids below `before`, the newest first."""
        rows = await self._session.fetch(
            statement("history/of_event"), environment_id, event_id, before, most
        )
        return [row["id"] for row in rows]

    async def items(
        self, environment_id: str, delivery_ids: Collection[int]
    ) -> Sequence[Mapping[str, Any]]:
        """How each delivery stands now, newest first; those of other environments are left out."""
        return await self._rows(
            statement("history/items"), environment_id, list(delivery_ids), min(delivery_ids)
        )

    async def payloads(
        self, event_ids: Collection[int], most: int
    ) -> Mapping[int, tuple[int, str | None]]:
        """Bytes of data by event, and the data if it is no more than `most` bytes. Without those
        that retention has dropped."""
        rows = await self._session.fetch(statement("history/payloads"), list(event_ids), most)
        return {row["id"]: (row["size"], row["data"]) for row in rows}

    async def attempts(
        self, environment_id: str, delivery_id: int, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """Every attempt, the first first."""
        rows = await self._rows(statement("history/attempts"), environment_id, delivery_id, limit)
        return rows[::-1]

    async def events(self, environment_id: str, wanted: Wanted, rows: int, most: int) -> Seen:
        """The newest `most` events; `rows` of all environments are looked at."""
        found = await self._session.fetch(
            statement("history/events"),
            environment_id,
            wanted.high,
            wanted.low,
            rows,
            wanted.type,
            wanted.prefix,
            most,
        )
        return _seen(found)

    async def event_items(
        self, environment_id: str, event_ids: Collection[int], most: int
    ) -> Sequence[Mapping[str, Any]]:
        """Each event, newest first; `data` only where it is no more than `most` bytes."""
        return await self._rows(
            statement("history/event_items"), environment_id, list(event_ids), most
        )

    async def waiting(self, event_id: int) -> str | None:
        """`inbox`, `unexamined` or `quarantine`, if the event is not fanned out yet."""
        rows = await self._session.fetch(statement("history/waiting"), event_id)
        place: str | None = rows[0]["place"]
        return place

    async def _rows(self, query: str, *args: object) -> Sequence[Mapping[str, Any]]:
        return [dict(row) for row in await self._session.fetch(query, *args)]


def _narrowed(wanted: Wanted, rows: int) -> tuple[object, ...]:
    return (wanted.high, wanted.low, rows, wanted.status, wanted.type, wanted.prefix)


def _seen(rows: Sequence[Any]) -> Seen:
    return Seen(rows[0]["ids"], rows[0]["horizon"])
