"""What people do to the catalogue, and what they are told when it cannot be."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from dispatcher.core.errors import (
    ChangedError,
    ConflictError,
    InvalidError,
    NotFoundError,
    Problem,
)
from dispatcher.schema_validation.checks import SchemaChecks
from dispatcher.services import shipped_catalogs
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.event_types import event_type_writer as module
from dispatcher.services.event_types.event_type_resource import NO_TYPE, EventType, type_revision
from dispatcher.services.event_types.event_type_writer import EventTypeWriter
from dispatcher.services.event_types.event_types import EventTypes
from dispatcher.services.inputs.base import problems
from dispatcher.services.inputs.event_type_inputs import EventTypeEntry, EventTypePut
from dispatcher.store.pool import Pool
from tests.conftest import Connection
from tests.services.conftest import ACTOR
from tests.store import rows

ENV = "env_default"
OBJECT = {"type": "object", "required": ["id"]}


class Changes:
    """Each in a transaction of its own."""

    def __init__(self, pool: Pool, checks: SchemaChecks) -> None:
        self._pool = pool
        self._checks = checks
        self.most = 1000

    @property
    def _writer(self) -> EventTypeWriter:
        return EventTypeWriter(self._pool, ACTOR, self._checks, limit=self.most)

    async def put(
        self, name: str, environment: str = ENV, *, revision: int | None = None, **fields: Any
    ) -> tuple[EventType, bool]:
        form = EventTypePut.model_validate(fields)
        return await self._writer.put(environment, name, form, revision=revision)

    async def delete(self, name: str, environment: str = ENV) -> None:
        async with self._pool.transaction() as opened:
            await EventTypes(opened, ACTOR).delete(environment, name)

    async def load(self, *entries: dict[str, Any]) -> dict[str, str]:
        forms = [EventTypeEntry.model_validate(entry) for entry in entries]
        return dict(await self._writer.load(ENV, forms))


@pytest.fixture
async def checks() -> AsyncIterator[SchemaChecks]:
    opened = SchemaChecks()
    yield opened
    await opened.close()


@pytest.fixture
def changes(pool: Pool, checks: SchemaChecks) -> Changes:
    return Changes(pool, checks)


@pytest.fixture
def catalogue(pool: Pool, actor: Actor) -> EventTypes:
    """To read from."""
    return EventTypes(pool, actor)


async def audited(connection: Connection) -> list[tuple[str, str, dict[str, Any]]]:
    entries = await connection.fetch("SELECT * FROM dispatcher.audit ORDER BY id")
    return [(row["action"], row["subject"], json.loads(row["detail"])) for row in entries]


# ── putting ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_type_is_created_with_its_fields(changes: Changes, catalogue: EventTypes) -> None:
    made, created = await changes.put(
        "user.created", description="A user", example={"id": "usr_é"}, schema=OBJECT, enforce=True
    )
    assert created
    assert made == await catalogue.get(ENV, "user.created")
    assert (made.name, made.description, made.enforce) == ("user.created", "A user", True)
    assert made.example == '{"id":"usr_é"}'
    assert made.schema == '{"type":"object","required":["id"]}'


async def test_omitted_fields_stay_and_null_removes_a_field(changes: Changes) -> None:
    await changes.put("a.b", description="d", example=[1], schema=OBJECT | {"type": "array"})
    kept, created = await changes.put("a.b", description="e")
    assert not created
    assert (kept.description, kept.example) == ("e", "[1]")
    bare, _ = await changes.put("a.b", example=None, schema=None)
    assert (bare.description, bare.example, bare.schema) == ("e", None, None)


async def test_a_type_without_fields_can_be_in_the_catalogue(changes: Changes) -> None:
    made, created = await changes.put("a.b")
    assert created
    assert (made.description, made.example, made.schema, made.enforce) == ("", None, None, False)


async def test_a_change_without_a_difference_is_not_recorded(
    changes: Changes, connection: Connection
) -> None:
    made, _ = await changes.put("a.b", schema=OBJECT, example={"id": 1})
    again, created = await changes.put("a.b", schema=OBJECT, example={"id": 1})
    assert (again, created) == (made, False)
    assert len(await audited(connection)) == 1


async def test_changes_are_on_record_without_the_texts(
    changes: Changes, connection: Connection
) -> None:
    await changes.put("a.b", schema=OBJECT)
    await changes.put("a.b", enforce=True, description="hunter2")
    await changes.delete("a.b")
    assert await audited(connection) == [
        ("event_type.create", "a.b", {"changed": ["schema"], "enforce": False}),
        (
            "event_type.update",
            "a.b",
            {
                "changed": ["description", "enforce"],
                "enforce": True,
                "before": {"enforce": False},
            },
        ),
        ("event_type.delete", "a.b", {}),
    ]
    row = await connection.fetchrow("SELECT * FROM dispatcher.audit LIMIT 1")
    assert row is not None
    assert (row["environment_id"], row["actor"]) == (ENV, ACTOR.name)


@pytest.mark.parametrize(
    ("name", "fields", "place", "reason"),
    [
        ("a..b", {}, "name", "is not an event type"),
        ("a.b", {"enforce": True}, "enforce", "no schema"),
        ("a.b", {"schema": {"type": "objekt"}}, "schema", "schema.type"),
        ("a.b", {"schema": {"$ref": "http://127.0.0.1:1/x"}}, "schema", "only references within"),
        ("a.b", {"schema": OBJECT, "example": {}}, "example", 'data: "id" is a required'),
        ("webhook.test", {"schema": True, "enforce": True}, "enforce", "the dispatcher's own"),
        ("endpoint.disabled", {"schema": True, "enforce": True}, "enforce", "dispatcher's own"),
    ],
)
async def test_an_invalid_input_is_refused_with_place_and_reason(
    changes: Changes,
    connection: Connection,
    name: str,
    fields: dict[str, Any],
    place: str,
    reason: str,
) -> None:
    with pytest.raises(InvalidError) as refused:
        await changes.put(name, **fields)
    [problem] = refused.value.problems
    assert problem.place == (place,)
    assert reason in problem.reason
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.event_types") == 0
    assert await audited(connection) == []


async def test_the_dispatchers_own_types_can_be_described(changes: Changes) -> None:
    made, _ = await changes.put("delivery.exhausted", description="d", schema=True, example=1)
    assert (made.schema, made.enforce) == ("true", False)


async def test_an_example_must_satisfy_the_schema_whichever_came_first(changes: Changes) -> None:
    await changes.put("a.b", example={})
    with pytest.raises(InvalidError, match="example"):
        await changes.put("a.b", schema=OBJECT)
    await changes.put("a.b", example={"id": 1}, schema=OBJECT)
    with pytest.raises(InvalidError, match="example"):
        await changes.put("a.b", example=[1], schema={"type": "object"})


async def test_an_enforced_schema_is_not_taken_away(changes: Changes) -> None:
    await changes.put("a.b", schema=OBJECT, enforce=True)
    with pytest.raises(InvalidError, match="no schema to enforce"):
        await changes.put("a.b", schema=None)
    bare, _ = await changes.put("a.b", schema=None, enforce=False)
    assert bare.schema is None


async def test_a_change_with_an_outdated_revision_is_refused(
    changes: Changes, connection: Connection
) -> None:
    with pytest.raises(ChangedError):
        await changes.put("a.b", revision=1)
    made, _ = await changes.put("a.b", description="d", revision=NO_TYPE)
    theirs, _ = await changes.put(
        "a.b", schema=OBJECT, enforce=True, revision=type_revision(made.updated_at)
    )
    for revision in (NO_TYPE, type_revision(made.updated_at)):
        with pytest.raises(ChangedError, match=r"a\.b was changed since you read it"):
            await changes.put("a.b", schema=None, revision=revision)
    assert len(await audited(connection)) == 2
    again, _ = await changes.put("a.b", description="e", revision=type_revision(theirs.updated_at))
    assert (again.description, again.enforce) == ("e", True)


async def test_a_revision_is_checked_under_the_lock(
    changes: Changes, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that is undone again before the lock leaves the texts as they were read."""
    made, _ = await changes.put("a.b", description="d")
    check = EventTypeWriter._check

    async def others_first(writer: EventTypeWriter, environment: str, change: Any) -> None:
        await connection.execute("UPDATE dispatcher.event_types SET updated_at = now()")
        await check(writer, environment, change)

    monkeypatch.setattr(EventTypeWriter, "_check", others_first)
    with pytest.raises(ChangedError):
        await changes.put("a.b", description="e", revision=type_revision(made.updated_at))


