"""Keep the catalogue of an environment: its event types with description, example and schema.

A type that is not in the catalogue may be emitted as well. If a type's schema is enforced, its
events pass the schema check before they are sent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal

from dispatcher.config.sections import Limits
from dispatcher.core import event_patterns
from dispatcher.core.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    Problem,
)
from dispatcher.core.model import RawJson
from dispatcher.core.pagination import PageBounds, fill_page
from dispatcher.schema_validation.checks import SchemaChecks
from dispatcher.services.audit_log import Actor, Journal
from dispatcher.services.inputs.event_types import EventTypeEntry, EventTypePut, text
from dispatcher.store import event_types as stored_types
from dispatcher.store.pool import Opening
from dispatcher.store.session import Queryable

OUTLINED: Final = 1000
"""Types on one page of the dashboard."""
AT_ONCE: Final = 20
"""Types that are read in one step. Each may have texts of 128 KiB."""
ROW_BYTES: Final = 200
"""Approximate bytes that field names, times and the like take in a response."""
TRIES: Final = 4
"""How often a change is retried if others changed the same types during its check."""

Change = Literal["added", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class EventType:
    """An event type of a catalogue. `example` and `schema` are JSON."""

    name: str
    description: str
    example: RawJson | None
    schema: RawJson | None
    enforce: bool
    created_at: datetime
    updated_at: datetime


class EventTypes:
    """The catalogue of event types.

    The methods raise NotFoundError for a type that is not in the environment, StoreUnavailableError and
    StatementTimeoutError. Call `delete` in a transaction.
    """

    def __init__(self, session: Queryable, actor: Actor) -> None:
        self._stored = stored_types.EventTypes(session)
        self._journal = Journal(session, actor)

    async def list(self, environment_id: str) -> tuple[EventType, ...]:
        """Return at most `OUTLINED` types by name, for a page without examples and schemas.

        `schema` is `true` if the type has one.
        """
        rows = await self._stored.outline(environment_id, OUTLINED)
        return tuple(_event_type(row) for row in rows)

    async def page(
        self, environment_id: str, *, after: str = "", limit: int, most_bytes: int
    ) -> tuple[tuple[EventType, ...], str | None]:
        """Return types whose names come after `after`, by name, and where the next page begins.

        The second value is None if there are no more types. A page has at most `limit` types, and
        not much more than `most_bytes` bytes of their texts.
        """
        types, more = await fill_page(
            partial(self._stored.list, environment_id),
            after,
            PageBounds(limit, most_bytes, AT_ONCE),
            key=lambda row: str(row["name"]),
            size=_size,
            make=_event_type,
        )
        return tuple(types), types[-1].name if more else None

    async def get(self, environment_id: str, name: str) -> EventType:
        """Return one type. Raise NotFoundError if there is none."""
        row = await self._stored.get(environment_id, name) if event_patterns.is_type(name) else None
        if row is None:
            raise _unknown(name)
        return _event_type(row)

    async def sample(self, environment_id: str, type: str) -> RawJson | None:
        """Return the example of a type, or None if the catalogue has none."""
        row = await self._stored.get(environment_id, type)
        return None if row is None else row["example"]

    async def delete(self, environment_id: str, name: str) -> None:
        """Delete a type. Its events are sent as before, without a schema check.

        Raise NotFoundError if there is no such type.
        """
        if not (event_patterns.is_type(name) and await self._stored.delete(environment_id, name)):
            raise _unknown(name)
        await self._journal.note("event_type.delete", name, environment_id)


@dataclass(frozen=True, slots=True)
class _Change:
    """A type as it was read, and as it is to be written. `before` is None for a new type."""

    name: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]

    @property
    def is_one(self) -> bool:
        """Return True if the type is new or changed."""
        return self.before != self.after


class EventTypeWriter:
    """A writer of catalogues. It opens its own transactions.

    It checks a schema before the transaction, because a check may take seconds, and a transaction
    holds a connection and locks. The transaction then verifies that the type has not changed since
    it was read. `most` is how many types an environment may have.

    The methods raise InvalidError; NotFoundError for an environment; ConflictError if the catalogue is full or
    others keep changing the same type; SchemaChecksBusyError and SandboxUnavailableError;
    StoreUnavailableError and StatementTimeoutError.
    """

    def __init__(
        self, pool: Opening, actor: Actor, checks: SchemaChecks, *, most: int = Limits().event_types
    ) -> None:
        self._pool = pool
        self._actor = actor
        self._checks = checks
        self._most = most

    async def put(
        self, environment_id: str, name: str, form: EventTypePut
    ) -> tuple[EventType, bool]:
        """Create or change a type. Return it, and True if it is new.

        Fields that the form does not mention stay as they are.
        """
        _check_name(name)
        made, changes = await self._write(environment_id, {name: form}, lambda error, _: error)
        return made[name], changes[name] == "added"

    async def load(
        self, environment_id: str, entries: Sequence[EventTypeEntry]
    ) -> Mapping[str, Change]:
        """Write all of the entries or none. Return what happened to each, by name.

        Problems have their place in the whole list: `("event_types", 3, "schema")`.
        """
        forms: dict[str, EventTypePut] = {}
        for number, entry in enumerate(entries):
            if entry.name in forms:
                problem = Problem(("event_types", number, "name"), f"{entry.name} comes twice")
                raise InvalidError(problem)
            forms[entry.name] = entry
        numbers = {name: number for number, name in enumerate(forms)}
        _, changes = await self._write(
            environment_id,
            forms,
            lambda error, name: _within(error, "event_types", numbers[name]),
        )
        return changes

    async def _write(
        self,
        environment_id: str,
        forms: Mapping[str, EventTypePut],
        placed: Callable[[InvalidError, str], InvalidError],
    ) -> tuple[dict[str, EventType], dict[str, Change]]:
        """Write all `forms`, by name. `placed` adds to a problem where in the request it is."""
        for _ in range(TRIES):
            rows = await stored_types.EventTypes(self._pool).named(environment_id, list(forms))
            wanted = [_change(name, rows.get(name), form) for name, form in forms.items()]
            for change in wanted:
                try:
                    await self._check(environment_id, change)
                except InvalidError as error:
                    raise placed(error, change.name) from None
            async with self._pool.transaction() as opened:
                if await self._is_still(opened, environment_id, wanted):
                    return await self._put(opened, environment_id, wanted)
        raise ConflictError("others keep changing the same event types: try again")

    async def _is_still(
        self, session: Queryable, environment_id: str, wanted: Sequence[_Change]
    ) -> bool:
        """Lock the catalogue. Return True if the types are still as they were read."""
        stored = stored_types.EventTypes(session)
        if not await stored.lock(environment_id):
            raise NotFoundError(f"there is no environment {environment_id!r}")
        rows = await stored.named(environment_id, [change.name for change in wanted])
        return all(_columns_of(rows.get(change.name)) == change.before for change in wanted)

    async def _put(
        self, session: Queryable, environment_id: str, wanted: Sequence[_Change]
    ) -> tuple[dict[str, EventType], dict[str, Change]]:
        stored = stored_types.EventTypes(session)
        await self._has_room(stored, environment_id, wanted)
        made: dict[str, EventType] = {}
        changes: dict[str, Change] = {}
        rows = await stored.named(environment_id, [c.name for c in wanted if not c.is_one])
        for change in wanted:
            row = rows.get(change.name)
            if row is None:
                row = await stored.put(environment_id, change.name, **change.after)
                await self._note(session, environment_id, change)
            made[change.name] = _event_type(row)
            new: Change = "added" if change.before is None else "changed"
            changes[change.name] = new if change.is_one else "unchanged"
        return made, changes

    async def _has_room(
        self, stored: stored_types.EventTypes, environment_id: str, wanted: Sequence[_Change]
    ) -> None:
        new = sum(change.before is None for change in wanted)
        if new and await stored.count(environment_id) + new > self._most:
            raise ConflictError(
                f"an environment has at most {self._most} event types (limits.event_types):"
                " delete some first"
            )

    async def _note(self, session: Queryable, environment_id: str, change: _Change) -> None:
        before = change.before or NEW
        await Journal(session, self._actor).note(
            "event_type.create" if change.before is None else "event_type.update",
            change.name,
            environment_id,
            changed=[key for key, value in change.after.items() if value != before[key]],
            enforce=change.after["enforce"],
        )

    async def _check(self, environment_id: str, change: _Change) -> None:
        schema, example = change.after["schema"], change.after["example"]
        before = change.before or NEW
        _check_enforcing(change)
        if schema is None or (schema, example) == (before["schema"], before["example"]):
            return
        refusal = await self._checks.judge(environment_id, schema, example)
        if refusal is None:
            return
        if refusal.reason in ("schema_unusable", "too_costly"):
            raise InvalidError.field("schema", refusal.detail)
        raise InvalidError.field("example", f"does not satisfy the schema: {refusal.detail}")


NEW: Final[Mapping[str, Any]] = {
    "description": "",
    "example": None,
    "schema": None,
    "enforce": False,
}


def _columns_of(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the editable columns of a type, or None if there is none."""
    return None if row is None else {key: row[key] for key in NEW}


