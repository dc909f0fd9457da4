"""Events: reading what to send, and emitting."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import asyncpg

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class EventRefused(ValueError):
    """What the database has against an event, in a sentence for who emits it."""


class Events:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def with_ids(self, ids: Collection[int]) -> Sequence[Mapping[str, Any]]:
        """`id environment_id type data` of each; `data` is the producer's text."""
        rows = await self._session.fetch(statement("events/with_ids"), list(ids))
        return cast(Sequence[Mapping[str, Any]], rows)  # a record is one, though it is not said so

    async def emit(
        self, type_: str, data: str, *, environment_id: str, idempotency_key: str | None = None
    ) -> str:
        """The `evt_…` name. Raises EventRefused."""
        try:
            rows = await self._session.fetch(
                statement("events/emit"), type_, data, environment_id, idempotency_key
            )
        except asyncpg.IntegrityConstraintViolationError as error:
            # Constraints are named by sentences, so that every producer reads one.
            named, hint = str(error.constraint_name or ""), error.hint
            said = named if " " in named else str(error.args[0])
            raise EventRefused(f"{said} ({hint})" if hint else said) from error
        name: str = rows[0][0]
        return name

    async def emit_operational(self, events: Sequence[tuple[str, str, str]]) -> None:
        """Events of the dispatcher's own, `(environment_id, type, data)` each, where anybody
        subscribed to them by name."""
        columns = [list(column) for column in zip(*events, strict=True)]
        await self._session.fetch(statement("events/emit_operational"), *columns)

    async def emit_directed(
        self, environment_id: str, type_: str, data: str, endpoint_id: UUID
    ) -> tuple[int, int]:
        """An event for one endpoint alone: the ids of the event and of its delivery to be."""
        rows = await self._session.fetch(
            statement("events/emit_directed"), environment_id, type_, data, endpoint_id
        )
        return rows[0]["event_id"], rows[0]["delivery_id"]
