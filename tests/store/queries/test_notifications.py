"""A producer notifies only while a daemon listens and none has opened a polling window."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from dispatcher.store.queries.inbox import Inbox
from dispatcher.store.queries.settings import Settings
from dispatcher.store.session import Session
from tests.conftest import Connection, connected
from tests.store import rows

LISTENING = 10_000


class Ear:
    """A connection that listens; what was notified before a question has been heard with its answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._heard: list[object] = []

    async def listen(self) -> None:
        await self._connection.add_listener("dispatcher", lambda *args: self._heard.append(args[3]))

    async def heard(self) -> int:
        """Return the number of notifications since the last call. Fail if one has a payload."""
        await self._connection.execute("SELECT 1")
        await asyncio.sleep(0)
        heard, self._heard = self._heard, []
        assert set(heard) <= {""}
        return len(heard)


@pytest.fixture
async def ear(dsn: str) -> AsyncIterator[Ear]:
    async with connected(dsn) as opened:
        made = Ear(opened)
        await made.listen()
        yield made


@pytest.fixture
def inbox(session: Session) -> Inbox:
    return Inbox(session)


async def test_no_notification_is_sent_while_no_daemon_listens(
    connection: Connection, ear: Ear
) -> None:
    await rows.event(connection)
    assert await ear.heard() == 0


async def test_each_commit_notifies_once_while_a_daemon_listens(
    connection: Connection, ear: Ear, inbox: Inbox
) -> None:
    await inbox.announce_listening(LISTENING)
    await rows.event(connection)
    assert await ear.heard() == 1
    async with connection.transaction():
        await rows.event(connection)
        await connection.execute(
            "INSERT INTO dispatcher.events (type, data) SELECT 'a', '1' FROM generate_series(1, 9)"
        )
        assert await ear.heard() == 0
    assert await ear.heard() == 1


async def test_an_expired_announcement_is_ignored(
    connection: Connection, ear: Ear, inbox: Inbox
) -> None:
    await inbox.announce_listening(LISTENING)
    await inbox.announce_listening(-1)
    await rows.event(connection)
    assert await ear.heard() == 0


async def test_an_announcement_from_before_the_clock_was_set_back_is_ignored(
    connection: Connection, ear: Ear, inbox: Inbox
) -> None:
    await inbox.announce_listening(3_600_000)
    await rows.event(connection)
    assert await ear.heard() == 0
    await connection.execute("INSERT INTO dispatcher.daemons (id, renewed_at) VALUES (1, now())")
    await inbox.announce_listening(LISTENING)
    await rows.event(connection)
    assert await ear.heard() == 1


async def test_an_announcement_far_ahead_stays_until_a_daemon_has_joined(
    connection: Connection, inbox: Inbox
) -> None:
    query = "SELECT last_value > dispatcher.now_ms() + 60000 FROM dispatcher.listen_until"
    await inbox.announce_listening(3_600_000)
    await inbox.announce_listening(LISTENING)
    assert await connection.fetchval(query)
    await connection.execute("INSERT INTO dispatcher.daemons (id, renewed_at) VALUES (1, now())")
    await inbox.announce_listening(LISTENING)
    assert not await connection.fetchval(query)


async def test_a_transaction_rolled_back_sends_no_notification(
    connection: Connection, ear: Ear, inbox: Inbox
) -> None:
    await inbox.announce_listening(LISTENING)
    transaction = connection.transaction()
    await transaction.start()
    await rows.event(connection)
    await transaction.rollback()
    assert await ear.heard() == 0


async def test_a_repeated_key_sends_no_notification(
    connection: Connection, ear: Ear, inbox: Inbox
) -> None:
    emit = "SELECT dispatcher.emit('a', '1', idempotency_key => 'k')"
    await connection.execute(emit)
    await inbox.announce_listening(LISTENING)
    await connection.execute(emit)
    assert await ear.heard() == 0


async def test_producers_do_not_notify_during_a_polling_window(
    connection: Connection, ear: Ear, inbox: Inbox
) -> None:
    await inbox.announce_listening(LISTENING)
    await inbox.promise_polling(4000)
    await rows.event(connection)
    assert await ear.heard() == 0
    await connection.execute("SELECT setval('dispatcher.poll_until', dispatcher.now_ms() - 1)")
    await rows.event(connection)
    assert await ear.heard() == 1


async def test_a_polling_window_more_than_five_seconds_ahead_is_ignored(
    connection: Connection, ear: Ear, inbox: Inbox
) -> None:
    """The clock was set back, or somebody is mistaken; silence must not last."""
    await inbox.announce_listening(LISTENING)
    await inbox.promise_polling(8000)
    await rows.event(connection)
    assert await ear.heard() == 1
    await inbox.promise_polling(450)
    await rows.event(connection)
    assert await ear.heard() == 0


async def test_a_shorter_polling_window_does_not_end_a_longer_one(
    connection: Connection, inbox: Inbox
) -> None:
    now = await connection.fetchval("SELECT dispatcher.now_ms()")
    await inbox.promise_polling(4000)
    await inbox.promise_polling(450)
    until = await connection.fetchval("SELECT last_value FROM dispatcher.poll_until")
    assert now + 4000 <= until <= now + 4500


async def test_polling_windows_are_seen_before_they_are_committed(
    connection: Connection, dsn: str
) -> None:
    """They are sequences: no producer waits for the row of another."""
    async with connected(dsn) as emitter, connection.transaction():
        await connection.execute("SELECT setval('dispatcher.listen_until', 5)")
        async with asyncio.timeout(30):
            assert await emitter.fetchval("SELECT last_value FROM dispatcher.listen_until") == 5


async def test_producers_in_open_transactions_do_not_wait_for_one_another(
    connection: Connection, dsn: str, inbox: Inbox
) -> None:
    await inbox.announce_listening(LISTENING)
    async with connected(dsn) as second, asyncio.timeout(30), connection.transaction():
        await rows.event(connection)
        await rows.event(second)


@pytest.mark.parametrize("value", ["off", "OFF", "false", "no", "0"])
async def test_a_session_can_turn_notifications_off(
    connection: Connection, ear: Ear, inbox: Inbox, value: str
) -> None:
    await inbox.announce_listening(LISTENING)
    async with connection.transaction():
        await connection.execute(f"SET LOCAL dispatcher.notify = '{value}'")
        await rows.event(connection)
    assert await ear.heard() == 0
    await rows.event(connection)
    assert await ear.heard() == 1


async def test_no_notification_is_sent_if_the_settings_turn_it_off(
    connection: Connection, session: Session, ear: Ear, inbox: Inbox
) -> None:
    await inbox.announce_listening(LISTENING)
    await Settings(session).write_limits(262_144, notify=False)
    await rows.event(connection)
    assert await ear.heard() == 0
    await Settings(session).write_limits(262_144, notify=True)
    await rows.event(connection)
    assert await ear.heard() == 1
