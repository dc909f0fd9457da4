"""`dispatcher webhook delete` asks a person, and no script."""

import json

import pytest

from tests.end_to_end.shell import Shell

QUESTION = "Delete the webhook Orders (https://example.com/), and cancel its pending deliveries?"


@pytest.fixture
async def webhook(dispatcher: Shell) -> str:
    """The id of a webhook, which is called Orders."""
    created = await dispatcher(
        *("webhook", "create", "https://example.com/", "--events", "a", "--name", "Orders"),
        "--json",
    )
    return str(json.loads(created.out)["id"])


async def exists(dispatcher: Shell, webhook: str) -> bool:
    return (await dispatcher("webhook", "get", webhook)).code == 0


async def test_a_person_who_says_no_keeps_the_webhook(dispatcher: Shell, webhook: str) -> None:
    kept = await dispatcher.at_a_terminal("webhook", "delete", "Orders", typed=b"n\n")
    assert (kept.code, kept.out) == (1, "")
    assert QUESTION in kept.err
    assert await exists(dispatcher, webhook)


async def test_a_person_who_says_yes_deletes_it(dispatcher: Shell, webhook: str) -> None:
    deleted = await dispatcher.at_a_terminal("webhook", "delete", "Orders", typed=b"y\n")
    assert (deleted.code, deleted.out) == (0, f"deleted {webhook}\n")
    assert QUESTION in deleted.err
    assert not await exists(dispatcher, webhook)


async def test_nothing_is_asked_with_yes(dispatcher: Shell, webhook: str) -> None:
    deleted = await dispatcher.at_a_terminal("webhook", "delete", webhook, "--yes", typed=b"")
    assert (deleted.code, deleted.out, deleted.err) == (0, f"deleted {webhook}\n", "")


async def test_a_script_is_not_asked(dispatcher: Shell, webhook: str) -> None:
    deleted = await dispatcher.process("webhook", "delete", webhook)
    assert (deleted.code, deleted.out, deleted.err) == (0, f"deleted {webhook}\n", "")
