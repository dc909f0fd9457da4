"""Read the data of events to send, and emit events."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypedDict
from uuid import UUID

import asyncpg

from dispatcher.store.rows import uncopied_rows
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class EventRejectedError(ValueError):
    """The database refused an event. The message is a sentence for the producer."""


class UnknownEnvironmentError(EventRejectedError):
    """The environment of an event does not exist."""


class NewEventRow(NamedTuple):
    """An event to insert. `data` is its exact JSON text, `key` its idempotency key."""

    type: str
    data: str
    key: str | None = None
    reference: str | None = None


class EmittedRows(NamedTuple):
    """The ids of emitted events in their order, None for an event whose key was used before.

    `earlier` has, in the same order, the ids of the events that used the keys before. It has None
    for an event that was emitted, and for one whose key another transaction used at the same time.
    `enforced` are those of the types whose schema is enforced.
    """

    ids: Sequence[int | None]
    earlier: Sequence[int | None]
    enforced: frozenset[str]


class EventRow(TypedDict):
    """An event. `data` is the producer's text."""

    id: int
    environment_id: str
    type: str
    data: str


class EventToSendRow(TypedDict):
    """An event to send. `data` is None if it did not fit into the answer."""

    id: int
    environment_id: str
    type: str
    data: str | None


class Events:
    """The events."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def with_ids(self, ids: Collection[int]) -> Sequence[EventRow]:
        """Return `id environment_id type data` of each event. `data` is the producer's text."""
        rows = await self._session.fetch(statement("events/with_ids"), list(ids))
        return uncopied_rows(EventRow, rows)

    async def to_send(self, ids: Collection[int], most_bytes: int) -> Sequence[EventToSendRow]:
        """Return the events, with at most `most_bytes` of data and that of one event more.

        At least one has its data; `data` of the others is None.
        """
        rows = await self._session.fetch(statement("events/to_send"), list(ids), most_bytes)
        return uncopied_rows(EventToSendRow, rows)

    async def emit(
        self,
        type_: str,
        data: str,
        *,
        environment_id: str,
        idempotency_key: str | None = None,
        reference: str | None = None,
    ) -> str:
        """Emit an event and return its id, `evt_…`.

        Raise EventRejectedError if a constraint of the table refuses it.
        """
        with _rejections():
            rows = await self._session.fetch(
                statement("events/emit"), type_, data, environment_id, idempotency_key, reference
            )
        name: str = rows[0][0]
        return name

    async def emit_many(self, environment_id: str, events: Sequence[NewEventRow]) -> EmittedRows:
        """Emit events of one environment, all or none, in one statement.

        Raise UnknownEnvironmentError or EventRejectedError if the database refuses one.
        """
        columns = [list(column) for column in zip(*events, strict=True)]
        with _rejections():
            rows = await self._session.fetch(
                statement("events/emit_many"), environment_id, *columns
            )
        return EmittedRows(rows[0]["ids"], rows[0]["earlier"], frozenset(rows[0]["enforced"]))

    async def limit_lock_wait(self, milliseconds: int) -> None:
        """Limit the wait for each lock in the rest of the transaction."""
        await self._session.fetch(statement("events/limit_lock_wait"), str(milliseconds))

    async def emit_each(self, environment_id: str, events: Sequence[NewEventRow]) -> Sequence[str]:
        """Emit events as a producer, all or none, and return their ids, `evt_…`.

        Raise EventRejectedError if the database refuses one.
        """
        columns = [list(column) for column in zip(*events, strict=True)]
        with _rejections():
            rows = await self._session.fetch(
                statement("events/emit_each"), environment_id, *columns
            )
        return [row["id"] for row in rows]

    async def of_keys(self, environment_id: str, keys: Collection[str]) -> Mapping[str, int]:
        """Return the id of the event of each idempotency key that was used."""
        rows = await self._session.fetch(statement("events/of_keys"), environment_id, list(keys))
        return {row["key"]: row["event_id"] for row in rows}

    async def emit_exhausted(self, attempts: Sequence[tuple[int, int]]) -> None:
        """Emit `delivery.exhausted` once for each attempt, `(delivery_id, number)`.

        An attempt is skipped if its delivery did not fail with it, if the type of its event is
        reserved, or if no webhook of its environment subscribes to exactly `delivery.exhausted`.
        """
        deliveries, numbers = (list(column) for column in zip(*attempts, strict=True))
        await self._session.fetch(
            statement("events/emit_exhausted"), deliveries, numbers, min(deliveries)
        )

    async def emit_directed(
        self, environment_id: str, type_: str, data: str, endpoint_id: UUID
    ) -> int | None:
        """Emit an event for one endpoint alone.

        Return the id of the delivery that will be made for it, None if the endpoint was deleted.
        """
        rows = await self._session.fetch(
            statement("events/emit_directed"), environment_id, type_, data, endpoint_id
        )
        delivery_id: int | None = rows[0]["delivery_id"] if rows else None
        return delivery_id


@contextmanager
def _rejections() -> Iterator[None]:
    """Raise EventRejectedError if a constraint refuses an event."""
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        # The name of a constraint is a sentence. So producers that use SQL read the same message.
        named, hint = str(error.constraint_name or ""), error.hint
        message = named if " " in named else str(error.args[0])
        is_unknown = isinstance(error, asyncpg.ForeignKeyViolationError)
        kind = UnknownEnvironmentError if is_unknown else EventRejectedError
        if is_unknown:
            hint = "use the id of one, or create it: dispatcher environment create"
        raise kind(f"{message} ({hint})" if hint else message) from error
