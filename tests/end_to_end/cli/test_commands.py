"""The command line as it is used: on a real database, the daemon as a process."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher.embedded_postgres.binaries import find
from dispatcher.receiver import construct_event
from tests.conftest import Connection, connected
from tests.end_to_end.loaded_process import LoadedProcess
from tests.end_to_end.shell import KEY, Shell, shell
from tests.receivers import Receiver

OTHER_KEY = "a5" * 32


@pytest.fixture
async def unmigrated(empty_dsn: str, tmp_path: Path, loaded: LoadedProcess) -> AsyncIterator[Shell]:
    """Commands on a database without the schema."""
    async with shell(tmp_path, loaded, database__dsn=empty_dsn, secrets__key=KEY) as opened:
        yield opened


async def created(dispatcher: Shell, url: str, events: str = "*") -> dict[str, Any]:
    ended = await dispatcher("webhook", "create", url, "--events", events, "--json")
    assert ended.code == 0, ended.err
    webhook: dict[str, Any] = json.loads(ended.out)
    return webhook


# ── from create to delivered ─────────────────────────────────────────────────────────────────────


async def test_an_emitted_event_arrives_signed_with_the_printed_secret(
    dispatcher: Shell, receiver: Receiver
) -> None:
    webhook = await created(dispatcher, receiver.url, "user.*,role.created")
    daemon = await dispatcher.run()
    data = '{"n" : 1.10, "big":1e400}\n'
    emitted = await dispatcher.process("emit", "user.created", "--data", "-", stdin=data.encode())
    [request] = await receiver.wait_for(1)
    event = construct_event(request.body, request.headers, webhook["secret"])
    assert f"{event['event_id']}\n" == emitted.out
    assert request.body.endswith(f'"data":{data}}}'.encode())
    assert await daemon.stop() == 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_sigterm_ends_a_daemon_that_still_waits_for_its_database(
    dispatcher: Shell, loop: str
) -> None:
    asked, may_end = asyncio.Event(), asyncio.Event()

    async def says_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await may_end.wait()
        writer.close()

    async with await asyncio.start_server(says_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        dsn = f"postgresql://postgres@127.0.0.1:{port}/x"
        daemon = await dispatcher.setting(database__dsn=dsn).start("run", "--loop", loop)
        async with asyncio.timeout(60):
            await asked.wait()
        code = await daemon.stop()
        may_end.set()
    assert (code, await daemon.errors()) == (0, "")


async def test_a_second_sigterm_during_the_drain_changes_nothing(
    dispatcher: Shell, receiver: Receiver, connection: Connection
) -> None:
    receiver.otherwise = 200
    await created(dispatcher, receiver.url)
    daemon = await dispatcher.run()
    await dispatcher("emit", "user.created")
    await receiver.wait_for(1)
    daemon.process.send_signal(signal.SIGTERM)
    assert await daemon.stop() == 0
    states = await connection.fetch("SELECT state FROM dispatcher.delivery_status")
    assert [row["state"] for row in states] == ["DELIVERED"]


# ── webhook ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_webhook_is_created_listed_and_deleted(dispatcher: Shell) -> None:
    webhook = await created(dispatcher, "http://127.0.0.1:9009/in", "user.*, role.created")
    assert re.fullmatch("[0-9a-f]{64}", webhook.pop("secret"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", webhook["createdAt"])
    webhook["events"].sort()
    assert webhook["events"] == ["role.created", "user.*"]
    expected = {
        "url": "http://127.0.0.1:9009/in",
        "name": "127.0.0.1",
        "active": True,
        "environmentId": "env_default",
    }
    assert webhook.items() >= expected.items()
    [listed] = json.loads((await dispatcher("webhook", "list", "--json")).out)
    assert "secret" not in listed
    assert listed | {"events": sorted(listed["events"])} == webhook
    nowhere = await dispatcher("webhook", "list", "--environment", "env_x")
    assert (nowhere.code, nowhere.out) == (1, "")
    assert nowhere.err == "There is no environment 'env_x'. Check its id.\n"

    deleted, again = [await dispatcher("webhook", "delete", webhook["id"]) for _ in range(2)]
    assert (deleted.code, deleted.out) == (0, f"deleted {webhook['id']}\n")
    assert (again.code, again.err) == (
        1,
        f"There is no webhook {webhook['id']}. Check its id and the environment.\n",
    )


async def test_the_command_says_that_the_secret_is_shown_once(dispatcher: Shell) -> None:
    made = await dispatcher("webhook", "create", "http://127.0.0.1:9009/", "--events", "*")
    secret = re.search("secret +([0-9a-f]{64})$", made.out, re.MULTILINE)
    assert secret
    assert "not shown again" in made.out
    listed = await dispatcher("webhook", "list")
    assert "http://127.0.0.1:9009/" in listed.out
    assert secret[1] not in listed.out


async def test_only_creating_a_webhook_needs_a_key_and_makes_the_first(
    dispatcher: Shell, tmp_path: Path, dsn: str
) -> None:
    url = "http://127.0.0.1:9009/"
    await dispatcher("webhook", "list")
    async with shell(tmp_path / "keyless", database__dsn=dsn) as keyless:
        assert (await keyless("webhook", "list")).code == 0
        assert not (tmp_path / "keyless" / "state").exists()
        webhook = await created(dispatcher, url, "*")
        assert (await keyless("webhook", "list")).out.startswith(webhook["id"])
        refused = await keyless("webhook", "create", url, "--events", "*")
        assert (refused.code, refused.out) == (1, "")
        assert (await keyless("webhook", "delete", webhook["id"])).code == 0


@pytest.mark.parametrize(
    ("url", "events", "message"),
    [
        ("http://10.0.0.1/", "*", "url: a private address"),
        ("ftp://example.com/", "*", "url: the URL must start with https"),
        ("http://127.0.0.1:9/", "user.*", "url: port 9"),
        ("http://127.0.0.1/", "user..x", "events.0: 'user..x' is not a pattern"),
    ],
)
async def test_an_invalid_webhook_is_refused(
    dispatcher: Shell, url: str, events: str, message: str
) -> None:
    ended = await dispatcher("webhook", "create", url, "--events", events)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(message)


# ── emit ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["a..b"], 2, "type must be words of A-Z a-z 0-9 _ joined by single dots\n"),
        (["webhook.test"], 2, "type is reserved to the dispatcher\n"),
        (
            ["a.b", "--data", '{"a":'],
            2,
            "The data is not JSON: The input string ended unexpectedly.\n",
        ),
        (
            ["a.b", "--environment", "env_x"],
            1,
            "unknown environment 'env_x' (use the id of one, or create it: dispatcher environment create)\n",
        ),
    ],
)
async def test_a_refusal_by_the_database_is_explained_in_a_sentence(
    dispatcher: Shell, args: list[str], code: int, message: str
) -> None:
    ended = await dispatcher("emit", *args)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith(message)


async def test_a_repeated_idempotency_key_names_the_first_event(
    dispatcher: Shell, connection: Connection
) -> None:
    first, second = [
        json.loads((await dispatcher("emit", "a.b", "--idempotency-key", "k", "--json")).out)
        for _ in range(2)
    ]
    assert first == second
    assert first | {"id": ""} == {"id": "", "type": "a.b", "environmentId": "env_default"}
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.events") == 1


async def test_the_producers_role_is_enough_to_emit(dispatcher: Shell, dsn: str) -> None:
    async with connected(dsn) as connection:
        await connection.execute("DROP ROLE IF EXISTS cli_app")
        await connection.execute("CREATE ROLE cli_app LOGIN IN ROLE dispatcher_producer")
    try:
        producer = dispatcher.setting(database__dsn=dsn.replace("//postgres@", "//cli_app@"))
        assert (await producer("emit", "user.created")).out.startswith("evt_")
        refused = await producer("webhook", "list")
        assert (refused.code, "permission denied" in refused.err) == (1, True)
    finally:
        async with connected(dsn) as connection:
            await connection.execute("DROP ROLE cli_app")


# ── the schema and the key ───────────────────────────────────────────────────────────────────────


async def test_a_stale_schema_is_refused_by_every_command_that_uses_it(unmigrated: Shell) -> None:
    for ended in await unmigrated.each("run", "check", "demo --once", "webhook list", "emit a.b"):
        assert (ended.code, ended.err.count("\n")) == (1, 1)
        assert "run dispatcher migrate" in ended.err.lower()
        assert ".sql" not in ended.err


async def test_check_reads_the_key_before_the_first_migration(
    unmigrated: Shell, tmp_path: Path
) -> None:
    keyed = unmigrated.setting(secrets__key="", secrets__key_file=str(tmp_path / "absent.key"))
    assert (
        f"secrets.key_file: {tmp_path / 'absent.key'} does not exist" in (await keyed("check")).err
    )
    (tmp_path / "absent.key").write_text(KEY)
    (tmp_path / "absent.key").chmod(0o644)
    assert "is open to others (mode 0644)" in (await keyed("check")).err
    (tmp_path / "absent.key").chmod(0o600)
    assert "key: none is stored yet" in (await keyed("check")).out


async def test_check_reads_the_key_of_an_embedded_database_that_does_not_run(
    unconfigured: Shell,
) -> None:
    keyed = unconfigured.setting(secrets__key_file="/absent")
    checked = await keyed("check")
    assert (checked.code, checked.err.count("\n")) == (2, 1)
    assert "/absent does not exist" in checked.err


async def test_check_says_what_it_leaves_out_while_the_embedded_database_is_stopped(
    unconfigured: Shell, binaries: Path | None
) -> None:
    first = await unconfigured("check")
    assert (first.code, first.err) == (0, "")  # there is no database yet
    major = find(binaries).major
    data = unconfigured.directory / "state" / "postgres" / f"pg{major}"
    data.mkdir(parents=True, mode=0o711)
    (data / "PG_VERSION").write_text(f"{major}\n")
    checked = await unconfigured("check")
    assert (checked.code, checked.err.count("\n")) == (0, 1)
    assert "is not running, so what needs it was not checked: whether the key is" in checked.err


async def test_migrate_plans_applies_and_writes_the_limits(
    unmigrated: Shell, empty_dsn: str
) -> None:
    limited = unmigrated.setting(delivery__max_data="1000")
    planned = json.loads((await limited("migrate", "--plan", "--json")).out)["pending"]
    migrated = await limited("migrate", "--json")
    assert planned == json.loads(migrated.out)["applied"]
    changed = "The database's limit delivery.max_data was changed from"
    assert f"{changed} 262144 to 1000 bytes.\n" in migrated.err
    assert planned[0].startswith("0001_")
    for command, message in (
        (limited, ""),
        (unmigrated, f"{changed} 1000 to 262144 bytes.\n"),
        (limited, f"{changed} 262144 to 1000 bytes.\n"),
    ):
        again = await command("migrate")
        assert (again.out, again.err) == ("The schema is up to date.\n", message)
    silent = await limited.setting(database__notify="false")("migrate")
    notify = "The database's setting database.notify was changed from true to false.\n"
    assert (silent.out, silent.err) == ("The schema is up to date.\n", notify)
    async with connected(empty_dsn) as connection:
        assert await connection.fetchval("SELECT max_data FROM dispatcher.settings") == 1000
    refused = await limited("emit", "a.b", "--data", f'"{"x" * 1000}"')
    assert refused.err.startswith("data is 1002 bytes, the limit is 1000")


async def test_run_logs_the_settings_that_it_has_changed_in_the_database(
    unmigrated: Shell,
) -> None:
    await unmigrated("migrate")
    changed = unmigrated.setting(delivery__max_data="1000", database__notify="false")
    daemon = await changed.start("run")
    lines = [json.loads((await daemon.line(r".*setting changed.*"))[0]) for _ in range(2)]
    assert [(line["key"], line["former"], line["new"]) for line in lines] == [
        ("delivery.max_data", 262_144, 1000),
        ("database.notify", True, False),
    ]
    assert await daemon.stop() == 0


async def test_run_migrates_when_it_is_asked_to(unmigrated: Shell) -> None:
    daemon = await unmigrated.start("run", "--migrate")
    await daemon.line('"event":"started"')
    assert (await unmigrated("check")).code == 0
    assert await daemon.stop() == 0


async def test_another_key_is_refused_before_anything_is_written(
    dispatcher: Shell, connection: Connection
) -> None:
    await created(dispatcher, "http://127.0.0.1:9009/")
    stranger = dispatcher.setting(secrets__key=OTHER_KEY)
    create = "webhook create http://127.0.0.1/ --events *"
    for ended in await stranger.each("run", "check", create):
        assert (ended.code, ended.err.count("\n")) == (1, 1)
        assert "key" in ended.err
        assert OTHER_KEY not in ended.err
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.endpoints") == 1


async def test_check_warns_of_others_who_may_create_objects(
    dispatcher: Shell, connection: Connection
) -> None:
    await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert "warning" not in (await dispatcher("check")).err
    await connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    checked = await dispatcher("check")
    assert checked.code == 0
    assert "warning: PUBLIC may create objects" in checked.err
    assert "REVOKE CREATE ON SCHEMA public FROM PUBLIC" in checked.err


# ── where it runs ────────────────────────────────────────────────────────────────────────────────


async def test_a_database_that_is_down_is_reported_in_one_line(dispatcher: Shell) -> None:
    away = dispatcher.setting(database__dsn="postgresql://user:hunter2@127.0.0.1:1/x")
    for ended in await away.each("run", "emit a.b", "check"):
        assert (ended.code, ended.err.count("\n")) == (1, 1)
        assert ended.err.removeprefix("✗ ").startswith("The database is not available: ")
        assert "hunter2" not in ended.err


async def test_an_invalid_address_is_a_configuration_error(dispatcher: Shell) -> None:
    wrong = dispatcher.setting(database__dsn="postgresql://user:hun:ter2@127.0.0.1:port/")
    for ended in await wrong.each("run", "check"):
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert ended.err.startswith("database.dsn: a host is not written as name, name:port")
        assert "hun" not in ended.err


async def test_a_port_that_is_taken_is_named(
    dispatcher: Shell, connection: Connection, receiver: Receiver
) -> None:
    await connection.execute(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    )  # else `check` warns on 14
    taken = dispatcher.setting(admin__port=str(receiver.port))
    for ended in await taken.each("run", "check", f"demo --port {receiver.port}"):
        assert (ended.code, ended.err.count("\n")) == (1, 1)
        assert f"The admin port {receiver.port} cannot be opened on 127.0.0.1" in ended.err


async def test_check_tries_the_proxy_and_names_a_wrong_one(
    dispatcher: Shell, connection: Connection, receiver: Receiver
) -> None:
    await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    there = f"http://127.0.0.1:{receiver.port}"
    checked = await dispatcher.setting(egress__proxy=there)("check")
    assert checked.code == 0
    assert f"proxy: 127.0.0.1 port {receiver.port} takes connections" in checked.out
    away = await dispatcher.setting(egress__proxy="http://127.0.0.1:1")("check")
    assert (away.code, away.err) == (
        1, "✗ egress.proxy: no connection to 127.0.0.1 port 1: Connection refused\n",
    )  # fmt: skip
    for ended in await dispatcher.setting(egress__proxy="http://me:hunter2@p").each("run", "check"):
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert ended.err.startswith("egress.proxy: must not contain credentials")
        assert "hunter2" not in ended.err


async def test_check_tells_whose_daemon_has_the_port(dispatcher: Shell, empty_dsn: str) -> None:
    daemon = await dispatcher.start("run")
    port = (await daemon.line(r'"admin":"http://127\.0\.0\.1:(\d+)"'))[1]
    checked = await dispatcher.setting(admin__port=port)("check", "--json")
    assert checked.code == 0
    report = json.loads(checked.out)
    assert (report["ok"], report["problems"]) == (True, [])
    assert (
        f"admin port: a daemon of this database answers on 127.0.0.1 port {port}" in report["notes"]
    )

    wrong = dispatcher.setting(admin__port=port, secrets__key="", secrets__key_file="/absent")
    [problem] = json.loads((await wrong("check", "--json")).out)["problems"]
    assert "/absent does not exist" in problem

    other = dispatcher.setting(database__dsn=empty_dsn, admin__port=port)
    assert "✗ A daemon of another database answers" in (await other("check")).err
    assert (await other("migrate")).code == 0
    refused = await other("check")
    assert refused.code == 1
    assert (
        f"✗ A daemon of another database answers on 127.0.0.1 port {port}, so dispatcher run cannot"
        " start." in refused.err
    )
    assert await daemon.stop() == 0


# ── the embedded server ──────────────────────────────────────────────────────────────────────────


@pytest.mark.long
async def test_commands_share_the_embedded_server_of_a_running_daemon(
    unconfigured: Shell, receiver: Receiver
) -> None:
    daemon = await unconfigured.run()
    await created(unconfigured, receiver.url)
    emitted = await asyncio.gather(*(unconfigured.process("emit", "a.b") for _ in range(3)))
    assert [ended.code for ended in emitted] == [0, 0, 0]
    await receiver.wait_for(3)
    assert "embedded, running" in (await unconfigured("check")).out
    second = await unconfigured("run")
    assert (second.code, second.err.count("\n")) == (1, 1)
    assert "another process already runs the embedded PostgreSQL" in second.err
    assert await daemon.stop() == 0


@pytest.mark.parametrize(
    "command",
    [
        "emit a.b",
        "webhook list",
        "webhook create http://127.0.0.1:9000/ --events *",
        "token create",
        "seed paylent",
        "migrate",
        "replay --since 2026-01-01T00:00:00Z",
        "tail",
        "listen",
    ],
)
async def test_no_command_starts_a_database_that_no_daemon_reads(
    unconfigured: Shell, command: str
) -> None:
    ended = await unconfigured(*command.split())
    assert (ended.code, ended.out) == (1, "")
    for remedy in ("DISPATCHER_DATABASE__DSN", "--api", "dispatcher run", "dispatcher demo"):
        assert remedy in ended.err
    assert not (unconfigured.directory / "state").exists()


@pytest.mark.long
async def test_commands_find_a_running_demo(unconfigured: Shell) -> None:
    demo = await unconfigured.start("demo")
    await demo.line(r"user\.created +evt_\d+ +attempt 1 +\d+\.\d ms  verified")
    emitted = await unconfigured("emit", "newcomer.hello")
    assert (emitted.code, "Using the running embedded PostgreSQL" in emitted.err) == (0, True)
    await demo.line(r"newcomer\.hello +" + emitted.out.strip())
    listed = await unconfigured("webhook", "list")
    assert (listed.code, "127.0.0.1" in listed.out) == (0, True)
    assert await demo.stop(signal.SIGINT) == 0


async def test_check_refuses_data_of_another_postgresql_as_run_does(unconfigured: Shell) -> None:
    data = unconfigured.directory / "state" / "postgres" / "pg9"
    data.mkdir(parents=True, mode=0o711)
    (data / "PG_VERSION").write_text("9\n")
    for ended in await unconfigured.each("run", "check"):
        assert (ended.code, ended.err.count("\n")) == (1, 1)
        assert f"{data} was created by PostgreSQL 9, but the one in" in ended.err
        assert "starts PostgreSQL" not in ended.out


async def test_a_state_directory_that_cannot_be_made_is_named(unconfigured: Shell) -> None:
    ended = await unconfigured.setting(database__state_directory="/proc/nowhere")("run")
    assert ended.code == 1
    assert "/proc/nowhere" in ended.err
    assert "database.state_directory" in ended.err
