"""`delivery retry` and `delivery cancel` of many deliveries, and `bulk-action`."""

import json
import re
from typing import Any

import pytest

from tests.end_to_end.cli.test_live import (  # noqa: F401 - fixtures
    address,
    daemon,
    either,
    failed,
    over_the_api,
)
from tests.end_to_end.shell import Shell
from tests.end_to_end.stories import Story

DELIVERED_TOO = "Delivered ones are included. To send only failed ones again: --status FAILED.\n"


async def test_a_retry_of_many_counts_asks_and_sends_them_again(
    over_the_api: Shell,  # noqa: F811
    failed: dict[str, Any],  # noqa: F811
    story: Story,
) -> None:
    filters = ("--status", "FAILED", "--error-code", "http", "--response-status", "5xx")
    dry = await over_the_api("delivery", "retry", *filters, "--dry-run")
    assert (dry.code, dry.out, dry.err) == (0, "", "3 deliveries match in env_default.\n")
    refused = await over_the_api("delivery", "retry", *filters, stdin=b"n\n")
    assert (refused.code, "Send them again? [y/N]" in refused.err) == (1, True)
    assert await story.states() == {"FAILED": 3}
    done = await over_the_api.process("delivery", "retry", *filters, stdin=b"y\n")
    assert done.code == 0, done.err
    assert re.fullmatch(r"blk_\d+  DONE  3 queued again\n", done.out)
    await story.ended(DELIVERED=3)
    none = await over_the_api("delivery", "retry", *filters, "--webhook", failed["id"])
    assert (none.code, none.out, none.err) == (0, "", "0 deliveries match.\n")


async def test_many_are_cancelled_without_asking_and_the_result_is_json(
    either: Shell,  # noqa: F811
    failed: dict[str, Any],  # noqa: F811
    story: Story,
) -> None:
    await either("webhook", "disable", failed["id"])
    retried = await either("delivery", "retry", "--all", "--yes", "--json")
    [result] = json.loads(retried.out)
    assert (result["number"], result["more"]) == (3, False)
    assert result["bulkAction"]["skipped"] == {"disabled": 3}
    seen = await either("bulk-action", "get", result["bulkAction"]["id"])
    action = result["bulkAction"]
    assert seen.out == (
        f"{action['id']}  DONE  0 queued again\n"
        "  3 left as they are: the webhook is disabled\n"
        "  retry    all deliveries\n"
        f"  started  {action['createdAt']}, ended {action['finishedAt']}, in env_default\n"
    )
    cancelled = await either("delivery", "cancel", "--since", "1h", "--yes", "--json")
    assert json.loads(cancelled.out)[0]["number"] == 0
    listed = json.loads((await either("bulk-action", "list", "--json")).out)
    assert [entry["id"] for entry in listed] == [result["bulkAction"]["id"]]


async def test_a_bulk_action_is_listed_and_cancelled(
    either: Shell,  # noqa: F811
    story: Story,
) -> None:
    await story.connection.execute(
        "INSERT INTO dispatcher.bulk_actions (id, environment_id, action, criteria, position, next_at)"
        " VALUES (7, 'env_default', 'retry', '{}', 5, now() + interval '1 h')"
    )
    listed = await either("bulk-action", "list")
    assert re.search(r"blk_7 +retry +RUNNING +done 0 +left 0", listed.out)
    cancelled = await either("bulk-action", "cancel", "blk_7")
    assert cancelled.out == "blk_7  CANCELLED  0 queued again\n"
    again = await either("bulk-action", "cancel", "blk_7", "--json")
    assert json.loads(again.out)["state"] == "CANCELLED"
    unknown = await either("bulk-action", "get", "blk_8")
    assert (unknown.code, "There is no bulk action 'blk_8'" in unknown.err) == (1, True)


async def test_a_bulk_action_says_which_deliveries_it_concerns(
    either: Shell,  # noqa: F811
    failed: dict[str, Any],  # noqa: F811
) -> None:
    await either("webhook", "disable", failed["id"])
    filters = ("--status", "FAILED", "--response-status", "5xx", "--webhook", failed["id"])
    started = await either("delivery", "retry", *filters, "--yes", "--json")
    words = f"failed, response 5xx, webhook {failed['name']}"
    listed = await either("bulk-action", "list")
    assert listed.out.rstrip().endswith(words)
    id_ = json.loads(started.out)[0]["bulkAction"]["id"]
    assert f"  retry    {words}\n" in (await either("bulk-action", "get", id_)).out
    await either("webhook", "delete", failed["id"])
    assert f"webhook {failed['id']}" in (await either("bulk-action", "get", id_)).out


async def test_environments_are_counted_one_by_one(
    either: Shell,  # noqa: F811
    failed: dict[str, Any],  # noqa: F811
    story: Story,
) -> None:
    await either("environment", "create", "env_acme")
    made = await either(
        "webhook", "create", failed["url"], "--events", "*", "--environment", "env_acme", "--json"
    )
    acme = json.loads(made.out)["id"]
    await either("webhook", "test", acme, "--environment", "env_acme")
    await story.ended(FAILED=3, DELIVERED=1)
    counted = await either("delivery", "retry", "--all", "--dry-run")
    assert (counted.out, counted.err) == (
        "env_default  3 deliveries\nenv_acme  1 delivery\n",
        f"4 deliveries match.\n{DELIVERED_TOO}",
    )
    one = await either("delivery", "retry", "--webhook", acme, "--dry-run")
    assert one.err == f"1 delivery matches in env_acme.\n{DELIVERED_TOO}"
    named = await either("delivery", "retry", "--all", "--dry-run", "--environment", "env_acme")
    assert named.err == f"1 delivery matches.\n{DELIVERED_TOO}"
    for decided in (("retry", "--status", "DELIVERED"), ("cancel", "--all")):
        dry_run = await either("delivery", *decided, "--dry-run")
        assert "included" not in dry_run.err
    assert (
        "1 delivery matches in env_acme.\n"
        in (await either("delivery", "retry", "--status", "DELIVERED", "--dry-run")).err
    )
    unknown = "00000000-0000-4000-8000-000000000000"
    none = await either("delivery", "retry", "--webhook", unknown, "--dry-run")
    assert (none.code, f"There is no webhook {unknown}" in none.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give the ID of a delivery, filters such as --status FAILED, or --all."),
        (("dlv_1", "--all"), "Give either the ID"),
        (("dlv_1", "--status", "FAILED"), "Give either the ID"),
        (("dlv_1", "--dry-run"), "Give either the ID"),
        (("--all", "--status", "FAILED"), "Give either the ID"),
    ],
)
@pytest.mark.parametrize("command", ["retry", "cancel"])
async def test_deliveries_are_selected_in_one_way(
    dispatcher: Shell, command: str, arguments: tuple[str, ...], message: str
) -> None:
    refused = await dispatcher("delivery", command, *arguments)
    assert (refused.code, message in refused.err) == (2, True)
