"""Environments as people know them."""

import json

import pytest
from pydantic import ValidationError

from dispatcher.core.errors import ConflictError, NotFoundError
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.environments import Environment, Environments
from dispatcher.services.inputs.environment_inputs import EnvironmentChanges, NewEnvironment
from dispatcher.store.pool import Pool
from tests.conftest import Connection
from tests.store import rows


async def create(pool: Pool, actor: Actor, name: str = "one", id: str | None = None) -> Environment:
    async with pool.transaction() as session:
        return await Environments(session, actor).create(NewEnvironment(id=id, name=name))


async def test_an_environment_with_a_chosen_id_is_created_and_audited(
    connection: Connection, pool: Pool, actor: Actor
) -> None:
    made = await create(pool, actor, "Shop", "shop_1")
    assert (made.id, made.name, made.paused_at) == ("shop_1", "Shop", None)
    assert await Environments(pool, actor).get("shop_1") == made
    await rows.event(connection, environment="shop_1")
    (entry,) = await connection.fetch("SELECT * FROM dispatcher.audit")
    assert (entry["action"], entry["subject"], entry["environment_id"], entry["actor"]) == (
        "environment.create",
        "shop_1",
        "shop_1",
        actor.name,
    )


async def test_an_environment_without_an_id_gets_one(pool: Pool, actor: Actor) -> None:
    made = [await create(pool, actor) for _ in range(2)]
    assert all(e.id.startswith("env_") and len(e.id) == 28 for e in made)
    assert made[0].id != made[1].id


async def test_an_existing_id_is_refused_and_nothing_changes(
    connection: Connection, pool: Pool, actor: Actor
) -> None:
    with pytest.raises(ConflictError, match="env_default"):
        await create(pool, actor, "Mine", "env_default")
    assert (await Environments(pool, actor).get("env_default")).name == "Default"
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.audit") == 0


async def test_a_missing_environment_is_unknown(pool: Pool, actor: Actor) -> None:
    with pytest.raises(NotFoundError):
        await Environments(pool, actor).get("missing")


async def test_the_listing_is_newest_first_page_by_page(pool: Pool, actor: Actor) -> None:
    made = [(await create(pool, actor, f"number {n}")).id for n in range(4)]
    environments = Environments(pool, actor)
    first = await environments.list(limit=2)
    await create(pool, actor, "later")
    second = await environments.list(limit=2, before=first.next)
    third = await environments.list(limit=2, before=second.next)
    seen = [e.id for page in (first, second, third) for e in page.items]
    assert seen == [*made[::-1], "env_default"]
    assert third.next is None


async def test_the_start_of_a_pause_is_returned(
    connection: Connection, pool: Pool, actor: Actor
) -> None:
    paused_at = await connection.fetchval(
        "UPDATE dispatcher.environments SET paused_at = now() RETURNING paused_at"
    )
    assert (await Environments(pool, actor).get("env_default")).paused_at == paused_at


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"name": ""},
        {"name": " "},
        {"name": "a\nb"},
        {"name": "x", "id": ""},
        {"name": "x", "id": "a b"},
        {"name": "x", "id": "a\n"},
        {"name": "x", "id": "*"},
        {"name": "x", "id": "a" * 65},
        {"name": "x", "position": 1},
    ],
)
def test_an_invalid_form_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        NewEnvironment.model_validate_json(json.dumps(asked))


async def test_a_name_that_stays_the_same_is_no_change(
    connection: Connection, pool: Pool, actor: Actor
) -> None:
    async with pool.transaction() as session:
        environments = Environments(session, actor)
        await environments.rename("env_default", EnvironmentChanges(name="Default"))
        assert await connection.fetchval("SELECT count(*) FROM dispatcher.audit") == 0
        renamed = await environments.rename("env_default", EnvironmentChanges(name="Shop"))
        with pytest.raises(NotFoundError):
            await environments.rename("env_none", EnvironmentChanges(name="Shop"))
    assert renamed.name == "Shop"
    assert await Environments(pool, actor).get("env_default") == renamed
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.audit") == 1
