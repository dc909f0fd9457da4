"""The catalogue: what an environment's event types mean, look like, and must look like.

A type need not be in it to be emitted. One whose schema is enforced is examined before it is sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from dispatcher import patterns
from dispatcher.audit import Actor, Journal
from dispatcher.forms.event_types import EventTypeEntry, EventTypePut, text
from dispatcher.model import RawJson
from dispatcher.refusals import Conflict, Invalid, Problem, Unknown
from dispatcher.sandbox import Sandbox
from dispatcher.store.event_types import EventTypes
from dispatcher.store.session import Asked

MOST: Final = 1000
"""Types of one environment: a listing holds them all."""

Change = Literal["added", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class EventType:
    name: str
    description: str
    example: RawJson | None
    schema: RawJson | None
    enforce: bool
    created_at: datetime
    updated_at: datetime


class Catalogue:
    """Raises Unknown for what is not in this environment; StoreUnavailable and StatementTimeout.

    What changes something runs in a transaction of the caller's.
    """

    def __init__(self, session: Asked, actor: Actor) -> None:
        self._stored = EventTypes(session)
        self._journal = Journal(session, actor)

    async def list(self, environment_id: str) -> tuple[EventType, ...]:
        """All of them, by name."""
        rows = await self._stored.list(environment_id, MOST)
        return tuple(_event_type(row) for row in rows)

    async def get(self, environment_id: str, name: str) -> EventType:
        row = await self._stored.get(environment_id, name) if patterns.TYPE.match(name) else None
        if row is None:
            raise _unknown(name)
        return _event_type(row)

    async def sample(self, environment_id: str, type: str) -> RawJson | None:
        """The example of a type, if the catalogue has one."""
        row = await self._stored.get(environment_id, type)
        return None if row is None else row["example"]

    async def put(
        self, environment_id: str, name: str, form: EventTypePut
    ) -> tuple[EventType, bool]:
        """The type as it is now, and whether it is new. What the form does not mention stays.

        Raises Invalid, and Conflict where the catalogue is full.
        """
        _check_name(name)
        await self._lock(environment_id)
        async with Sandbox() as sandbox:
            made, change = await self._put(environment_id, name, form, sandbox)
        return made, change == "added"

    async def delete(self, environment_id: str, name: str) -> None:
        """Its events are sent as before, and not examined any more."""
        if not (patterns.TYPE.match(name) and await self._stored.delete(environment_id, name)):
            raise _unknown(name)
        await self._journal.note("event_type.delete", name, environment_id)

    async def load(
        self, environment_id: str, entries: Sequence[EventTypeEntry]
    ) -> Mapping[str, Change]:
        """Put each; what happened to it by name. Raises as `put` does: then undo the transaction.

        Problems are placed in the whole: `("event_types", 3, "schema")`.
        """
        await self._lock(environment_id)
        changes: dict[str, Change] = {}
        async with Sandbox() as sandbox:
            for number, entry in enumerate(entries):
                if entry.name in changes:
                    problem = Problem(("event_types", number, "name"), f"{entry.name} comes twice")
                    raise Invalid(problem)
                try:
                    _, change = await self._put(environment_id, entry.name, entry, sandbox)
                except Invalid as error:
                    raise _within(error, "event_types", number) from None
                changes[entry.name] = change
        return changes

    async def _lock(self, environment_id: str) -> None:
        if not await self._stored.lock(environment_id):
            raise Unknown(f"there is no environment {environment_id!r}")

    async def _put(
        self, environment_id: str, name: str, form: EventTypePut, sandbox: Sandbox
    ) -> tuple[EventType, Change]:
        row = await self._stored.get(environment_id, name)
        before = None if row is None else _columns(row)
        columns = _merged(before or NEW, form)
        if row is not None and columns == before:
            return _event_type(row), "unchanged"
        await self._check(name, columns, before or NEW, sandbox)
        if before is None and await self._stored.count(environment_id) >= MOST:
            raise Conflict(f"the catalogue is full: it has {MOST} event types")
        made = _event_type(await self._stored.put(environment_id, name, **columns))
        await self._journal.note(
            "event_type.create" if before is None else "event_type.update",
            name,
            environment_id,
            changed=[key for key, value in columns.items() if value != (before or NEW)[key]],
            enforce=made.enforce,
        )
        return made, "added" if before is None else "changed"

    async def _check(
        self, name: str, columns: Mapping[str, Any], before: Mapping[str, Any], sandbox: Sandbox
    ) -> None:
        schema, example = columns["schema"], columns["example"]
        if columns["enforce"] and schema is None:
            raise Invalid.field("enforce", "there is no schema to enforce")
        if columns["enforce"] and patterns.is_reserved(name):
            raise Invalid.field(
                "enforce", f"{name} is the dispatcher's own: its events are not examined"
            )
        if schema is None or (schema, example) == (before["schema"], before["example"]):
            return
        refusal = await sandbox.judge(schema)
        if refusal is not None:
            raise Invalid.field("schema", refusal.detail)
        refusal = None if example is None else await sandbox.judge(schema, example)
        if refusal is not None:
            raise Invalid.field("example", f"does not satisfy the schema: {refusal.detail}")


NEW: Final[Mapping[str, Any]] = {
    "description": "",
    "example": None,
    "schema": None,
    "enforce": False,
}


def _columns(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in NEW}


def _merged(before: Mapping[str, Any], form: EventTypePut) -> dict[str, Any]:
    given = form.given()
    if "schema_" in given:
        given["schema"] = given.pop("schema_")
    for key in ("example", "schema"):
        if given.get(key) is not None:
            given[key] = text(given[key])
    return {key: given.get(key, before[key]) for key in NEW}


def _check_name(name: str) -> None:
    try:
        patterns.parse_type(name)
    except ValueError as error:
        raise Invalid.field("name", str(error)) from None


def _within(error: Invalid, *place: str | int) -> Invalid:
    return Invalid(*(Problem((*place, *p.place), p.reason) for p in error.problems))


def _unknown(name: str) -> Unknown:
    return Unknown(f"there is no event type {name!r} in the catalogue")


def _event_type(row: Mapping[str, Any]) -> EventType:
    return EventType(
        name=row["name"],
        description=row["description"],
        example=row["example"],
        schema=row["schema"],
        enforce=row["enforce"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