async def test_each_change_has_a_revision_of_its_own_although_the_clock_was_set_back(
    changes: Changes, connection: Connection
) -> None:
    await changes.put("a.b")
    await connection.execute(
        "UPDATE dispatcher.event_types SET updated_at = now() + interval '1 hour'"
    )
    made = [(await changes.put("a.b", description=text))[0].updated_at for text in "abc"]
    assert made == sorted(set(made))


async def test_a_full_catalogue_takes_changes_and_no_more_types(changes: Changes) -> None:
    changes.most = 2
    await changes.put("a.b")
    await changes.put("a.c")
    await changes.put("a.b", description="d")
    with pytest.raises(ConflictError):
        await changes.put("a.d")


# ── environments ─────────────────────────────────────────────────────────────────────────────────


async def test_another_environments_types_are_unknown(
    changes: Changes, catalogue: EventTypes, connection: Connection
) -> None:
    await rows.environment(connection, "env_x")
    await changes.put("a.b", description="x", environment="env_x")
    with pytest.raises(NotFoundError):
        await catalogue.get(ENV, "a.b")
    with pytest.raises(NotFoundError):
        await changes.delete("a.b")
    await changes.put("a.b", description="default")
    assert [event_type.description for event_type in await catalogue.list("env_x")] == ["x"]
    with pytest.raises(NotFoundError):
        await changes.put("a.b", environment="env_y")


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "a b", "a" * 129, "a\n"])
async def test_an_invalid_id_is_unknown(changes: Changes, catalogue: EventTypes, name: str) -> None:
    with pytest.raises(NotFoundError):
        await catalogue.get(ENV, name)
    with pytest.raises(NotFoundError):
        await changes.delete(name)
    with pytest.raises(InvalidError, match="name"):
        await changes.put(name)


