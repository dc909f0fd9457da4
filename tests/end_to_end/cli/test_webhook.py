"""`dispatcher webhook`, which does the same over the API as on the database."""

import json
import os
import pwd
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher.daemon.daemon import Daemon
from tests.certificates import Authority
from tests.conftest import Connection
from tests.end_to_end.shell import KEY, TOKEN, Ended, Shell, shell
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Receiver


def over(dispatcher: Shell, address: str) -> Shell:
    """Commands that know the API's address and have its token, and no database."""
    nowhere = "postgresql://127.0.0.1:1/nowhere"
    return dispatcher.setting(database__dsn=nowhere, api_url=address, api_token=TOKEN)


@pytest.fixture
async def address(daemons: Daemons, quiet: None) -> str:
    """Of the API of a daemon."""
    return (await daemons.start(secrets={"admin_token": TOKEN})).admin_address


@pytest.fixture
def over_the_api(dispatcher: Shell, address: str) -> Shell:
    return over(dispatcher, address)


@pytest.fixture(params=["over_the_api", pytest.param("dispatcher", marks=pytest.mark.long)])
def either(request: pytest.FixtureRequest, dispatcher: Shell) -> Shell:
    """Either of the two; on the database as one of the long tests, since every story takes seconds.

    `dispatcher` has the server started before the test that asks first.
    """
    chosen: Shell = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
async def reading(
    standing: Daemon, standing_dsn: str, tmp_path: Path, quiet: None
) -> AsyncIterator[tuple[Shell, Shell]]:
    """Commands over the API of the module's daemon, and on its database, which they may not change."""
    async with shell(tmp_path, database__dsn=standing_dsn, secrets__key=KEY) as opened:
        yield over(opened, standing.admin_address), opened


def read(ended: Ended) -> Any:
    assert (ended.code, ended.err) == (0, ""), ended
    return json.loads(ended.out)


async def created(shell: Shell, url: str, *args: str) -> dict[str, Any]:
    made: dict[str, Any] = read(
        await shell("webhook", "create", url, "--events", "*", *args, "--json")
    )
    return made


async def test_a_webhook_is_created_changed_and_deleted(either: Shell, receiver: Receiver) -> None:
    more = '{"rateLimit": 5, "headers": {"X-Own": "hush"}}'
    made = await created(either, receiver.url, "--name", "Sync", "--more", more)
    secret = made.pop("secret")
    assert re.fullmatch("[0-9a-f]{64}", secret)
    expected = {"url": receiver.url, "name": "Sync", "rateLimit": 5, "headerNames": ["X-Own"]}
    assert made.items() >= expected.items()
    id_ = made["id"]
    assert read(await either("webhook", "get", id_, "--json")) == made
    assert read(await either("webhook", "list", "--json")) == [made]
    assert read(await either("webhook", "list", "--state", "active", "--json")) == [made]
    none = await either("webhook", "list", "--search", "nothing like it")
    assert (none.out, none.err) == ("", "There are no such webhooks.\n")

    changed = read(
        await either("webhook", "update", id_, "--events", "a.b, c", "--name", "New", "--json")
    )
    assert (sorted(changed["events"]), changed["name"]) == (["a.b", "c"], "New")
    assert changed["rateLimit"] == 5
    off = await either("webhook", "disable", id_)
    assert "state   disabled" in off.out
    assert read(await either("webhook", "enable", id_, "--json"))["active"] is True
    enabled = await either("webhook", "enable", id_)
    assert f"dispatcher replay {id_} --since TIME" in enabled.err
    at_once = await either("webhook", "rotate", id_)
    assert "The old secret signs nothing from now on." in at_once.out
    rotated = read(await either("webhook", "rotate", id_, "--overlap", "1h", "--json"))
    assert rotated["secret"] != secret
    assert rotated["previousSecretUntil"] is not None
    assert (await either("webhook", "delete", id_)).out == f"deleted {id_}\n"
    gone = await either("webhook", "get", id_)
    assert (gone.code, gone.out, gone.err) == (
        1,
        "",
        f"There is no webhook {id_}. Check its id and the environment.\n",
    )


async def test_the_api_and_the_database_return_the_same_fields(
    over_the_api: Shell, dispatcher: Shell, receiver: Receiver
) -> None:
    made = await created(over_the_api, receiver.url)
    for verb in (["get", made["id"]], ["list"], ["deliveries", made["id"]]):
        one = await over_the_api("webhook", *verb, "--json")
        assert read(one) == read(await dispatcher("webhook", *verb, "--json"))
    here, there = [
        await shell("webhook", "get", made["id"]) for shell in (dispatcher, over_the_api)
    ]
    assert here.out == there.out


