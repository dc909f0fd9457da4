"""Emit events for producers without SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dispatcher.core import ids
from dispatcher.core.errors import ConflictError, InvalidError, Problem
from dispatcher.core.model import RawJson
from dispatcher.services.deliveries.history_resources import Event, new_event
from dispatcher.services.inputs.event_inputs import NewEvent
from dispatcher.services.public_ids import no_environment
from dispatcher.store.emission_queue import EmissionQueue
from dispatcher.store.errors import TransactionConflictError
from dispatcher.store.pool import PoolShare
from dispatcher.store.queries import events as stored
from dispatcher.store.queries.events import EmittedRows, NewEventRow
from dispatcher.store.queries.history import History
from dispatcher.store.session import Queryable


@dataclass(frozen=True, slots=True)
class EmittedEvent:
    """One event of an emitted batch.

    `repeated` is true if nothing was emitted, because an earlier event has the idempotency key.
    Then `id` is that of the earlier event.
    """

    id: str
    repeated: bool


class Events:
    """Emitting of events."""

    def __init__(self, session: Queryable, queue: EmissionQueue) -> None:
        self._session = session
        self._events = stored.Events(session)
        self._history = History(session)
        self._queue = queue

    async def emit(
        self, environment_id: str, form: NewEvent, data: RawJson, *, key: str | None = None
    ) -> str:
        """Emit an event and return its id. Call this in a transaction.

        `data` is the exact JSON text of the event's data, and `form.data` is not used. The
        same `key` again returns the same event. Raise ConflictError if the key was used with other
        content, and InvalidError if the database refuses the event.
        """
        try:
            name = await self._events.emit(
                form.type,
                data,
                environment_id=environment_id,
                idempotency_key=key,
                reference=form.reference,
            )
        except stored.UnknownEnvironmentError:
            raise no_environment(environment_id) from None
        except stored.EventRejectedError as error:
            raise InvalidError.field("data", str(error)) from None
        if key is not None:
            await self._check_same(
                name, environment_id, NewEventRow(form.type, data, key, form.reference)
            )
        return name

    async def emit_new(self, environment_id: str, row: NewEventRow) -> Event | None:
        """Emit an event and return it, in one statement. Return None if its key was used before.

        Raise InvalidError if the database refuses the event, and NotFoundError if there is no such
        environment.
        """
        try:
            emitted = await self._emit(environment_id, [row])
        except stored.EventRejectedError as error:
            raise InvalidError.field("data", str(error)) from None
        event_id = emitted.ids[0]
        if event_id is None:
            return None
        return new_event(event_id, environment_id, row, is_checked=row.type in emitted.enforced)

    async def emit_batch(
        self, environment_id: str, rows: Sequence[NewEventRow]
    ) -> tuple[EmittedEvent, ...]:
        """Emit events, all or none, in one statement. Return their ids in the same order.

        Raise InvalidError if the database refuses one, and NotFoundError if there is no such
        environment. Raise TransactionConflictError if an earlier event is deleted at the same time.
        """
        try:
            emitted = await self._emit(environment_id, rows)
        except stored.EventRejectedError as error:
            raise InvalidError(Problem((), str(error))) from None
        results = list(zip(rows, emitted.ids, emitted.earlier, strict=True))
        keys = {row.key or "" for row, id_, earlier in results if id_ is None and earlier is None}
        concurrent: Mapping[str, int] = {}
        if keys:
            concurrent = await self._events.of_keys(environment_id, keys)
        return tuple(
            _emitted_event(id_, concurrent.get(row.key or "") if earlier is None else earlier)
            for row, id_, earlier in results
        )

    async def _emit(self, environment_id: str, rows: Sequence[NewEventRow]) -> EmittedRows:
        """Insert the events: together with those of other requests, unless in a transaction."""
        try:
            if isinstance(self._session, PoolShare):
                return await self._queue.emit(self._session, environment_id, rows)
            return await self._events.emit_many(environment_id, rows)
        except stored.UnknownEnvironmentError:
            raise no_environment(environment_id) from None

    async def _check_same(self, name: str, environment_id: str, event: NewEventRow) -> None:
        """Raise ConflictError if the event with this id is another than the given one."""
        rows = await self._history.event_items(
            environment_id, [ids.parse(ids.EVENT_PREFIX, name)], ids.LARGEST_ID
        )
        contents = [(row["type"], row["data"], row["reference"]) for row in rows]
        if contents != [(event.type, event.data, event.reference)]:
            raise ConflictError(f"the Idempotency-Key was used for another event, {name}")


def _emitted_event(id_: int | None, earlier: int | None) -> EmittedEvent:
    """Return the event of a batch. `id_` is None if `earlier` has its idempotency key."""
    if id_ is not None:
        return EmittedEvent(ids.event_name(id_), repeated=False)
    if earlier is None:
        raise TransactionConflictError("the event with the same idempotency key was deleted")
    return EmittedEvent(ids.event_name(earlier), repeated=True)