async def test_the_sample_of_a_type_is_its_example(changes: Changes, catalogue: EventTypes) -> None:
    await changes.put("webhook.test", example={"hello": 1.5})
    await changes.put("a.b")
    assert await catalogue.sample(ENV, "webhook.test") == '{"hello":1.5}'
    assert await catalogue.sample(ENV, "a.b") is None
    assert await catalogue.sample(ENV, "a.c") is None
    assert await catalogue.sample("env_x", "webhook.test") is None


# ── forms ────────────────────────────────────────────────────────────────────────────────────────


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (f'{{"description":"{"x" * 1001}"}}', "description"),
        ('{"description":null}', "description"),
        ('{"enforce":1}', "enforce"),
        ('{"example":1e400}', "example"),
        ('{"example":NaN}', "example"),
        (f'{{"example":{nested(65)}}}', "example"),
        (f'{{"example":"{"x" * 65_535}"}}', "example"),
        ('{"schema":[1]}', "schema"),
        ('{"schema":"{}"}', "schema"),
        (f'{{"schema":{{"default":{nested(64)}}}}}', "schema"),
        (f'{{"schema":{{"title":"{"é" * 32_768}"}}}}', "schema"),
        ('{"schema_":{}}', "schema_"),
        ('{"name":"a.b"}', "name"),
    ],
)
def test_a_form_reports_problems_by_public_names(body: str, place: str) -> None:
    with pytest.raises(ValidationError) as refused:
        EventTypePut.model_validate_json(body)
    assert {problem.place[0] for problem in problems(refused.value).problems} == {place}


@pytest.mark.parametrize(
    "body",
    [
        f'{{"example":{nested(64)}}}',
        f'{{"example":"{"x" * 65_534}"}}',
        '{"schema":true}',
        '{"schema":null,"example":null}',
        '{"example":123456789012345678901234567890}',
    ],
)
def test_a_form_accepts_valid_credentials(body: str) -> None:
    EventTypePut.model_validate_json(body)


def test_the_published_schema_has_a_property_named_schema() -> None:
    assert set(EventTypePut.model_json_schema()["properties"]) == {
        "description",
        "example",
        "schema",
        "enforce",
    }


# ── loading ──────────────────────────────────────────────────────────────────────────────────────


async def test_loading_reports_added_changed_and_unchanged_types(
    changes: Changes, catalogue: EventTypes
) -> None:
    await changes.put("a.b", description="mine")
    await changes.put("a.c", description="c")
    await changes.put("a.x")
    entries = ({"name": "a.b", "description": "b"}, {"name": "a.c"}, {"name": "a.d"})
    assert await changes.load(*entries) == {"a.b": "changed", "a.c": "unchanged", "a.d": "added"}
    assert set((await changes.load(*entries)).values()) == {"unchanged"}
    assert [event_type.name for event_type in await catalogue.list(ENV)] == [
        "a.b",
        "a.c",
        "a.d",
        "a.x",
    ]