def _change(name: str, row: Mapping[str, Any] | None, form: EventTypePut) -> _Change:
    before = _columns_of(row)
    return _Change(name, before, _merged(before or NEW, form))


def _check_enforcing(change: _Change) -> None:
    if not change.after["enforce"]:
        return
    if change.after["schema"] is None:
        raise InvalidError.field("enforce", "there is no schema to enforce")
    if event_patterns.is_reserved(change.name):
        raise InvalidError.field(
            "enforce", f"{change.name} is the dispatcher's own: its events are not examined"
        )


def _merged(before: Mapping[str, Any], form: EventTypePut) -> dict[str, Any]:
    given = form.given()
    if "schema_" in given:
        given["schema"] = given.pop("schema_")
    for key in ("example", "schema"):
        if given.get(key) is not None:
            given[key] = text(given[key])
    return {key: given.get(key, before[key]) for key in NEW}


def _size(row: Mapping[str, Any]) -> int:
    """Return approximately how many bytes a type takes in a response."""
    texts = (row["name"], row["description"], row["example"], row["schema"])
    return sum(len(each or "") for each in texts) + ROW_BYTES


def _check_name(name: str) -> None:
    try:
        event_patterns.parse_type(name)
    except ValueError as error:
        raise InvalidError.field("name", str(error)) from None


def _within(error: InvalidError, *place: str | int) -> InvalidError:
    return InvalidError(*(Problem((*place, *p.place), p.reason) for p in error.problems))


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"there is no event type {name!r} in the catalogue")


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
