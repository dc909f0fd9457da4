"""`dispatcher pause` and `resume`, over the API as on the database; and what `check` says of pauses."""

import json
import re

import pytest

from tests.conftest import connected
from tests.end_to_end.cli.test_webhook import (  # noqa: F401 - fixtures
    address,
    created,
    either,
    over_the_api,
)
from tests.end_to_end.shell import Shell
from tests.receivers import Receiver
from tests.waiting import until


async def test_an_environment_or_all_are_paused_and_resumed(either: Shell) -> None:  # noqa: F811
    assert (await either("pause")).out.startswith("environment env_default: paused since 2")
    assert (await either("resume")).out == "environment env_default: sending\n"
    paused = await either("pause", "--all", "--json")
    assert (paused.code, json.loads(paused.out)["paused"]) == (0, True)
    refused = await either("resume")
    assert (refused.code, refused.out) == (1, "")
    assert "All environments are paused" in refused.err
    assert ("dispatcher resume --all" in refused.err, "{" in refused.err) == (True, False)
    await either("pause")
    left = await either("resume")
    assert re.search("not paused itself, but all environments are, since 2.*resume --all", left.out)
    assert (await either("resume", "--all")).out == "all environments: sending\n"
    unknown = await either("pause", "--environment", "env_none")
    assert (unknown.code, unknown.err) == (1, "There is no environment 'env_none'. Check its id.\n")
    both = await either("pause", "--environment", "env_default", "--all")
    assert (both.code, "not both" in both.err) == (2, True)


@pytest.mark.usefixtures("address")
async def test_a_pause_holds_what_is_pending(
    either: Shell,  # noqa: F811
    receiver: Receiver,
) -> None:
    await created(either, receiver.url)
    await either("pause", "--all")
    event = (await either("emit", "user.created", "--reference", "ord_1")).out.strip()

    async def is_held() -> bool:
        return "held: sending is paused" in (await either("delivery", "list")).out

    await until(is_held, "the delivery is made, and held")
    text = (await either("event", "get", event)).out
    assert ("held: sending is paused" in text, "\n  reference    ord_1\n" in text) == (True, True)
    await either("resume", "--all")
    assert "sending is paused" not in (await either("delivery", "list")).out


async def test_resuming_all_says_which_environments_stay_paused(either: Shell) -> None:  # noqa: F811
    left = (
        "all environments: no pause of all to end; still paused: env_default."
        " Run: dispatcher resume --environment env_default\n"
    )
    await either("pause")
    assert (await either("resume", "--all")).out == left
    await either("pause", "--all")
    ended = json.loads((await either("resume", "--all", "--json")).out)
    assert (ended["paused"], ended["stillPaused"]) == (False, ["env_default"])
    await either("resume")
    assert (await either("resume", "--all")).out == "all environments: sending\n"


async def test_check_says_what_is_paused_and_what_the_setting_will_do(dispatcher: Shell) -> None:
    assert "paused" not in (await dispatcher("check")).err
    setting = dispatcher.setting(delivery__paused="true")
    result = await setting("check")
    assert (result.code, "`dispatcher run` will pause sending" in result.err) == (0, True)
    await dispatcher("pause", "--all")
    result = await dispatcher("check")
    assert re.search(
        "warning: sending is paused for all environments since 2.*, by cli:.*: "
        "`dispatcher resume --all`",
        result.err,
    )
    await dispatcher("resume", "--all")
    await dispatcher("pause")
    result = await dispatcher("check")
    assert re.search(
        "sending is paused for env_default .*resume --environment env_default", result.err
    )


async def test_check_counts_the_pauses_that_it_does_not_name(dispatcher: Shell, dsn: str) -> None:
    async with connected(dsn) as connection:
        await connection.execute(
            "INSERT INTO dispatcher.environments (id, name, paused_at)"
            " SELECT 'env_' || n, n, now() FROM generate_series(1, 102) AS n"
        )
    result = await dispatcher("check")
    assert "sending is paused for 2 more environments" in result.err


async def test_check_says_that_the_setting_was_applied(dispatcher: Shell) -> None:
    setting = dispatcher.setting(delivery__paused="true")
    daemon = await setting.start("run")
    await daemon.line("delivery.paused is set: sending is paused")
    await daemon.line('"event":"started"')
    assert await daemon.stop() == 0
    assert "was applied before: it has no effect any more" in (await setting("check")).err
