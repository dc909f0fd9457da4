"""The key is changed: all values are encrypted again, whatever happens in between."""

from uuid import UUID

import pytest

from dispatcher.core.errors import ConflictError
from dispatcher.encryption.cipher import Cipher
from dispatcher.services import key_rotation
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.key_rotation import KeyRotation
from dispatcher.store.queries.sealed_values import SealedValues
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

OLD, NEW, THIRD = (Cipher(bytes([number] * 32)) for number in (1, 2, 3))
BOTH = Cipher(bytes([2] * 32), bytes([1] * 32))
COLUMNS = ("secret", "previous_secret", "headers", "authentication_sealed", "tls_sealed")


@pytest.fixture
def rotation(session: Session, actor: Actor) -> KeyRotation:
    return KeyRotation(session, actor, BOTH)


async def sealed(connection: Connection, cipher: Cipher, *columns: str) -> UUID:
    """An endpoint whose columns have their own names, encrypted."""
    endpoint = await rows.endpoint(connection)
    for column in columns:
        shown = column.removesuffix("_sealed")
        of_people = f", {shown} = '{{}}'" if shown != column else ""
        await connection.execute(
            f"UPDATE dispatcher.endpoints SET {column} = $1{of_people} WHERE id = $2",  # noqa: S608 - of COLUMNS
            cipher.encrypt(column.encode(), context=endpoint.bytes),
            endpoint,
        )
    return endpoint


async def keyed(connection: Connection, cipher: Cipher) -> None:
    await connection.execute("UPDATE dispatcher.settings SET key_check = $1", cipher.check_value())


async def values(connection: Connection, cipher: Cipher, endpoint: UUID) -> list[str | None]:
    row = await connection.fetchrow("SELECT * FROM dispatcher.endpoints WHERE id = $1", endpoint)
    assert row is not None
    return [
        cipher.decrypt(row[name], context=endpoint.bytes).decode() if row[name] else None
        for name in COLUMNS
    ]


async def check_value(connection: Connection) -> bytes:
    key_check: bytes = await connection.fetchval("SELECT key_check FROM dispatcher.settings")
    return key_check


async def test_all_values_are_encrypted_again_and_the_database_has_the_new_key(
    connection: Connection, rotation: KeyRotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "STEP_LIMIT_WEBHOOKS", 2)
    await keyed(connection, OLD)
    full = await sealed(connection, OLD, *COLUMNS)
    bare = [await sealed(connection, OLD, "secret") for _ in range(4)]
    current = await sealed(connection, NEW, "secret")
    versions = "SELECT version FROM dispatcher.endpoints ORDER BY id"
    before = await connection.fetch(versions)
    done = await rotation.run()
    assert (done.webhooks, done.values, done.unreadable) == (6, 9, {})
    assert await values(connection, NEW, full) == list(COLUMNS)
    for endpoint in (*bare, current):
        assert await values(connection, NEW, endpoint) == ["secret", None, None, None, None]
    assert NEW.matches(await check_value(connection))
    assert await connection.fetch(versions) == before
    note = await connection.fetchrow("SELECT action, subject, detail FROM dispatcher.audit")
    assert tuple(note or ()) == ("key.rotate", "*", '{"values":9,"unreadable":0}')
    again = await rotation.run()
    assert again.values == 0
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.audit") == 1


async def test_a_rotation_that_was_cut_short_goes_on(
    connection: Connection, rotation: KeyRotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "STEP_LIMIT_WEBHOOKS", 2)
    await keyed(connection, OLD)
    endpoints = [await sealed(connection, OLD, "secret") for _ in range(5)]
    replace, calls = SealedValues.replace, iter([True, False])

    async def once(self: SealedValues, records: object) -> None:
        if not next(calls):
            raise ConnectionError
        await replace(self, records)  # type: ignore[arg-type] # as it came

    with monkeypatch.context() as patched:
        patched.setattr(SealedValues, "replace", once)
        with pytest.raises(ConnectionError):
            await rotation.run()
    assert OLD.matches(await check_value(connection))
    assert (await rotation.run()).values == 3
    for endpoint in endpoints:
        assert (await values(connection, NEW, endpoint))[0] == "secret"


async def test_a_value_of_neither_key_is_left_and_named(
    connection: Connection, rotation: KeyRotation
) -> None:
    await keyed(connection, OLD)
    foreign = await sealed(connection, THIRD, "secret")
    mixed = await sealed(connection, OLD, "secret", "headers")
    done = await rotation.run()
    assert (done.values, done.unreadable) == (2, {foreign: ("signing secret",)})
    assert (await values(connection, THIRD, foreign))[0] == "secret"
    assert (await values(connection, NEW, mixed))[:3] == ["secret", None, "headers"]


async def test_the_readable_values_of_a_webhook_are_encrypted_again_beside_one_that_is_not(
    connection: Connection, rotation: KeyRotation
) -> None:
    await keyed(connection, OLD)
    endpoint = await sealed(connection, OLD, "secret", "headers")
    await connection.execute(
        "UPDATE dispatcher.endpoints SET previous_secret = $1",
        THIRD.encrypt(b"lost", context=endpoint.bytes),
    )
    done = await rotation.run()
    assert (done.values, done.unreadable) == (2, {endpoint: ("previous signing secret",)})
    row = await connection.fetchrow("SELECT secret, headers FROM dispatcher.endpoints")
    assert [NEW.decrypt(value, context=endpoint.bytes) for value in row or ()] == [
        b"secret",
        b"headers",
    ]


async def test_a_deleted_webhook_has_no_value_that_must_be_readable(
    connection: Connection, rotation: KeyRotation
) -> None:
    await keyed(connection, OLD)
    await sealed(connection, THIRD, "secret")
    await connection.execute("UPDATE dispatcher.endpoints SET deleted_at = now(), active = false")
    assert (await rotation.run()).unreadable == {}


async def test_a_database_with_a_third_key_keeps_it(
    connection: Connection, rotation: KeyRotation
) -> None:
    await keyed(connection, THIRD)
    with pytest.raises(ConflictError):
        await rotation.run()
    assert THIRD.matches(await check_value(connection))


async def test_rotation_is_refused_while_a_daemon_still_encrypts_with_the_old_key(
    connection: Connection, rotation: KeyRotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keyed(connection, OLD)
    endpoint = await sealed(connection, OLD, "secret")
    listed = SealedValues.list

    async def renewed(self: SealedValues, after: UUID, limit: int) -> object:
        """As if a daemon had encrypted it with the old key during the run."""
        records = await listed(self, after, limit)
        return [{**row, "secret": OLD.encrypt(b"x", context=endpoint.bytes)} for row in records]

    monkeypatch.setattr(SealedValues, "list", renewed)
    with pytest.raises(ConflictError, match="restart it, and run this again"):
        await rotation.run()
    assert OLD.matches(await check_value(connection))
