"""Odd input: one line says what is wrong with it, over the API and on a database alike."""

import json
from typing import Any

import pytest

from tests.conftest import Connection
from tests.end_to_end.cli.test_webhook import (  # noqa: F401 - fixtures
    address,
    created,
    either,
    over_the_api,
    read,
    reading,
)
from tests.end_to_end.shell import Ended, Shell

URL = "http://127.0.0.1:8999/"
NO_UTF_8 = "\udcff"
"""A byte of an argument that is not UTF-8."""


def refused(ended: Ended, message: str) -> None:
    """Check that the command says so in its last line, and ends as for wrong usage."""
    assert (ended.code, ended.out) == (2, ""), ended
    assert message in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err


@pytest.fixture
async def webhook(dispatcher: Shell, address: str) -> dict[str, Any]:  # noqa: F811
    return await created(dispatcher, URL, "--more", '{"rateLimit": 5}')


REFUSED_MORE = (
    ('{"rateLimit": NaN}', "--more must be JSON: NaN is not a number of JSON."),
    ('{"rateLimit": -Infinity}', "--more must be JSON: -Infinity is not a number of JSON."),
    ('{"timeout": 1e999}', "--more must be JSON: 1e999 is too large a number."),
    ('{"rateLimit": ', "--more must be JSON."),
    ("7", "--more must be a JSON object."),
    ('{"webhook_id": 1}', "--more must be without 'webhook_id': the webhook is the argument"),
    ('{"metadata": {"id": 12345678901234567890123}}', "with numbers of 64 bits"),
    (r'{"name": "\ud800"}', "The body contains half of a surrogate pair"),
    (r'{"url": "https://a\ud800:b@x/"}', "The body contains half of a surrogate pair"),
    ('{"metadata": {"a": ' + 100 * "[" + 100 * "]" + "}}", "nested more than 64 deep"),
    ('{"metadata": {"a": ' + 900 * "[" + 900 * "]" + "}}", "deep"),
)


async def test_more_fields_that_are_not_accepted_change_nothing(
    either: Shell,  # noqa: F811
    webhook: dict[str, Any],
) -> None:
    for more, message in REFUSED_MORE:
        refused(await either("webhook", "update", webhook["id"], "--more", more), message)
    assert read(await either("webhook", "get", webhook["id"], "--json"))["rateLimit"] == 5


REFUSED_OF_NEW = (
    ('{"url": "http://x/"}', "--more must be without 'url': give it as the argument URL."),
    ('{"events": ["a"]}', "--more must be without 'events': give them by --events."),
)


async def test_more_fields_of_a_new_webhook_are_not_its_arguments(
    dispatcher: Shell, connection: Connection
) -> None:
    for more, message in REFUSED_OF_NEW:
        ended = await dispatcher("webhook", "create", URL, "--events", "*", "--more", more)
        refused(ended, message)
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.endpoints") == 0


async def test_a_schema_may_have_a_number_that_is_long(
    either: Shell,  # noqa: F811
) -> None:
    schema = '{"maximum": 123456789012345678901234567890}'
    put = await either("event-type", "put", "a.b", "--schema", schema, "--json")
    assert read(put)["schema"] == json.loads(schema)


REFUSED_OF_TYPES = (
    ("example", "NaN", "--example must be JSON: NaN is not a number of JSON."),
    ("example", 300 * "[" + 300 * "]", "nested more than 64 deep"),
    ("schema", '{"maximum": Infinity}', "--schema must be JSON: Infinity is not"),
    ("schema", "{", "--schema must be JSON."),
)


async def test_an_event_type_is_put_with_json_only(
    either: Shell,  # noqa: F811
) -> None:
    for option, text, message in REFUSED_OF_TYPES:
        refused(await either("event-type", "put", "a.b", f"--{option}", text), message)


COMMANDS_WITH_ID = (
    ("event", "get"),
    ("event", "deliveries"),
    ("delivery", "get"),
    ("delivery", "retry"),
    ("delivery", "cancel"),
    ("bulk-action", "get"),
    ("bulk-action", "cancel"),
    ("quarantine", "get"),
    ("quarantine", "release"),
    ("quarantine", "discard"),
    ("event-type", "get"),
    ("event-type", "put"),
    ("event-type", "delete"),
    ("webhook", "recovery", "00000000-0000-4000-8000-000000000000"),
    ("webhook", "cancel-recovery", "00000000-0000-4000-8000-000000000000"),
)


async def test_text_that_is_no_id_is_wrong_usage(
    either: Shell,  # noqa: F811
) -> None:
    for command in COMMANDS_WITH_ID:
        for text in ("", ".."):
            refused(await either(*command, text), f"{text!r} is not an id")
        refused(await either(*command, NO_UTF_8), "is not UTF-8 text")


COMMANDS_WITH_TEXT = (
    ("delivery", "list", "--reference"),
    ("event", "list", "--type"),
    ("audit", "list", "--actor"),
    ("webhook", "list", "--search"),
    ("webhook", "get"),
    ("webhook", "create", URL, "--events", "*", "--name"),
    ("environment", "create", "--name"),
    ("token", "create", "--name"),
)


async def test_an_argument_that_is_not_utf_8_is_wrong_usage(
    either: Shell,  # noqa: F811
) -> None:
    for command in COMMANDS_WITH_TEXT:
        ended = await either(*command, NO_UTF_8)
        assert (ended.code, ended.out) == (2, ""), (command, ended)
        assert ended.err.count("\n") == 1 or ended.err.startswith("Usage: "), (command, ended)


@pytest.mark.parametrize(
    "address_",
    ["http://x:99999", "http://x:abc", "http://a..b", f"http://{'a' * 64}.b", f"http://{NO_UTF_8}"],
)
async def test_an_address_that_cannot_be_one_is_wrong_usage(
    reading: tuple[Shell, Shell],  # noqa: F811
    address_: str,
) -> None:
    shell = reading[1].setting(api_token="t")
    for command in (("stats",), ("emit", "a.b")):
        refused(await shell(*command, "--api", address_), "has no valid host or port: ")


async def test_an_event_is_not_emitted_with_an_empty_key_or_environment(
    either: Shell,  # noqa: F811
    connection: Connection,
) -> None:
    for option in ("--idempotency-key", "--environment"):
        ended = await either("emit", "a.b", option, "")
        assert (ended.code in (1, 2), ended.out) == (True, ""), ended
        assert ended.err
    seeded = await either("seed", "paylent", "--environment", "")
    assert (seeded.code, seeded.out) == (1, ""), seeded
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.events") == 0


async def test_a_key_of_two_lines_is_not_sent(over_the_api: Shell) -> None:  # noqa: F811
    for key in ("a\nb", f"a{NO_UTF_8}"):
        refused(await over_the_api("emit", "a.b", "--idempotency-key", key), "Idempotency-Key: ")
