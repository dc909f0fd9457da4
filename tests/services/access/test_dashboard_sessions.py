"""Sessions of the dashboard are bounded, so that no token can fill their table."""

import hashlib

import pytest

from dispatcher.services.access import dashboard_sessions
from dispatcher.services.access.dashboard_sessions import DashboardSessions
from dispatcher.services.access.token_authentication import ROOT_PRINCIPAL
from dispatcher.store.pool import Pool
from tests.conftest import Connection

HOME = "env_default"


async def test_one_more_session_of_a_token_ends_its_oldest(
    connection: Connection, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard_sessions, "SESSIONS_LIMIT", 3)
    sessions = DashboardSessions(pool, hashlib.sha256(b"root").digest())
    other = await sessions.open("of another", ROOT_PRINCIPAL, HOME)
    cookies = [await sessions.open("root", ROOT_PRINCIPAL, HOME) for _ in range(5)]
    known = [await sessions.find(cookie) is not None for cookie in cookies]
    assert known == [False, False, True, True, True]
    ids = await connection.fetch("SELECT id FROM dispatcher.dashboard_sessions")
    assert hashlib.sha256(other.encode()).digest() in {row["id"] for row in ids}