@pytest.mark.usefixtures("address")
async def test_a_test_is_sent_and_listed_among_the_deliveries(
    either: Shell, receiver: Receiver, story: Story
) -> None:
    made = await created(either, receiver.url)
    sent = read(await either("webhook", "test", made["id"], "--json"))
    assert (sent["event"], sent["webhookId"]) == ("webhook.test", made["id"])
    await receiver.wait_for(1)
    await story.ended(DELIVERED=1)
    [listed] = read(await either("webhook", "deliveries", made["id"], "--json"))
    assert (listed["id"], listed["status"], listed["responseStatus"]) == (
        sent["id"],
        "DELIVERED",
        200,
    )
    line = await either("webhook", "deliveries", made["id"], "--status", "delivered")
    assert re.search(rf"DELIVERED +{sent['id']} +webhook\.test +attempts 1 +200\n$", line.out)
    none = await either("webhook", "deliveries", made["id"], "--status", "FAILED")
    assert (none.code, none.out, none.err) == (0, "", "There are no such deliveries.\n")
    past = await either("webhook", "deliveries", made["id"], "--until", "1h", "--json")
    assert read(past) == []


@pytest.mark.usefixtures("address")
async def test_as_many_deliveries_are_listed_as_were_asked_for(
    either: Shell, receiver: Receiver, story: Story
) -> None:
    made = await created(either, receiver.url)
    await story.connection.execute(
        "INSERT INTO dispatcher.events (type, data) SELECT 'a.b', '{}' FROM generate_series(1, 105)"
    )
    await story.ended(DELIVERED=105)
    cut = await either("webhook", "deliveries", made["id"], "--limit", "7")
    assert (cut.out.count("\n"), cut.err) == (
        7,
        "Only the newest 7 are shown. For more: --limit 70.\n",
    )
    for limit in (7, 103):
        ended = await either("webhook", "deliveries", made["id"], "--limit", str(limit), "--json")
        assert len({item["id"] for item in read(ended)}) == limit


async def test_missed_events_are_counted_and_replayed(either: Shell, receiver: Receiver) -> None:
    made = await created(either, receiver.url)
    counted = await either("webhook", "recover", made["id"], "--since", "1h", "--dry-run")
    assert (counted.code, counted.out) == (0, "0 failed and 0 missed\n")
    started = read(await either("webhook", "recover", made["id"], "--since", "1h", "--json"))
    assert (started["webhookId"], started["total"]) == (made["id"], 0)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["create", "http://10.0.0.1/", "--events", "*"], "url: a private address"),
        (["create", "http://127.0.0.1/", "--events", "a..b"], "events.0: 'a..b' is not a pattern"),
        (["create", "http://127.0.0.1/", "--events", "*", "--more", '{"x":1}'], "x: is not known"),
    ],
)
async def test_an_invalid_catalogue_is_refused_with_the_place(
    reading: tuple[Shell, Shell], args: list[str], message: str
) -> None:
    for shell_ in reading:
        refused = await shell_("webhook", *args)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.startswith(message)


async def test_the_named_environment_is_used(
    either: Shell, receiver: Receiver, connection: Connection
) -> None:
    await connection.execute("INSERT INTO dispatcher.environments (id, name) VALUES ('env_x', 'X')")
    elsewhere = await created(either, receiver.url, "--environment", "env_x")
    assert elsewhere["environmentId"] == "env_x"
    here = await created(either, receiver.url)
    named = read(await either("webhook", "list", "--environment", "env_x", "--json"))
    assert [webhook["id"] for webhook in named] == [elsewhere["id"]]
    every = read(await either("webhook", "list", "--json"))
    assert [webhook["id"] for webhook in every] == [elsewhere["id"], here["id"]]
    foreign = await either("webhook", "get", here["id"], "--environment", "env_x")
    assert (foreign.code, foreign.err) == (
        1,
        f"There is no webhook {here['id']}. Check its id and the environment.\n",
    )
    nowhere = await either("webhook", "list", "--environment", "env_y")
    assert (nowhere.code, "here is no environment" in nowhere.err) == (1, True)


