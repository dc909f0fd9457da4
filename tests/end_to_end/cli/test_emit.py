"""`dispatcher emit --ndjson`, which does the same over the API as on the database."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.conftest import Connection, connected
from tests.end_to_end.cli.test_webhook import address, either, over_the_api  # noqa: F401 - fixtures
from tests.end_to_end.shell import Shell

EMITTED = "SELECT 'evt_' || id AS id, type, data::text FROM dispatcher.events ORDER BY id"
EVENT = {"type": "a.b", "data": 1}


def ndjson(path: Path, *events: object) -> str:
    file = path / "events.ndjson"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    return str(file)


async def test_the_events_of_a_file_are_emitted_and_their_ids_printed_in_order(
    either: Shell,  # noqa: F811
    tmp_path: Path,
    connection: Connection,
) -> None:
    data = '{"b" : 1.10, "a":1e400}'
    file = tmp_path / "events.ndjson"
    file.write_text(
        f'{{"type": "z.last", "data": {data}, "idempotencyKey": "z"}}\n\n'
        '{"type": "a.first", "data": null, "idempotencyKey": "a"}\n{"type": "a.b", "data": null}'
    )
    ended = await either("emit", "--ndjson", str(file))
    assert (ended.code, ended.err) == (0, "")
    emitted = {row["id"]: (row["type"], row["data"]) for row in await connection.fetch(EMITTED)}
    assert [emitted[id_] for id_ in ended.out.split()] == [
        ("z.last", data),
        ("a.first", "null"),
        ("a.b", "null"),
    ]
    again = await either("emit", "--ndjson", str(file), "--json")
    printed = [json.loads(line) for line in again.out.splitlines()]
    assert [event["type"] for event in printed] == ["z.last", "a.first", "a.b"]
    assert [event["id"] for event in printed[:2]] == ended.out.split()[:2]
    assert len(await connection.fetch(EMITTED)) == 4


@pytest.mark.parametrize("form", ["one", "many"])
async def test_an_event_keeps_its_reference(
    either: Shell,  # noqa: F811
    tmp_path: Path,
    connection: Connection,
    form: str,
) -> None:
    file = ndjson(tmp_path, {**EVENT, "reference": "ord_1"})
    words = ("--ndjson", file) if form == "many" else ("a.b", "--reference", "ord_1")
    ended = await either("emit", *words)
    assert (ended.code, ended.err) == (0, "")
    assert await connection.fetchval(
        "SELECT reference FROM dispatcher.events WHERE 'evt_' || id = $1", ended.out.strip()
    ) == ("ord_1")


@pytest.mark.long
async def test_a_file_with_more_events_than_a_request_may_have_is_emitted(
    either: Shell,  # noqa: F811
    tmp_path: Path,
    connection: Connection,
) -> None:
    file = ndjson(tmp_path, *({"type": "a.b", "data": number} for number in range(1_001)))
    ended = await either("emit", "--ndjson", file)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.split() == [row["id"] for row in await connection.fetch(EMITTED)]
    assert [row["data"] for row in await connection.fetch(EMITTED)] == [
        str(number) for number in range(1_001)
    ]


async def test_an_error_says_up_to_which_line_events_were_emitted(
    either: Shell,  # noqa: F811
    tmp_path: Path,
    connection: Connection,
) -> None:
    file = ndjson(tmp_path, *[EVENT] * 1_001, {"type": "a..b", "data": 1})
    ended = await either("emit", "--ndjson", file)
    assert (ended.code, len(ended.out.split())) == (2, 1_000)
    assert ended.err.startswith("Lines 1 to 1000 were emitted.\nline 1002, type: 'a..b' is not ")
    assert len(await connection.fetch(EMITTED)) == 1_000


async def test_a_refused_event_spoils_its_whole_batch(
    either: Shell,  # noqa: F811
    tmp_path: Path,
    connection: Connection,
) -> None:
    large = "x" * 300_000
    file = ndjson(tmp_path, EVENT, {"type": "a.b", "data": large})
    ended = await either("emit", "--ndjson", file)
    assert (ended.code, ended.out) == (2, "")
    assert "data is 300002 bytes, the limit is 262144" in ended.err
    assert ended.err.startswith("line")
    assert await connection.fetch(EMITTED) == []


async def test_an_unknown_environment_is_an_error(
    either: Shell,  # noqa: F811
    tmp_path: Path,
) -> None:
    file = ndjson(tmp_path, EVENT)
    ended = await either("emit", "--ndjson", file, "--environment", "env_x")
    assert (ended.code, ended.out, "env_x" in ended.err) == (1, "", True)


async def test_the_api_says_what_to_do_about_an_unknown_environment(
    over_the_api: Shell,  # noqa: F811
) -> None:
    ended = await over_the_api("emit", "a.b", "--environment", "env_x")
    assert (ended.code, ended.err) == (1, "There is no environment 'env_x'. Check its id.\n")


async def test_standard_input_is_read_as_a_file(dispatcher: Shell, connection: Connection) -> None:
    ended = await dispatcher.process("emit", "--ndjson", "-", stdin=b'{"type": "a.b", "data": 1}\n')
    assert ended.out.split() == [row["id"] for row in await connection.fetch(EMITTED)]


async def test_the_producers_role_is_enough_to_emit_many(
    dispatcher: Shell, dsn: str, tmp_path: Path
) -> None:
    async with connected(dsn) as connection:
        await connection.execute("DROP ROLE IF EXISTS cli_many")
        await connection.execute("CREATE ROLE cli_many LOGIN IN ROLE dispatcher_producer")
    try:
        producer = dispatcher.setting(database__dsn=dsn.replace("//postgres@", "//cli_many@"))
        ended = await producer("emit", "--ndjson", ndjson(tmp_path, EVENT))
        assert (ended.code, ended.out.startswith("evt_")) == (0, True)
    finally:
        async with connected(dsn) as connection:
            await connection.execute("DROP ROLE cli_many")


async def test_an_answer_that_is_lost_leaves_the_events_unknown(
    dispatcher: Shell, tmp_path: Path
) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        shell = dispatcher.setting(api_url=url, api_token="t" * 40)
        ended = await shell("emit", "--ndjson", ndjson(tmp_path, EVENT))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("It is not known whether lines 1 to 1 were emitted.")
