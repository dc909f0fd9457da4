"""`dispatcher token`, on a real database."""

import json
import os
import pwd
import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dispatcher.services.access.token_authentication import Principal, TokenAuthenticator
from dispatcher.store.pool import Pool
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.end_to_end.shell import Shell


async def created(dispatcher: Shell, *args: str) -> dict[str, Any]:
    ended = await dispatcher("token", "create", *args, "--json")
    assert (ended.code, ended.err) == (0, ""), ended.err
    token: dict[str, Any] = json.loads(ended.out)
    return token


async def whose(dsn: str, text: str) -> Principal | None:
    session = Session(dsn, "test")
    try:
        return await TokenAuthenticator(Pool([session]), None).authenticate(text)
    finally:
        await session.close()


async def test_a_token_can_have_the_scope_support(dispatcher: Shell, dsn: str) -> None:
    token = await created(dispatcher, "--scope", "support", "--name", "Ada")
    holder = await whose(dsn, token["token"])
    assert holder == Principal(token["id"], "Ada", "support", "env_default")
    assert [holder.may(scope) for scope in ("read", "support", "write", "admin")] == [
        True,
        True,
        False,
        False,
    ]


async def test_the_printed_token_is_accepted(dispatcher: Shell, dsn: str) -> None:
    token = await created(dispatcher, "--environment", "*", "--scope", "admin", "--name", "ops")
    assert UUID(token["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", token["createdAt"])
    assert token | {"id": "", "token": "", "createdAt": ""} == {
        "id": "",
        "token": "",
        "name": "ops",
        "scope": "admin",
        "environmentId": "*",
        "createdAt": "",
        "expiresAt": None,
    }
    assert await whose(dsn, token["token"]) == Principal(token["id"], "ops", "admin", None)


async def test_by_default_a_token_only_reads_and_only_in_one_environment(dispatcher: Shell) -> None:
    token = await created(dispatcher)
    assert (token["scope"], token["environmentId"]) == ("read", "env_default")


async def test_the_command_says_that_the_token_is_shown_once(dispatcher: Shell) -> None:
    made = await dispatcher("token", "create", "--name", "my laptop")
    assert re.fullmatch(r"dsp_[\w-]{43}\n", made.out)  # as it is put into a variable
    assert "my laptop" in made.err
    assert "not shown again" in made.err
    listed = await dispatcher("token", "list")
    assert "my laptop" in listed.out
    assert made.out.strip() not in listed.out


async def test_a_token_expires_after_the_given_time(dispatcher: Shell) -> None:
    token = await created(dispatcher, "--expires", "30d")
    lifetime = datetime.fromisoformat(token["expiresAt"]) - datetime.fromisoformat(
        token["createdAt"]
    )
    assert abs(lifetime - timedelta(days=30)) < timedelta(minutes=1)


async def test_a_token_is_listed_until_it_is_revoked_and_after(dispatcher: Shell, dsn: str) -> None:
    token = await created(dispatcher)
    assert await whose(dsn, token["token"]) is not None
    revoked, again = [await dispatcher("token", "revoke", token["id"]) for _ in range(2)]
    assert (revoked.code, revoked.out) == (0, f"revoked {token['id']}\n")
    assert (again.code, again.out) == (1, "")
    assert again.err == f"There is no token {token['id']} to revoke. It may be revoked already.\n"
    assert await whose(dsn, token["token"]) is None

    [listed] = json.loads((await dispatcher("token", "list", "--json")).out)
    assert listed.items() >= {k: v for k, v in token.items() if k != "token"}.items()
    assert "token" not in listed
    assert listed["lastUsedAt"] is not None
    assert listed["revokedAt"] is not None
    assert "revoked  " in (await dispatcher("token", "list")).out


async def test_a_token_is_revoked_by_its_name_if_no_other_valid_one_has_it(
    dispatcher: Shell,
) -> None:
    one, other = [await created(dispatcher, "--name", "tmp") for _ in range(2)]
    several = await dispatcher("token", "revoke", "tmp")
    assert (several.code, several.out) == (1, "")
    assert several.err.startswith("2 tokens are named 'tmp'. Give an id: ")
    assert one["id"] in several.err
    assert (await dispatcher("token", "revoke", one["id"])).code == 0
    elsewhere = await dispatcher("token", "revoke", "tmp", "--environment", "env_x")
    assert (elsewhere.code, elsewhere.out) == (1, "")
    assert (await dispatcher("token", "revoke", "tmp")).out == f"revoked {other['id']}\n"
    none = await dispatcher("token", "revoke", "tmp")
    assert (none.code, none.out) == (1, "")
    assert none.err == "There is no token 'tmp' to revoke. See `dispatcher token list`.\n"


async def test_tokens_of_one_environment_are_listed_apart(dispatcher: Shell) -> None:
    token = await created(dispatcher)
    await created(dispatcher, "--environment", "*")
    of_one = await dispatcher("token", "list", "--environment", "env_default", "--json")
    assert [entry["id"] for entry in json.loads(of_one.out)] == [token["id"]]
    none = await dispatcher("token", "list", "--environment", "env_x")
    assert (none.code, none.out, none.err) == (0, "", "There are no tokens.\n")


async def test_the_audit_names_the_user_of_the_system(
    dispatcher: Shell, connection: Connection
) -> None:
    await created(dispatcher)
    actor = await connection.fetchval("SELECT actor FROM dispatcher.audit")
    assert actor == f"cli:{pwd.getpwuid(os.getuid()).pw_name}"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--environment", "env_x"], 2, "environmentId: there is no environment 'env_x'\n"),
        (["--environment", "env x"], 1, "There is no environment of this name. Give the id of one.\n"),
        (["--name", " "], 2, "--name: must be printable characters"),
    ],
)  # fmt: skip
async def test_an_invalid_token_is_refused(
    dispatcher: Shell, connection: Connection, args: list[str], code: int, message: str
) -> None:
    ended = await dispatcher("token", "create", *args)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith(message)
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.tokens") == 0


@pytest.mark.parametrize(
    "args",
    [
        ["create", "--expires", "soon"],
        ["create", "--expires", "0s"],
        ["create", "--expires", "9" * 400 + "d"],
        ["create", "--scope", "root"],
    ],
)
async def test_wrong_usage_exits_with_2(dispatcher: Shell, args: list[str]) -> None:
    ended = await dispatcher("token", *args)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: ")