async def test_a_webhook_and_an_environment_are_named_by_their_names(
    either: Shell, receiver: Receiver, connection: Connection
) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.environments (id, name) VALUES ('env_x', 'X Ltd'), ('env_y', 'Y')"
    )
    there = ("--environment", "X Ltd")
    made = await created(either, receiver.url, "--name", "failing one", *there)
    await created(either, receiver.url, "--name", "failing one or two")
    assert made["environmentId"] == "env_x"
    assert read(await either("webhook", "get", "failing one", "--json"))["id"] == made["id"]
    assert read(await either("webhook", "deliveries", "failing one", "--json")) == []
    assert read(await either("delivery", "list", "--webhook", "failing one", "--json")) == []
    counted = await either("delivery", "retry", "--webhook", "failing one", "--dry-run")
    assert counted.err == "0 deliveries match.\n"
    [listed] = read(await either("environment", "list", *there, "--json"))
    assert listed["id"] == "env_x"
    [entry] = read(await either("audit", "list", *there, "--json"))
    assert (entry["subject"], entry["environmentId"]) == (made["id"], "env_x")
    unknown = await either("webhook", "delete", "other one")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err.startswith("There is no webhook named 'other one'.")
    await created(either, receiver.url, "--name", "failing one")
    twice = await either("webhook", "delete", "failing one")
    assert (twice.code, made["id"] in twice.err) == (1, True)
    assert twice.err.startswith("2 webhooks are named 'failing one'. Give an id: ")
    gone = await either("webhook", "delete", "failing one", *there)
    assert gone.out == f"deleted {made['id']}\n"
    await connection.execute("UPDATE dispatcher.environments SET name = 'Y' WHERE id = 'env_x'")
    ambiguous = await either("webhook", "list", "--environment", "Y")
    assert (ambiguous.code, ambiguous.out) == (2, "")
    assert ambiguous.err.startswith("2 environments have this name.")
    for name in ("Z", "Ü ltd"):
        nowhere = await either("webhook", "list", "--environment", name)
        assert (nowhere.code, "here is no environment" in nowhere.err) == (1, True)


async def test_the_audit_names_the_user_of_the_system(
    dispatcher: Shell, connection: Connection
) -> None:
    await created(dispatcher, "http://127.0.0.1:9009/")
    actor = await connection.fetchval("SELECT actor FROM dispatcher.audit")
    assert actor == f"cli:{pwd.getpwuid(os.getuid()).pw_name}"


# ── the token ────────────────────────────────────────────────────────────────────────────────────


async def test_a_wrong_token_is_refused_and_not_repeated(reading: tuple[Shell, Shell]) -> None:
    wrong = "w" * 40
    refused = await reading[0].setting(api_token=wrong)("webhook", "list")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("The API refuses the token: ")
    assert wrong not in refused.err


async def test_without_a_token_no_request_is_sent(reading: tuple[Shell, Shell]) -> None:
    ended = await reading[0].setting(api_token="")("webhook", "list")
    assert (ended.code, ended.out) == (2, "")
    assert "$DISPATCHER_API_TOKEN" in ended.err


async def test_the_token_may_be_in_a_private_file(
    reading: tuple[Shell, Shell], tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o640)
    bare = reading[0].setting(api_token="")
    open_ = await bare("webhook", "list", "--token-file", str(file))
    assert (open_.code, "chmod 600" in open_.err) == (2, True)
    file.chmod(0o600)
    assert read(await bare("webhook", "list", "--token-file", str(file), "--json")) == []


async def test_a_token_of_one_environment_lists_its_webhooks(
    over_the_api: Shell, dispatcher: Shell, receiver: Receiver
) -> None:
    made = read(await dispatcher("token", "create", "--scope", "read", "--json"))
    webhook = await created(over_the_api, receiver.url)
    reader = over_the_api.setting(api_token=made["token"])
    assert [entry["id"] for entry in read(await reader("webhook", "list", "--json"))] == [
        webhook["id"]
    ]
    refused = await reader("webhook", "delete", webhook["id"])
    assert (refused.code, "scope `write`" in refused.err) == (1, True)


@pytest.mark.parametrize(("url", "code"), [("http://127.0.0.1:1", 1), ("nowhere", 2)])
async def test_an_unreachable_api_is_reported_in_one_line(
    reading: tuple[Shell, Shell], url: str, code: int
) -> None:
    ended = await reading[1].setting(api_token=TOKEN)("webhook", "list", "--api", url)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert TOKEN not in ended.err


# ── other commands over the API ──────────────────────────────────────────────────────────────────


async def test_an_event_is_emitted_byte_for_byte(over_the_api: Shell, receiver: Receiver) -> None:
    await created(over_the_api, receiver.url)
    data = '{"b" : 1.10, "a":1e400, "n": ' + "9" * 40 + ', "s":"\\u00e9"}'
    emitted = read(await over_the_api("emit", "user.created", "--data", data, "--json"))
    [request] = await receiver.wait_for(1)
    assert request.body.endswith(f',"data":{data}}}'.encode())
    assert emitted == {
        "id": json.loads(request.body[: request.body.index(b',"data"')] + b"}")["event_id"],
        "type": "user.created",
        "environmentId": "env_default",
    }


