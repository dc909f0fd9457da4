"""Emit events for producers without SQL."""

from dispatcher.core import ids
from dispatcher.core.errors import ConflictError, InvalidError
from dispatcher.core.model import RawJson
from dispatcher.services.audit_log import Actor, Journal
from dispatcher.services.inputs.event_inputs import NewEvent
from dispatcher.store import events as stored
from dispatcher.store.session import Queryable


class Events:
    """Emitting of events. Call the methods within a transaction."""

    def __init__(self, session: Queryable, actor: Actor) -> None:
        self._events = stored.Events(session)
        self._journal = Journal(session, actor)

    async def emit(
        self, environment_id: str, form: NewEvent, data: RawJson, *, key: str | None = None
    ) -> str:
        """Emit an event and return its id.

        `data` is the exact JSON text of the event's data, because the form's is already parsed. The
        same `key` again returns the same event. Raise ConflictError if the key was used with other
        content, and InvalidError if the database refuses the event.
        """
        try:
            name = await self._events.emit(
                form.type, data, environment_id=environment_id, idempotency_key=key
            )
        except stored.EventRejectedError as error:
            raise InvalidError.field("data", str(error)) from None
        if key is not None:
            await self._same(name, form.type, data)
        return name

    async def _same(self, name: str, type_: str, data: RawJson) -> None:
        rows = await self._events.with_ids([ids.parse("evt", name)])
        if not rows or (rows[0]["type"], rows[0]["data"]) != (type_, data):
            raise ConflictError(f"the Idempotency-Key was used for another event, {name}")
