"""`/api/pause`, `/api/resume` and `/api/stats`: what they say while all environments are paused."""

import pytest

from tests.api.conftest import JSONAPI, OTHER, Api, Client
from tests.conftest import Connection
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Receiver
from tests.waiting import until


@pytest.fixture
async def other(admin: Client) -> str:
    await admin("POST", "/api/environments", {"id": OTHER, "name": "Other"})
    return OTHER


async def test_a_pause_of_all_is_shown_for_each_environment(admin: Client, other: str) -> None:
    own = (await admin("GET", "/api/pause")).data
    assert own == {
        "environmentId": "env_default",
        "paused": False,
        "pausedAt": None,
        "allPausedAt": None,
        "stillPaused": [],
        "stillPausedCount": 0,
    }
    of_all = (await admin("POST", "/api/pause", {"all": True})).data
    assert (of_all["environmentId"], of_all["paused"]) == (None, True)
    since = of_all["allPausedAt"]
    assert since == of_all["pausedAt"] is not None
    seen = (await admin("GET", "/api/pause", X_Environment_Id=other)).data
    assert seen == {
        "environmentId": other,
        "paused": True,
        "pausedAt": None,
        "allPausedAt": since,
        "stillPaused": [],
        "stillPausedCount": 0,
    }
    listed = (await admin("GET", "/api/environments")).data["items"]
    assert {
        environment["id"]: (environment["pausedAt"], environment["allPausedAt"])
        for environment in listed
    } == {
        "env_default": (None, since),
        other: (None, since),
    }
    document = (await admin("GET", "/api/pause", Accept=JSONAPI)).json["data"]
    assert document["attributes"]["paused"] is True


async def test_resuming_one_environment_while_all_are_paused_is_a_conflict(
    admin: Client, other: str
) -> None:
    await admin("POST", "/api/pause", {"all": True})
    refused = await admin("POST", "/api/resume", {})
    assert (refused.status, refused.code) == (409, "conflict")
    assert "All environments are paused. Resume all of them." in refused.body.decode().replace(
        "\\", ""
    )

    await admin("POST", "/api/pause", {})
    left = (await admin("POST", "/api/resume", {})).data
    assert (left["paused"], left["pausedAt"]) == (True, None)
    assert left["allPausedAt"] is not None

    assert (await admin("POST", "/api/resume", {"all": True})).data["paused"] is False
    assert (await admin("POST", "/api/resume", {})).data["paused"] is False


async def test_resuming_all_names_the_environments_that_stay_paused(
    admin: Client, other: str
) -> None:
    await admin("POST", "/api/pause", {"all": True})
    await admin("POST", "/api/pause", {}, X_Environment_Id=other)
    for _ in range(2):
        left = (await admin("POST", "/api/resume", {"all": True})).data
        assert (left["paused"], left["stillPaused"], left["stillPausedCount"]) == (
            False,
            [other],
            1,
        )
    await admin("POST", "/api/resume", {}, X_Environment_Id=other)
    assert (await admin("POST", "/api/resume", {"all": True})).data["stillPaused"] == []


async def test_the_stats_are_of_one_environment_or_of_all(
    admin: Client, api: Api, other: str, story: Story, receiver: Receiver
) -> None:
    webhook = {"url": receiver.url, "events": ["*"]}
    assert (await admin("POST", "/api/webhooks", webhook)).status == 201
    await admin("POST", "/api/pause", {})
    await story.insert(3)

    async def counted() -> bool:
        return bool((await admin("GET", "/api/stats")).data["pending"]["held"] == 3)

    await until(counted, "they are counted")
    own = (await admin("GET", "/api/stats")).data
    assert own["environmentId"] == "env_default"
    assert own["pending"] == {
        "due": 0,
        "scheduled": 0,
        "held": 3,
        "more": [],
        "oldestDueSeconds": 0.0,
    }
    assert own["webhooks"] == {"active": 1, "disabled": 0, "failing": 0}
    assert own["pausedAt"] is not None
    assert own["allPausedAt"] is own["inFlight"] is None
    theirs = (await admin("GET", "/api/stats", X_Environment_Id=other)).data
    assert (theirs["pending"]["held"], theirs["webhooks"]["active"]) == (0, 0)
    of_all = (await admin("GET", "/api/stats?all=true")).data
    assert (of_all["environmentId"], of_all["pending"]["held"]) == ("*", 3)
    assert of_all["inFlight"] == 0

    await admin("POST", "/api/resume", {})
    await story.ended(DELIVERED=3)

    async def summed() -> bool:
        return bool((await admin("GET", "/api/stats")).data["lastHour"]["delivered"] == 3)

    await until(summed, "the last hour has them")
    bound = await api.client("read", other)
    assert (await bound("GET", "/api/stats")).data["environmentId"] == other
    refused = await bound("GET", "/api/stats?all=true")
    assert (refused.status, refused.code) == (403, "forbidden")


@pytest.mark.long
async def test_a_token_of_one_environment_reads_no_figures_of_the_others(
    admin: Client,
    api: Api,
    other: str,
    story: Story,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dispatcher.daemon.backlog_monitor.PAUSES_SECONDS", 0.05)
    monkeypatch.setattr("dispatcher.daemon.backlog_monitor.MEASURE_SECONDS", 0.1)
    assert (
        await admin("POST", "/api/webhooks", {"url": receiver.url, "events": ["*"]})
    ).status == 201
    await admin("POST", "/api/pause", {})
    await story.insert()
    line = b'dispatcher_environment_pending_deliveries{environment="env_default",state="held"} 1.0'

    async def shown() -> bool:
        return line in (await admin("GET", "/metrics")).body

    await until(shown, "who may see all environments sees them")
    one = await admin("GET", "/metrics?name[]=dispatcher_environment_pending_deliveries")
    assert line in one.body
    assert b"dispatcher_attempts" not in one.body
    bound = await api.client("admin", other)
    answer = await bound("GET", "/metrics")
    assert answer.status == 403
    assert b"env_default" not in answer.body


@pytest.mark.parametrize("form", [{}, {"all": True}])
async def test_a_pause_is_answered_when_every_daemon_acts_on_it(
    daemons: Daemons, connection: Connection, admin: Client, form: dict[str, bool]
) -> None:
    await daemons.start()
    behind = """SELECT count(*) FROM dispatcher.daemons
                WHERE confirmed_version < (SELECT version FROM dispatcher.endpoint_version)"""

    async def is_acted_on() -> bool:
        """Pause, or do it again: a daemon that was frozen for a second counts as stopped."""
        answered = await admin("POST", "/api/pause", form)
        has_waited = await connection.fetchval(behind) == 0
        assert answered.status == 200
        await admin("POST", "/api/resume", form)
        return has_waited and "X-Propagation" not in answered.headers

    assert any([await is_acted_on() for _ in range(3)])