@pytest.mark.parametrize(
    ("last", "place"),
    [
        ({"name": "a.c", "schema": {"type": "x"}}, ("event_types", 1, "schema")),
        ({"name": "a.b"}, ("event_types", 1, "name")),
    ],
)
async def test_loading_is_all_or_nothing(
    changes: Changes, catalogue: EventTypes, last: dict[str, Any], place: tuple[str | int, ...]
) -> None:
    with pytest.raises(InvalidError) as refused:
        await changes.load({"name": "a.b"}, last)
    assert [problem.place for problem in refused.value.problems] == [place]
    assert await catalogue.list(ENV) == ()


def test_the_shipped_catalogue_describes_each_type_and_shows_an_example() -> None:
    assert shipped_catalogs.shipped() == ["paylent"]
    entries = shipped_catalogs.open_shipped("paylent")
    assert len({entry.name for entry in entries}) == len(entries) == 18
    assert "webhook.test" in {entry.name for entry in entries}
    assert all(entry.description.endswith(".") and entry.example for entry in entries)


@pytest.mark.parametrize(
    ("content", "toml"),
    [
        (b'{"event_types":[{"name":"a.b","example":[1]}]}', False),
        (b'[{"name":"a.b","example":[1]}]', False),
        (b'[[event_types]]\nname = "a.b"\nexample = [1]', True),
    ],
)
def test_a_file_is_a_list_in_either_notation(content: bytes, toml: bool) -> None:
    [entry] = shipped_catalogs.parsed(content, toml=toml)
    assert (entry.name, entry.example) == ("a.b", [1])


@pytest.mark.parametrize(
    ("content", "toml", "place"),
    [
        (b"{", False, ("file",)),
        (b"\xff", True, ("file",)),
        (b"[" * 100_000, False, ("file",)),
        (b"3", False, ("file",)),
        (b"other = 1", True, ("file",)),
        (b'{"event_types":[],"more":1}', False, ("file",)),
        (b"[3]", False, ("event_types", 0)),
        (b'[{"name":"a..b"}]', False, ("event_types", 0, "name")),
        (b'[[event_types]]\nname = "a"\nexample = 2026-01-01', True, ("event_types", 0, "example")),
    ],
)
def test_an_invalid_catalogue_file_is_refused(
    content: bytes, toml: bool, place: tuple[str | int, ...]
) -> None:
    with pytest.raises(InvalidError) as refused:
        shipped_catalogs.parsed(content, toml=toml)
    assert [Problem(p.place, "") for p in refused.value.problems] == [Problem(place, "")]


# ── checking beside the transaction ──────────────────────────────────────────────────────────────


async def test_no_connection_and_no_lock_is_held_while_a_schema_is_checked(
    pool: Pool, connection: Connection
) -> None:
    class Checks(SchemaChecks):
        async def validate(self, environment_id: str, schema: str, data: str | None = None) -> None:
            idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
            assert await connection.fetchval(f"{idle} AND datname = current_database()") == 0
            looked.append(schema)

    looked: list[str] = []
    made, _ = await Changes(pool, Checks()).put("a.b", schema=OBJECT)
    assert looked == [made.schema]


async def test_concurrent_changes_of_a_type_are_merged(pool: Pool, changes: Changes) -> None:
    class Checks(SchemaChecks):
        async def validate(self, environment_id: str, schema: str, data: str | None = None) -> None:
            if not looked:
                await changes.put("a.b", description="theirs")
            looked.append(schema)

    looked: list[str] = []
    made, created = await Changes(pool, Checks()).put("a.b", schema=OBJECT)
    assert (made.description, made.schema, created) == ("theirs", looked[-1], False)
    assert len(looked) == 2


async def test_a_type_that_others_keep_changing_is_a_conflict(pool: Pool, changes: Changes) -> None:
    class Checks(SchemaChecks):
        async def validate(self, environment_id: str, schema: str, data: str | None = None) -> None:
            looked.append(schema)
            await changes.put("a.b", description=f"theirs {len(looked)}")

    looked: list[str] = []
    with pytest.raises(ConflictError, match="keep changing"):
        await Changes(pool, Checks()).put("a.b", schema=OBJECT)
    assert len(looked) == module.TRIES


@pytest.mark.long
async def test_a_schema_that_is_too_expensive_is_refused_by_its_name(changes: Changes) -> None:
    doubled = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
    endless = {"$defs": {**doubled, "a60": {}}, "$ref": "#/$defs/a0"}
    with pytest.raises(InvalidError, match="schema: checking it takes"):
        await changes.put("a.b", schema=endless, example={})