@pytest.mark.parametrize("data", ["{", '1, "type": "other.type"', ""])
async def test_data_that_is_no_json_is_not_sent(reading: tuple[Shell, Shell], data: str) -> None:
    ended = await reading[0]("emit", "user.created", "--data", data)
    assert (ended.code, ended.out) == (2, "")
    assert "The data is not JSON" in ended.err


async def test_the_same_key_names_the_first_event(over_the_api: Shell) -> None:
    once = await over_the_api("emit", "a.b", "--idempotency-key", "k")
    again = await over_the_api("emit", "a.b", "--idempotency-key", "k")
    assert (once.code, again.code, once.out) == (0, 0, again.out)


async def test_tokens_are_made_listed_and_revoked(either: Shell) -> None:
    made = read(await either("token", "create", "--scope", "write", "--name", "shop", "--json"))
    assert made["token"].startswith("dsp_")
    assert (made["scope"], made["environmentId"]) == ("write", "env_default")
    listed = read(await either("token", "list", "--environment", "env_default", "--json"))
    assert [token["id"] for token in listed] == [made["id"]]
    revoked = read(await either("token", "revoke", made["id"], "--json"))
    assert revoked == {"id": made["id"], "revoked": True}


async def test_a_bound_token_makes_tokens_of_its_own_environment(
    over_the_api: Shell,
) -> None:
    await over_the_api("environment", "create", "env_acme", "--name", "Acme")
    bound = read(
        await over_the_api("token", "create", "--environment", "Acme", "--scope", "admin", "--json")
    )
    made = read(await over_the_api.setting(api_token=bound["token"])("token", "create", "--json"))
    assert (bound["environmentId"], made["environmentId"]) == ("env_acme", "env_acme")


async def test_a_catalogue_is_put_into_the_environment_that_is_said(
    over_the_api: Shell, connection: Connection
) -> None:
    await over_the_api("environment", "create", "env_acme", "--name", "Acme")
    seed = ("seed", "paylent", "--json")
    assert read(await over_the_api(*seed))["environmentId"] == "env_default"
    assert read(await over_the_api(*seed, "--environment", "Acme"))["environmentId"] == "env_acme"
    await connection.execute("DELETE FROM dispatcher.event_types")
    token = read(
        await over_the_api("token", "create", "--environment", "Acme", "--scope", "write", "--json")
    )
    bound = over_the_api.setting(api_token=token["token"])
    assert read(await bound(*seed))["environmentId"] == "env_acme"
    written = "SELECT DISTINCT environment_id FROM dispatcher.event_types"
    assert await connection.fetchval(written) == "env_acme"
    listed = read(await bound("event-type", "list", "--json"))
    assert {event_type["environmentId"] for event_type in listed} == {"env_acme"}


async def test_a_catalogue_is_put_in(either: Shell, connection: Connection) -> None:
    added = read(await either("seed", "paylent", "--json"))
    assert len(added["added"]) == 18
    again = read(await either("seed", "paylent", "--json"))
    assert len(again["unchanged"]) == 18
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.event_types") == 18


async def test_credentials_come_from_files(
    either: Shell, receiver: Receiver, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.client()
    files = {"cert": certificate, "key": key, "basic": "me:hush:hush\n", "line": "no colon"}
    files["oauth2"] = json.dumps(
        {"token_url": receiver.url, "client_id": "me", "client_secret": "hush"}
    )
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    cert, key_file, basic, oauth2 = (
        str(tmp_path / name) for name in ("cert", "key", "basic", "oauth2")
    )
    tls = ("--tls-cert", cert, "--tls-key", key_file, "--tls-ca", str(authority.root))
    made = await created(either, receiver.url, *tls, "--basic-auth-file", basic)
    assert made["authentication"]["type"] == "basic"
    assert made["tls"]["certificate"]["subject"] == "CN=127.0.0.1"
    change = ("webhook", "update", made["id"])
    changed = read(await either(*change, "--oauth2-file", oauth2, "--no-tls", "--json"))
    assert (changed["authentication"]["clientId"], changed["tls"]) == ("me", None)
    shown = await either("webhook", "get", made["id"])
    assert f"auth    oauth2, tokens from {receiver.url}" in shown.out
    assert "hush" not in shown.out + json.dumps(changed)
    removed = read(await either(*change, "--no-authentication", "--json"))
    assert removed["authentication"] is None
    for wrong in (
        ("--tls-cert", cert),
        ("--basic-auth-file", basic, "--oauth2-file", oauth2),
        ("--basic-auth-file", str(tmp_path / "line")),
        ("--oauth2-file", basic),
        ("--tls-ca", str(tmp_path / "missing")),
        ("--no-tls", "--tls-ca", cert),
        ("--url", "https://me:hush@example.com/"),
    ):
        refused = await either(*change, *wrong)
        assert refused.code == 2, wrong
        assert "hush" not in refused.err + refused.out
