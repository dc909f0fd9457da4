"""What must not be sent is not: without its secret, with another key, to a forbidden address."""

from typing import Any

import pytest

from dispatcher.encryption.cipher import Cipher
from dispatcher.encryption.keyring import KeyRejectedError, unlock
from dispatcher.store.queries.settings import Settings
from dispatcher.store.session import Session
from tests.end_to_end.stories import Daemons, Story, configured, numbers
from tests.receivers import Receiver
from tests.waiting import until


async def test_another_key_than_the_databases_is_refused_and_changes_nothing(story: Story) -> None:
    session = Session(story.dsn, "test")
    settings = Settings(session)
    try:
        await unlock(configured(secrets={"key": "ab" * 32}), settings)
        before = await settings.read()
        with pytest.raises(KeyRejectedError):
            await unlock(configured(secrets={"key": "cd" * 32}), settings)
        assert await settings.read() == before
    finally:
        await session.close()


async def test_an_unreadable_secret_holds_only_its_own_deliveries(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    webhook = await story.subscribe(receiver.url)
    await story.subscribe(another.url)
    row: dict[str, Any] | None = await story.connection.fetchrow(
        "SELECT secret FROM dispatcher.endpoints WHERE id = $1", webhook.id
    )
    assert row is not None
    foreign = Cipher(bytes(32)).encrypt(b"ab" * 32, context=webhook.id.bytes)
    await story.change(webhook.id, secret=foreign)
    await daemons.start()
    await story.insert(5)
    await another.wait_for(5)
    await until(lambda: _held(story, 5), "they are held")
    assert receiver.requests == []
    await story.change(webhook.id, secret=row["secret"])
    await story.ended(DELIVERED=10)
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 6), 1)


async def test_a_secret_that_becomes_unreadable_holds_the_retries(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    webhook = await story.subscribe(receiver.url)
    receiver.answers = [500]
    await daemons.start(retry={"base": "1s"})
    await story.insert()
    await receiver.wait_for(1)
    await story.change(webhook.id, secret=b"\x01no such thing")
    await until(lambda: _held(story, 1), "it is held")
    assert len(receiver.requests) == 1


async def test_a_forbidden_address_is_recorded_as_blocked_and_never_dialled(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    wrapped = await story.subscribe("https://example.com/")
    await story.change(wrapped.id, url=receiver.url.replace("127.0.0.1", "[::ffff:127.0.0.1]"))
    await daemons.start(egress={"allow": []}, retry={"retries": 1, "base": "10ms"})
    await story.insert()
    await story.ended(FAILED=2)
    rows = await story.attempts()
    assert [r["outcome"] for r in rows] == ["blocked"] * 4
    assert all(r["error"] and r["status"] is None for r in rows)
    assert receiver.requests == []


async def _held(story: Story, count: int) -> bool:
    return await story.count("parked") == count
