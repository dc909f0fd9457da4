"""Read deliveries, pending and ended, their attempts, and events.

Each statement reads at most the number of rows that its caller asks for, in the order of an index.
Sessions should set plan_cache_mode=force_custom_plan, so that partitions are pruned.

A statement locks every partition that it may read, and the lock table has room for a few thousand
relations. So a history of more than DAYS_AT_ONCE days is read in spans of that many days, one
statement each, the latest first. A list looks for the end of a delivery only in as many days after
it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import asyncpg

from dispatcher.core.ids import LARGEST
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement

DAYS_AT_ONCE = 60


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter: ids from `low` up to but excluding `high`, a status, a type or a type prefix."""

    low: int = 0
    high: int = LARGEST
    status: str | None = None
    type: str | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The ids that were found, newest first.

    `horizon` is the id down to which the history was read, or None if it was read to its end.
    """

    ids: list[int]
    horizon: int | None


class History:
    """Reads of the history. Each returns at most the rows that its caller asks for."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def endpoints(
        self, environment_id: str, endpoint_id: UUID | None, most: int
    ) -> list[UUID]:
        """Return at most `most` endpoints of the environment, including deleted ones.

        With `endpoint_id`, return only that one, if it belongs to the environment.
        """
        rows = await self._session.fetch(
            statement("history/endpoints"), environment_id, endpoint_id, most
        )
        return [row["id"] for row in rows]

    async def of_endpoints(
        self, endpoint_ids: Sequence[UUID], wanted: Wanted, rows: int, most: int
    ) -> Seen:
        """Return the newest `most` deliveries, reading `rows` rows of each endpoint and kind."""
        part, until = await self._part(wanted)
        found = await self._session.fetch(
            statement("history/of_endpoints"), endpoint_ids, *_narrowed(part, rows), most, until
        )
        return _seen(found, wanted, part)

    async def of_environment(
        self, environment_id: str, wanted: Wanted, rows: int, most: int
    ) -> Seen:
        """Return deliveries as `of_endpoints` does, but read `rows` rows of all environments."""
        part, until = await self._part(wanted)
        found = await self._session.fetch(
            statement("history/of_environment"), environment_id, *_narrowed(part, rows), most, until
        )
        return _seen(found, wanted, part)

    async def of_event(
        self, environment_id: str, event_id: int, before: int, most: int
    ) -> list[int]:
        """Return the ids of an event's deliveries below `before`, newest first."""
        found: set[int] = set()
        for above, until in await self._spans(event_id):
            rows = await self._session.fetch(
                statement("history/of_event"), environment_id, event_id, before, most, above, until
            )
            found.update(row["id"] for row in rows)
        return sorted(found, reverse=True)[:most]

    async def items(
        self, environment_id: str, delivery_ids: Collection[int]
    ) -> Sequence[Mapping[str, Any]]:
        """Return the current state of each delivery, newest first.

        Deliveries of other environments are left out.
        """
        found: dict[int, Mapping[str, Any]] = {}
        for above, until in await self._spans(min(delivery_ids)):
            rows = await self._rows(
                statement("history/items"), environment_id, list(delivery_ids), above, until
            )
            for row in rows:
                known = found.get(row["id"])
                if known is None or known["recorded_at"] is None:
                    found[row["id"]] = row
            if sum(row["recorded_at"] is not None for row in found.values()) == len(delivery_ids):
                break
        return [found[id_] for id_ in sorted(found, reverse=True)]

    async def payloads(
        self, event_ids: Collection[int], most: int
    ) -> Mapping[int, tuple[int, str | None]]:
        """Return the size of the data in bytes by event, and the data itself up to `most` bytes.

        Events that retention has dropped are left out.
        """
        rows = await self._session.fetch(statement("history/payloads"), list(event_ids), most)
        return {row["id"]: (row["size"], row["data"]) for row in rows}

    async def attempts(
        self, environment_id: str, delivery_id: int, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """Return the newest `limit` attempts, oldest first."""
        found: list[Mapping[str, Any]] = []
        for above, until in await self._spans(delivery_id):
            found += await self._rows(
                statement("history/attempts"), environment_id, delivery_id, above, until, limit
            )
            if len(found) >= limit:  # spans go back in time
                break
        return sorted(found, key=lambda row: (row["attempt"], row["id"]))[-limit:]

    async def events(self, environment_id: str, wanted: Wanted, rows: int, most: int) -> Seen:
        """Return the newest `most` events, reading `rows` rows of all environments."""
        part, _ = await self._part(wanted)
        found = await self._session.fetch(
            statement("history/events"),
            environment_id,
            part.high,
            part.low,
            rows,
            part.type,
            part.prefix,
            most,
        )
        return _seen(found, wanted, part)

    async def event_items(
        self, environment_id: str, event_ids: Collection[int], most: int
    ) -> Sequence[Mapping[str, Any]]:
        """Return each event, newest first, with `data` only up to `most` bytes."""
        return await self._rows(
            statement("history/event_items"), environment_id, list(event_ids), most
        )

    async def waiting(self, event_id: int) -> str | None:
        """Return the place of an event that is not fanned out yet, or None.

        The place is `inbox`, `unexamined` (its data awaits the schema check) or `quarantine`.
        """
        rows = await self._session.fetch(statement("history/waiting"), event_id)
        place: str | None = rows[0]["place"]
        return place

    async def environment_of_event(self, event_id: int) -> str | None:
        """Return the environment of an event, or None if there is no such event."""
        return _environment(
            await self._session.fetch(statement("history/environment_of_event"), event_id)
        )

    async def environment_of_delivery(self, delivery_id: int) -> str | None:
        """Return the environment of a delivery, or None if there is no such delivery."""
        return _environment(
            await self._session.fetch(statement("history/environment_of_delivery"), delivery_id)
        )

    async def environment_of_webhook(self, webhook_id: UUID) -> str | None:
        """Return the environment of a webhook, or None if there is no such webhook."""
        return _environment(
            await self._session.fetch(statement("history/environment_of_webhook"), webhook_id)
        )

    async def days(self) -> Sequence[int]:
        """Return the smallest id of each day that has a partition, the latest day first."""
        return [row["low"] for row in await self._session.fetch(statement("history/days"))]

    async def _part(self, wanted: Wanted) -> tuple[Wanted, int | None]:
        """Return the part to read first, and the last attempt id to read, or None for all."""
        days = await self.days()
        if len(days) <= 2 * DAYS_AT_ONCE:
            return wanted, None
        below = [day for day in days if day < wanted.high]
        later = [day for day in days if day >= wanted.high]
        low = below[DAYS_AT_ONCE] if len(below) > DAYS_AT_ONCE else 0
        until = later[-DAYS_AT_ONCE] if len(later) >= DAYS_AT_ONCE else None
        return replace(wanted, low=max(low, wanted.low)), until

    async def _spans(self, above: int) -> Sequence[tuple[int, int | None]]:
        """Return spans of attempt ids that reach down to `above`.

        Each span is an exclusive lower and an inclusive upper bound.
        """
        days = [day for day in await self.days() if day > above]
        ends = days[DAYS_AT_ONCE::DAYS_AT_ONCE]
        return list(zip([*ends, above], [None, *ends], strict=True))

    async def _rows(self, query: str, *args: object) -> Sequence[Mapping[str, Any]]:
        return [dict(row) for row in await self._session.fetch(query, *args)]


def _narrowed(wanted: Wanted, rows: int) -> tuple[object, ...]:
    return (wanted.high, wanted.low, rows, wanted.status, wanted.type, wanted.prefix)


def _seen(rows: Sequence[Any], wanted: Wanted, part: Wanted) -> Seen:
    """Return the result of a read of `part`.

    If the whole part was read and more is below it, the horizon is the end of the part.
    """
    horizon = rows[0]["horizon"]
    if horizon is None and part.low > wanted.low:
        horizon = part.low
    return Seen(rows[0]["ids"], horizon)


def _environment(rows: Sequence[asyncpg.Record]) -> str | None:
    return rows[0]["environment_id"] if rows else None
