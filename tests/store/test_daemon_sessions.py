"""All connections of a daemon together."""

import secrets

import pytest

from dispatcher.store.daemon_sessions import DaemonSessions
from dispatcher.store.errors import StoreUnavailableError
from tests.conftest import Connection


async def test_all_connections_are_opened_and_counted(dsn: str) -> None:
    sessions = DaemonSessions(dsn, statement_timeout=5.0)
    try:
        await sessions.open_all()
        assert sum(sessions.counted()) == sessions.count
        await sessions.open_all()
        assert sum(sessions.counted()) == sessions.count
    finally:
        await sessions.close()


async def test_a_connection_limit_is_named_when_it_is_reached(
    maintenance: Connection, dsn: str
) -> None:
    role = f"dispatcher_test_{secrets.token_hex(6)}"
    await maintenance.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 6")
    sessions = DaemonSessions(dsn.replace("postgres@", f"{role}@", 1), statement_timeout=5.0)
    try:
        with pytest.raises(
            StoreUnavailableError, match=r"^6 of \d+ connections could be opened"
        ) as raised:
            await sessions.open_all()
        assert "pool_size" in str(raised.value)
    finally:
        await sessions.close()
        await maintenance.execute(f"DROP ROLE {role}")
