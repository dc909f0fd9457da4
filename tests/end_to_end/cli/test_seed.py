"""`dispatcher seed`: a catalogue from the program or from a file, all or nothing."""

import json
from pathlib import Path

from tests.conftest import Connection
from tests.end_to_end.shell import Shell
from tests.store import rows

FILE = """
[[event_types]]
name = "order.paid"
description = "An order was paid."
enforce = true
example = { id = 7 }
[event_types.schema]
type = "object"
required = ["id"]

[[event_types]]
name = "order.sent"
"""


async def names(connection: Connection, environment: str = "env_default") -> list[str]:
    records = await connection.fetch(
        "SELECT name FROM dispatcher.event_types WHERE environment_id = $1 ORDER BY name",
        environment,
    )
    return [row["name"] for row in records]


async def test_the_shipped_catalogue_is_loaded_once(
    dispatcher: Shell, connection: Connection
) -> None:
    first, again = await dispatcher.each("seed paylent --json", "seed paylent --json")
    assert (first.code, again.code) == (0, 0), first.err
    result = json.loads(first.out)
    assert result["environmentId"] == "env_default"
    assert sorted(result["added"]) == await names(connection)
    assert {"user.created", "custom_domain.deleted", "webhook.test"} <= set(result["added"])
    assert (result["changed"], result["unchanged"]) == ([], [])
    assert json.loads(again.out) == {**result, "added": [], "unchanged": result["added"]}


async def test_the_command_prints_the_result_as_text(
    dispatcher: Shell, connection: Connection, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(FILE)
    assert (await dispatcher("seed", str(file))).out == (
        "added     order.paid\nadded     order.sent\n0 unchanged\n"
    )
    file.write_text(FILE.replace("was paid", "has been paid"))
    assert (await dispatcher("seed", str(file))).out == "changed   order.paid\n1 unchanged\n"
    audited = await connection.fetch("SELECT DISTINCT actor FROM dispatcher.audit")
    assert [row["actor"].partition(":")[0] for row in audited] == ["cli"]


async def test_a_json_file_is_loaded_into_the_named_environment(
    dispatcher: Shell, connection: Connection, tmp_path: Path
) -> None:
    await rows.environment(connection, "env_x")
    file = tmp_path / "mine.json"
    file.write_text('[{"name":"a.b","example":null,"schema":false,"enforce":true}]')
    ended = await dispatcher("seed", str(file), "--environment", "env_x")
    assert ended.code == 0, ended.err
    assert await names(connection) == []
    assert await names(connection, "env_x") == ["a.b"]


async def test_a_file_with_a_mistake_changes_nothing(
    dispatcher: Shell, connection: Connection, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    for mistake, message in (
        ('name = "order..sent"', "event_types.1.name: "),
        ('name = "order.sent"\nenforce = true', "event_types.1.enforce: there is no schema"),
        ('name = "order.sent"\ncolour = "red"', "event_types.1.colour: "),
        ("name = order", "file: is not TOML"),
    ):
        file.write_text(FILE.replace('name = "order.sent"', mistake))
        ended = await dispatcher("seed", str(file))
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(message)
    assert await names(connection) == []


async def test_a_missing_object_is_reported(dispatcher: Shell, tmp_path: Path) -> None:
    for args, code, message in (
        (["payl"], 2, "payl is neither a file nor one of the shipped catalogues (paylent)"),
        ([str(tmp_path / "none.toml")], 1, f"{tmp_path / 'none.toml'}: No such file"),
        (["paylent", "--environment", "env_x"], 1, "There is no environment 'env_x'"),
    ):
        ended = await dispatcher("seed", *args)
        assert (ended.code, ended.out) == (code, "")
        assert ended.err.startswith(message)
