"""Tokens, as the database keeps them."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from dispatcher.core.pagination import CreationPosition
from dispatcher.store.queries.tokens import Tokens
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

SHA256 = bytes(range(32))


async def made(session: Session, **changes: Any) -> Mapping[str, Any]:
    fields = {
        "name": "ci",
        "environment_id": "env_default",
        "scope": "write",
        "sha256": SHA256,
        "expires_at": None,
        "limit": 100,
        **changes,
    }
    return await Tokens(session).create(**fields)


async def count(connection: Connection) -> int:
    number: int = await connection.fetchval("SELECT count(*) FROM dispatcher.tokens")
    return number


async def used_at(connection: Connection) -> datetime | None:
    moment: datetime | None = await connection.fetchval(
        "SELECT last_used_at FROM dispatcher.tokens"
    )
    return moment


# ── create ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_new_row_is_answered_without_its_hash(session: Session) -> None:
    row = await made(session)
    assert (row["environment_exists"], row["expires_later"]) == (True, True)
    assert (row["name"], row["environment_id"], row["scope"]) == ("ci", "env_default", "write")
    assert (row["expires_at"], row["last_used_at"], row["revoked_at"]) == (None, None, None)
    assert "hash" not in row


async def test_a_token_for_every_environment_names_none(session: Session) -> None:
    row = await made(session, environment_id=None)
    assert (row["environment_exists"], row["environment_id"]) == (True, None)


async def test_no_token_is_created_for_an_unknown_environment(
    session: Session, connection: Connection
) -> None:
    row = await made(session, environment_id="env_x")
    assert (row["environment_exists"], row["expires_later"], row["id"]) == (False, True, None)
    assert await count(connection) == 0


async def test_no_token_is_created_that_has_expired_by_the_databases_clock(
    session: Session, connection: Connection
) -> None:
    row = await made(session, expires_at=datetime.now(UTC) - timedelta(seconds=5))
    assert (row["environment_exists"], row["expires_later"], row["id"]) == (True, False, None)
    assert await count(connection) == 0


@pytest.mark.parametrize("changes", [{"scope": "root"}, {"sha256": b"short"}])
async def test_the_table_takes_only_known_scopes_and_whole_hashes(
    session: Session, changes: dict[str, Any]
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await made(session, **changes)


# ── list and revoke ──────────────────────────────────────────────────────────────────────────────


async def test_tokens_are_listed_newest_first_of_one_environment_or_of_all(
    session: Session, connection: Connection
) -> None:
    await rows.environment(connection, "env_x")
    for n, environment_id in enumerate(("env_default", "env_x", None)):
        await made(session, name=f"t{n}", environment_id=environment_id, sha256=bytes([n] * 32))
    tokens = Tokens(session)
    assert [row["name"] for row in await tokens.list(None)] == ["t2", "t1", "t0"]
    assert [row["name"] for row in await tokens.list("env_x")] == ["t1"]
    assert all("hash" not in row for row in await tokens.list(None))


async def test_a_page_of_tokens_goes_on_after_one_that_was_deleted(
    session: Session, connection: Connection
) -> None:
    for n in range(3):
        await made(session, name=f"t{n}", sha256=bytes([n] * 32))
    tokens = Tokens(session)
    [newest, middle] = await tokens.list(None, limit=2)
    assert (newest["name"], middle["name"]) == ("t2", "t1")
    await connection.execute("DELETE FROM dispatcher.tokens WHERE name = 't1'")
    after = CreationPosition(middle["created_at"], middle["id"])
    assert [row["name"] for row in await tokens.list(None, after)] == ["t0"]


async def test_a_token_is_revoked_once_and_stays_listed(session: Session) -> None:
    row, tokens = await made(session), Tokens(session)
    assert await tokens.revoke(row["id"], None) == {"name": "ci", "environment_id": "env_default"}
    assert await tokens.revoke(row["id"], None) is None
    [listed] = await tokens.list(None)
    assert listed["revoked_at"] >= row["created_at"]


@pytest.mark.parametrize("bound_to", ["env_default", None])
async def test_an_environment_revokes_no_foreign_token(
    session: Session, connection: Connection, bound_to: str | None
) -> None:
    await rows.environment(connection, "env_x")
    row, tokens = await made(session, environment_id=bound_to), Tokens(session)
    assert await tokens.revoke(row["id"], "env_x") is None
    assert await tokens.revoke(uuid4(), "env_x") is None
    assert await tokens.authenticate(SHA256) is not None


# ── authenticate ─────────────────────────────────────────────────────────────────────────────────


async def test_a_token_is_found_by_its_hash(session: Session) -> None:
    row = await made(session)
    assert await Tokens(session).authenticate(SHA256) == {
        "id": row["id"],
        "name": "ci",
        "scope": "write",
        "environment_id": "env_default",
        "seconds_left": None,
    }
    assert await Tokens(session).authenticate(bytes(32)) is None


@pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
async def test_a_revoked_or_expired_token_is_not_found_and_not_used(
    session: Session, connection: Connection, column: str
) -> None:
    await made(session)
    await connection.execute(f"UPDATE dispatcher.tokens SET {column} = now()")  # noqa: S608
    assert await Tokens(session).authenticate(SHA256) is None
    assert await used_at(connection) is None


async def test_a_token_that_will_expire_is_good_until_then(session: Session) -> None:
    await made(session, expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert await Tokens(session).authenticate(SHA256) is not None


async def test_use_is_noted_once_a_minute(session: Session, connection: Connection) -> None:
    await made(session)
    tokens = Tokens(session)
    await tokens.authenticate(SHA256)
    first = await used_at(connection)
    assert first is not None
    await tokens.authenticate(SHA256)
    assert await used_at(connection) == first
    await connection.execute("UPDATE dispatcher.tokens SET last_used_at = now() - interval '61 s'")
    await tokens.authenticate(SHA256)
    again = await used_at(connection)
    assert again is not None
    assert again > first


async def test_authentication_does_not_wait_for_a_locked_token(
    session: Session, connection: Connection
) -> None:
    await made(session)
    async with connection.transaction():
        await connection.execute("SELECT FROM dispatcher.tokens FOR UPDATE")
        async with asyncio.timeout(30):
            assert await Tokens(session).authenticate(SHA256) is not None
    assert await used_at(connection) is None
    await Tokens(session).authenticate(SHA256)
    assert await used_at(connection) is not None
