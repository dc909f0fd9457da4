"""`replay`, and `delivery retry` and `cancel` of many, whose work ends before all of it is done."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dispatcher.cli import bulk
from dispatcher.cli.commands import replay
from dispatcher.cli.options.delivery_options import Selection
from dispatcher.client import NotFoundError, Resource
from dispatcher.client.methods import AsyncApi
from tests.conftest import Connection
from tests.end_to_end.cli.test_live import (  # noqa: F401 - fixtures
    address,
    daemon,
    failed,
    over_the_api,
)
from tests.end_to_end.shell import Ended, Shell
from tests.end_to_end.stories import Story
from tests.receivers import Receiver
from tests.store import rows

_COUNT = "SELECT count(*) = 1 FROM dispatcher.{}"
_CANCEL = "UPDATE dispatcher.{} SET made = 1, state = 'CANCELLED', finished_at = now() RETURNING id"


async def cancelled(
    dispatcher: Shell, connection: Connection, table: str, *command: str
) -> tuple[Ended, str]:
    """Cancel the work of a command after one delivery. Return what it prints, and the number."""
    waiting = asyncio.create_task(dispatcher(*command))
    await rows.until_true(connection, _COUNT.format(table))
    number = await connection.fetchval(_CANCEL.format(table))
    return await waiting, str(number)


async def test_a_replay_that_is_cancelled_is_no_success(
    dispatcher: Shell, connection: Connection
) -> None:
    await dispatcher.each("emit a.b", "emit a.b")
    await connection.execute("DELETE FROM dispatcher.inbox")  # as if they had been fanned out
    webhook = await rows.endpoint(connection, "*")
    command = ("replay", str(webhook), "--since", "1h", "--yes")
    ended, _ = await cancelled(dispatcher, connection, "replays", *command)
    assert ended.code == 1, ended
    assert ended.out.endswith(f"{webhook}  one  CANCELLED  1 queued again\n")
    assert ended.err.endswith(
        f"The recovery of {webhook} was cancelled, with 1 of 2 queued again.\n"
    )


@pytest.mark.parametrize("action", ["retry", "cancel"])
async def test_a_bulk_action_that_is_cancelled_is_no_success(
    dispatcher: Shell, connection: Connection, action: str
) -> None:
    webhook = await rows.endpoint(connection, "*")
    for _ in range(2):
        await rows.delivery(connection, webhook)
    command = ("delivery", action, "--all", "--yes")
    ended, number = await cancelled(dispatcher, connection, "bulk_actions", *command)
    assert ended.code == 1, ended
    assert f"blk_{number}  CANCELLED  1 " in ended.out
    assert ended.err.endswith(f"blk_{number} was cancelled, after 1 of 2 deliveries.\n")


def deleting_first(monkeypatch: pytest.MonkeyPatch, connection: Connection, webhook: str) -> None:
    """Let the webhook be deleted between the question and the answer."""
    loop = asyncio.get_running_loop()

    def confirm(_: str) -> None:
        deletion = connection.execute(
            "UPDATE dispatcher.endpoints SET deleted_at = now(), active = false WHERE id = $1",
            webhook,
        )
        asyncio.run_coroutine_threadsafe(deletion, loop).result()

    monkeypatch.setattr(replay, "confirm", confirm)


async def test_a_webhook_deleted_after_the_question_does_not_end_the_replay_of_the_others(
    over_the_api: Shell,  # noqa: F811
    failed: dict[str, Any],  # noqa: F811
    receiver: Receiver,
    story: Story,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = await over_the_api("webhook", "create", receiver.url, "--events", "*", "--json")
    gone = json.loads(made.out)["id"]
    deleting_first(monkeypatch, story.connection, gone)
    ended = await over_the_api("replay", gone, failed["id"], "--since", "1h")
    assert ended.code == 1, ended
    assert ended.out.endswith(f"{failed['id']}  {failed['name']}  DONE  3 queued again\n")
    assert ended.err.endswith(f"\nThere is no webhook {gone}. Check its id and the environment.\n")
    await story.ended(DELIVERED=3)


async def test_a_bulk_action_that_is_not_found_does_not_end_the_others() -> None:
    class Client(SimpleNamespace):
        """A client of an API that finds the second bulk action only."""

        def within(self, environment: str) -> "Client":
            return Client(bulk_actions=BulkActions(environment))

    class BulkActions(SimpleNamespace):
        def __init__(self, environment: str) -> None:
            self.environment = environment

        async def start(self, *_: object, **__: object) -> Resource:
            if self.environment == "env_gone":
                raise NotFoundError(404, "not_found", "There is no environment 'env_gone'")
            return Resource({"id": "blk_1", "state": "DONE", "made": 2, "skipped": {}})

    count = Resource({"number": 2, "more": False, "below": "dlv_9"})
    parts = [bulk.Part(environment, count) for environment in ("env_gone", "env_kept")]
    selection = Selection({}, of_all=True, rate=None, dry_run=False, yes=True)
    await bulk._run(cast(AsyncApi, Client()), parts, "retry", selection)
    assert [part.problem for part in parts] == ["There is no environment 'env_gone'", None]
    assert [part.handled for part in parts] == [0, 2]
