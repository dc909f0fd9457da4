"""The remedies of log lines, followed to the letter, bring deliveries again."""

import json
import re
from typing import Any

import pytest

from dispatcher.engine.upkeep import maintenance
from tests.conftest import Connection
from tests.end_to_end.shell import Shell, Started
from tests.end_to_end.stories import Daemons, Story
from tests.end_to_end.test_readiness import readiness
from tests.receivers import Receiver
from tests.waiting import until


async def remedy(daemon: Started, event: str) -> str:
    """The remedy of the next line about that event."""
    line = await daemon.line(f'"event":"{event}')
    document: dict[str, Any] = json.loads(line.string)
    return str(document["remedy"])


async def run_all(dispatcher: Shell, text: str) -> None:
    """Run the commands that a remedy names, one after the other."""
    commands = re.findall(
        r"dispatcher (webhook \w+ [0-9a-f-]{36}(?: --no-[a-z]+)*(?: --more '[^']*')?)", text
    )
    assert commands, text
    for ended in await dispatcher.each(*commands):
        assert ended.code == 0, ended


async def webhook(dispatcher: Shell, receiver: Receiver) -> str:
    more = '{"headers": {"X-Own": "hush"}}'
    made = await dispatcher(
        "webhook", "create", receiver.url, "--events", "*", "--more", more, "--json"
    )
    return str(json.loads(made.out)["id"])


@pytest.mark.long
@pytest.mark.parametrize(
    ("event", "damage"),
    [
        (
            "secret, headers or credentials cannot be decrypted",
            "secret = '\\x00', headers = '\\x00'",
        ),
        ("endpoint cannot be read", """retry = '{"retries": "many"}'"""),
    ],
)
async def test_an_endpoint_that_cannot_be_used_is_mended_as_the_log_says(
    dispatcher: Shell,
    connection: Connection,
    story: Story,
    receiver: Receiver,
    event: str,
    damage: str,
) -> None:
    await webhook(dispatcher, receiver)
    await connection.execute(f"UPDATE dispatcher.endpoints SET {damage}")  # noqa: S608 - as above
    daemon = await dispatcher.run()
    await story.insert()
    text = await remedy(daemon, event)
    assert receiver.requests == []
    await run_all(dispatcher, text)
    await story.ended(DELIVERED=1)
    assert await daemon.stop() == 0


async def test_a_disabled_trigger_is_seen_soon_and_what_it_missed_is_replayed(
    dispatcher: Shell, connection: Connection, story: Story, receiver: Receiver
) -> None:
    await webhook(dispatcher, receiver)
    await connection.execute("ALTER TABLE dispatcher.events DISABLE TRIGGER events_inserted")
    await story.insert(3)
    daemon = await dispatcher.start("run")
    text = await remedy(daemon, "triggers are disabled")
    for statement in re.findall("ALTER TABLE[^;]*;", text):
        await connection.execute(statement)
    assert "dispatcher replay --since TIME" in text
    assert await story.states() == {}
    replayed = await dispatcher("replay", "--since", "1h", "--yes")
    assert (replayed.code, "3 queued again" in replayed.out) == (0, True), replayed
    await story.ended(DELIVERED=3)
    assert await daemon.stop() == 0


async def test_readiness_names_a_disabled_trigger_until_it_fires_again(
    daemons: Daemons, connection: Connection, quiet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert maintenance.TRIGGERS_SECONDS + maintenance.CANCEL_SECONDS < 60
    monkeypatch.setattr(maintenance, "TRIGGERS_SECONDS", 0.05)
    monkeypatch.setattr(maintenance, "CANCEL_SECONDS", 0.05)
    daemon = await daemons.start()

    async def failing(*names: str) -> bool:
        status, answer = await readiness(daemon)
        return (status, sorted(answer["failing"])) == (200, sorted(names))

    await connection.execute("ALTER TABLE dispatcher.events DISABLE TRIGGER events_inserted")
    await until(lambda: failing("trigger events_inserted"), "it is named")
    await connection.execute("ALTER TABLE dispatcher.events ENABLE TRIGGER events_inserted")
    await until(failing, "it is named no more")
