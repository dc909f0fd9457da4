"""Write event types into the catalogue of an environment, after a schema check."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal

from dispatcher.config.sections import Limits
from dispatcher.core import event_patterns
from dispatcher.core.errors import ChangedError, ConflictError, InvalidError, Problem
from dispatcher.schema_validation.checks import SchemaChecks
from dispatcher.services.audit import audit_changes
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.services.event_types.event_type_changes import NEW, EventTypeChange, columns_of
from dispatcher.services.event_types.event_type_resource import NO_TYPE, EventType, type_revision
from dispatcher.services.inputs.event_type_inputs import EventTypeEntry, EventTypePut
from dispatcher.services.public_ids import no_environment
from dispatcher.store.pool import Opening
from dispatcher.store.queries import event_types as stored
from dispatcher.store.session import Queryable

TRIES: Final = 4
"""How often a change is tried in all, if others change the same types during its check."""

Change = Literal["added", "changed", "unchanged"]


class EventTypeWriter:
    """A writer of catalogues. It opens its own transactions.

    It checks a schema before the transaction, because a check may take seconds, and a transaction
    holds a connection and locks. The transaction then verifies that the type has not changed since
    it was read. `limit` is how many types an environment may have.

    The methods raise InvalidError; NotFoundError for an environment; ConflictError if the catalogue
    is full or others keep changing the same type; SchemaChecksBusyError and
    SandboxUnavailableError; StoreError and StatementTimeoutError.
    """

    def __init__(
        self,
        pool: Opening,
        actor: Actor,
        checks: SchemaChecks,
        *,
        limit: int = Limits().event_types,
    ) -> None:
        self._pool = pool
        self._actor = actor
        self._checks = checks
        self._limit = limit

    async def put(
        self, environment_id: str, name: str, form: EventTypePut, *, revision: int | None = None
    ) -> tuple[EventType, bool]:
        """Create or change a type. Return it, and True if it is new.

        Fields that the form does not mention stay as they are. Raise ChangedError if `revision` is
        given and no longer current; NO_TYPE is that of a type that does not exist.
        """
        _check_name(name)
        made, changes = await self._write(
            environment_id, {name: form}, lambda error, _: error, revision
        )
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
        revision: int | None = None,
    ) -> tuple[dict[str, EventType], dict[str, Change]]:
        """Write all `forms`, by name. `placed` adds to a problem where in the request it is.

        Raise ChangedError if a `revision` is given that is not the current one of each type.
        """
        for _ in range(TRIES):
            rows = await stored.EventTypes(self._pool).named(environment_id, list(forms))
            # Without this, a form that is out of date could be refused for what others changed.
            _check_revision(rows, forms, revision)
            planned = [
                EventTypeChange.of(name, rows.get(name), form) for name, form in forms.items()
            ]
            for change in planned:
                try:
                    await self._check(environment_id, change)
                except InvalidError as error:
                    raise placed(error, change.name) from None
            async with self._pool.transaction() as opened:
                if await self._lock_unchanged(opened, environment_id, planned, revision):
                    return await self._put(opened, environment_id, planned)
        raise ConflictError("Other requests keep changing the same event types. Try again.")

    async def _lock_unchanged(
        self,
        session: Queryable,
        environment_id: str,
        planned: Sequence[EventTypeChange],
        revision: int | None,
    ) -> bool:
        """Lock the catalogue. Return True if the types are still as they were read.

        Raise ChangedError if a `revision` is given and no longer current.
        """
        table = stored.EventTypes(session)
        if not await table.lock(environment_id):
            raise no_environment(environment_id)
        names = [change.name for change in planned]
        rows = await table.named(environment_id, names)
        _check_revision(rows, names, revision)
        return all(columns_of(rows.get(change.name)) == change.before for change in planned)

    async def _put(
        self, session: Queryable, environment_id: str, planned: Sequence[EventTypeChange]
    ) -> tuple[dict[str, EventType], dict[str, Change]]:
        table = stored.EventTypes(session)
        await self._check_room(table, environment_id, planned)
        made: dict[str, EventType] = {}
        changes: dict[str, Change] = {}
        rows = await table.named(environment_id, [c.name for c in planned if not c.is_needed])
        for change in planned:
            row = rows.get(change.name)
            if row is None:
                row = await table.put(environment_id, change.name, **change.after)
                await self._note(session, environment_id, change)
            made[change.name] = EventType.from_row(row)
            new: Change = "added" if change.before is None else "changed"
            changes[change.name] = new if change.is_needed else "unchanged"
        return made, changes

    async def _check_room(
        self, table: stored.EventTypes, environment_id: str, planned: Sequence[EventTypeChange]
    ) -> None:
        new = sum(change.before is None for change in planned)
        if new and await table.count(environment_id) + new > self._limit:
            raise ConflictError(
                f"The environment would have more than {self._limit} event types, the most that"
                " limits.event_types allows. Delete some first."
            )

    async def _note(self, session: Queryable, environment_id: str, change: EventTypeChange) -> None:
        before = change.before or NEW
        await Journal(session, self._actor).note(
            "event_type.create" if change.before is None else "event_type.update",
            change.name,
            environment_id,
            **audit_changes.detail(
                [key for key, value in change.after.items() if value != before[key]],
                {"enforce": before["enforce"]},
                {"enforce": change.after["enforce"]},
            )
            | {"enforce": change.after["enforce"]},
        )

    async def _check(self, environment_id: str, change: EventTypeChange) -> None:
        schema, example = change.after["schema"], change.after["example"]
        before = change.before or NEW
        change.check_enforcing()
        if schema is None or (schema, example) == (before["schema"], before["example"]):
            return
        rejection = await self._checks.validate(environment_id, schema, example)
        if rejection is None:
            return
        if rejection.reason in ("schema_unusable", "too_expensive"):
            raise InvalidError.field("schema", rejection.detail)
        raise InvalidError.field("example", f"does not satisfy the schema: {rejection.detail}")


def _check_revision(
    rows: Mapping[str, stored.EventTypeRow], names: Iterable[str], expected: int | None
) -> None:
    """Raise ChangedError if a revision is expected and that of a type differs."""
    if expected is None:
        return
    for name in names:
        row = rows.get(name)
        if expected != (NO_TYPE if row is None else type_revision(row["updated_at"])):
            raise ChangedError(
                f"The event type {name} was changed since you read it. Read it again, then change"
                " it."
            )


def _check_name(name: str) -> None:
    try:
        event_patterns.parse_type(name)
    except ValueError as error:
        raise InvalidError.field("name", str(error)) from None


def _within(error: InvalidError, *place: str | int) -> InvalidError:
    return InvalidError(*(Problem((*place, *p.place), p.reason) for p in error.problems))
