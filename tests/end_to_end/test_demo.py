"""The demo, as a visitor meets it."""

import asyncio
import re
import shlex
import signal
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from dispatcher.demo import show
from dispatcher.demo.application import Application
from dispatcher.demo.receiver import Receiver as DemoReceiver
from dispatcher.demo.show import Show
from dispatcher.embedded_postgres.server import EmbeddedPostgres
from dispatcher.store.session import Session
from tests.conftest import Connection, connected
from tests.end_to_end.shell import Shell
from tests.end_to_end.stories import Story
from tests.receivers import Receiver

pytestmark = pytest.mark.long

RESULT = r"{0} delivered, {0} verified, p50 \d+\.\d ms"


async def test_the_demo_delivers_and_verifies_twice_in_a_row(unconfigured: Shell) -> None:
    for events in (50, 1):
        ended = await unconfigured("demo", "--events", str(events), "--once")
        assert ended.code == 0, ended.err
        (line,) = ended.out.splitlines()  # no address, as none answers any more
        assert re.fullmatch(RESULT.format(events), line)


async def test_the_demo_puts_data_aside_that_it_cannot_use(
    unconfigured: Shell, binaries: Path | None
) -> None:
    assert (await unconfigured("demo", "--once")).code == 0
    (key,) = unconfigured.directory.rglob("demo/secrets.key")
    demo, aside = key.parent, key.parent.with_name("demo.old")
    first = key.read_bytes()
    key.unlink()
    ended = await unconfigured("demo", "--once")
    assert ended.code == 0, ended.err
    line = f"The demo's data in {demo} {{}}. It was moved to {aside}."
    assert line.format("needs another key") in ended.err.splitlines()
    assert ended.err.count("No database.dsn") == 1  # of the data it uses, not of those put aside
    assert key.read_bytes() != first

    with EmbeddedPostgres(demo, binaries=binaries, settings={"fsync": "off"}) as server:
        async with connected(server.dsn) as connection:
            await connection.execute(
                "UPDATE dispatcher.migrations SET sha256 = '0' WHERE number = 2"
            )
    second = key.read_bytes()
    ended = await unconfigured("demo", "--once")
    assert ended.code == 0, ended.err
    assert line.format("is of another version of Dispatcher") in ended.err.splitlines()
    assert (aside / "secrets.key").read_bytes() == second  # the only copy that is kept

    (major,) = demo.glob("pg[0-9]*")
    (major / "PG_VERSION").write_text("9\n")
    ended = await unconfigured("demo", "--once")
    assert ended.code == 0, ended.err
    assert line.format("is of another version of PostgreSQL") in ended.err.splitlines()
    assert sorted(path.name for path in demo.parent.iterdir()) == ["demo", "demo.old"]


async def test_the_demo_leaves_the_database_of_a_daemon_alone(unconfigured: Shell) -> None:
    assert (await unconfigured("demo", "--once")).code == 0
    (key,) = unconfigured.directory.rglob("demo/secrets.key")
    key.unlink()
    (key.parent / "postgres").mkdir()  # as if `run` had the same state directory
    ended = await unconfigured("demo", "--once")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.endswith("set STATE_DIRECTORY to another directory.\n")
    assert (key.parent / "postgres").exists()


async def test_the_demo_shows_events_that_others_insert(unconfigured: Shell) -> None:
    demo = await unconfigured.start("demo")
    psql = (await demo.line(r"^  (\S*psql .*) \\$"))[1]
    insert = (await demo.line(r"^    (-c .*)$"))[1]
    await demo.line(r"user\.created +evt_\d+ +attempt 1 +\d+\.\d ms  verified")
    ended = await asyncio.create_subprocess_exec(*shlex.split(f"{psql} {insert}"), stdout=PIPE)
    assert (await ended.communicate())[0] == b"INSERT 0 1\n"
    await demo.line(r"user\.created +evt_\d+ +attempt 1 +\d+\.\d ms  verified")

    second = await unconfigured("demo", "--once")
    assert (second.code, second.out) == (1, "")
    assert "another process already runs the embedded PostgreSQL" in second.err
    assert await demo.stop(signal.SIGINT) == 0


async def test_the_cast_of_the_demo_shows_each_kind_of_trouble(unconfigured: Shell) -> None:
    demo = await unconfigured.start("demo", "--events", "6")
    await demo.line(
        r"^API +http://127\.0\.0\.1:\d+/api/webhooks \(needs a token: dispatcher token create\)"
    )
    for role in ("quick", "slow", "failing", "recovering", "gone"):
        await demo.line(rf"^ +{role} +(answers|always answers) ")
    await demo.line("^The dashboard, by a login link")
    await demo.line(r"^  http://127\.0\.0\.1:\d+/\S+$")
    await demo.line(r"user\.registered +evt_\d+ +attempt 1 .* verified, 500 failing$")
    await demo.line(r"user\.password_reset +evt_\d+ +attempt 1 .* verified, 410 gone$")
    await demo.line(r"user\.registered +evt_\d+ +attempt 2 .* verified, 500 failing$")
    listed = (await unconfigured("webhook", "list")).out
    assert re.search("disabled +Demo: gone ", listed)
    assert len(re.findall("(?:active|failing|resting) +Demo: ", listed)) == 4
    assert await demo.stop(signal.SIGINT) == 0


async def test_the_demo_uses_its_own_environment_in_a_given_database(
    dispatcher: Shell, receiver: Receiver, story: Story, connection: Connection
) -> None:
    await story.subscribe(receiver.url)
    ended = await dispatcher("demo", "--events", "3", "--once")
    assert ended.code == 0, ended.err
    assert re.fullmatch(RESULT.format(3), ended.out.splitlines()[-1])
    assert receiver.requests == []
    environments = "SELECT DISTINCT environment_id FROM dispatcher.events"
    assert [row[0] for row in await connection.fetch(environments)] == ["env_demo"]
    left = "SELECT name FROM dispatcher.endpoints WHERE deleted_at IS NULL"
    assert [row["name"] for row in await connection.fetch(left)] == ["127.0.0.1"]


async def test_the_demo_says_what_did_not_arrive(
    dsn: str, story: Story, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(show, "QUIET_LIMIT_SECONDS", 0.1)
    webhook = await story.subscribe("http://127.0.0.1:9009/")
    session = Session(dsn, "test")
    receiver = DemoReceiver(body_hex_header="X-Signature")
    receiver.secret = "6a" * 32
    shown = Show(Application(session, "env_default"), receiver, webhook.id)
    waiting = asyncio.create_task(shown.emit_and_wait(3))
    await asyncio.sleep(0)
    receiver.arrived(receiver.check(b"{}", {}, 0.0))
    assert not await waiting
    await session.close()
    output = capsys.readouterr()
    assert output.out == "0 delivered, 0 verified, p50 - ms\n"
    fault, missing = output.err.splitlines()
    assert fault.startswith("1 request was not verified: ")
    assert missing == "3 of 3 events did not arrive."
