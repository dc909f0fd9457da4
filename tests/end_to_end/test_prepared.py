"""Two-phase commit: PostgreSQL refuses to prepare a transaction that has notified."""

import secrets

import pytest

from dispatcher.store.queries.settings import Settings
from dispatcher.store.session import Session
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Receiver


@pytest.mark.parametrize("switch", ["settings", "session"])
async def test_a_prepared_transaction_is_delivered_when_it_is_committed(
    story: Story, daemons: Daemons, receiver: Receiver, switch: str
) -> None:
    connection = story.connection
    if await connection.fetchval("SHOW max_prepared_transactions") == "0":
        pytest.skip("the given server has max_prepared_transactions = 0")
    await story.subscribe(receiver.url)
    notify = switch == "session"
    session = Session(story.dsn, "test")
    await Settings(session).write_limits(262_144, notify=notify)
    await session.close()
    await daemons.start(database={"notify": notify})
    name = f"t{secrets.token_hex(8)}"
    await connection.execute("BEGIN")
    if switch == "session":
        await connection.execute("SET LOCAL dispatcher.notify = off")
    await story.insert(1)
    await connection.execute(f"PREPARE TRANSACTION '{name}'")
    await connection.execute(f"COMMIT PREPARED '{name}'")
    await story.ended(DELIVERED=1)
