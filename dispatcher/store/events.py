"""Read the data of events to send, and emit events."""

from collections.abc import Collection, Sequence
from typing import TypedDict
from uuid import UUID

import asyncpg

from dispatcher.store.rows import uncopied_rows
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class EventRejectedError(ValueError):
    """The database refused an event. The message is a sentence for the producer."""


class EventRow(TypedDict):
    """An event to send. `data` is the producer's text."""

    id: int
    environment_id: str
    type: str
    data: str


class Events:
    """The events."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def with_ids(self, ids: Collection[int]) -> Sequence[EventRow]:
        """Return `id environment_id type data` of each event. `data` is the producer's text."""
        rows = await self._session.fetch(statement("events/with_ids"), list(ids))
        return uncopied_rows(EventRow, rows)

    async def emit(
        self, type_: str, data: str, *, environment_id: str, idempotency_key: str | None = None
    ) -> str:
        """Emit an event and return its id, `evt_…`.

        Raise EventRejectedError if a constraint of the table refuses it.
        """
        try:
            rows = await self._session.fetch(
                statement("events/emit"), type_, data, environment_id, idempotency_key
            )
        except asyncpg.IntegrityConstraintViolationError as error:
            # The name of a constraint is a sentence. So producers that use SQL read the same
            # message.
            named, hint = str(error.constraint_name or ""), error.hint
            said = named if " " in named else str(error.args[0])
            raise EventRejectedError(f"{said} ({hint})" if hint else said) from error
        name: str = rows[0][0]
        return name

    async def emit_operational(self, events: Sequence[tuple[str, str, str]]) -> None:
        """Emit dispatcher's own events, each `(environment_id, type, data)`.

        An event is skipped if its environment does not subscribe to exactly this type.
        """
        columns = [list(column) for column in zip(*events, strict=True)]
        await self._session.fetch(statement("events/emit_operational"), *columns)

    async def emit_directed(
        self, environment_id: str, type_: str, data: str, endpoint_id: UUID
    ) -> tuple[int, int]:
        """Emit an event for one endpoint alone.

        Return the ids of the event and of the delivery that will be made for it.
        """
        rows = await self._session.fetch(
            statement("events/emit_directed"), environment_id, type_, data, endpoint_id
        )
        return rows[0]["event_id"], rows[0]["delivery_id"]
