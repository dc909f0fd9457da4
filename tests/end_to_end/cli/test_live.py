"""`listen`, `tail` and `replay`: commands that go on while a daemon works."""

import asyncio
import json
import re
import signal
from typing import Any

import aiohttp
import pytest

from dispatcher.daemon.daemon import Daemon
from tests.conftest import Connection
from tests.end_to_end.shell import TOKEN, Shell, Started
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Receiver
from tests.waiting import until

RETRY = {"base": "100ms", "retries": 1, "jitter": 0}


@pytest.fixture
async def daemon(daemons: Daemons, quiet: None) -> Daemon:
    return await daemons.start(secrets={"admin_token": TOKEN}, retry=RETRY)


@pytest.fixture
async def address(daemon: Daemon) -> str:
    """Of the daemon's API."""
    return daemon.admin_address


@pytest.fixture
def over_the_api(dispatcher: Shell, address: str) -> Shell:
    nowhere = "postgresql://127.0.0.1:1/nowhere"
    return dispatcher.setting(database__dsn=nowhere, api_url=address, api_token=TOKEN)


@pytest.fixture(params=["over_the_api", pytest.param("dispatcher", marks=pytest.mark.long)])
def either(request: pytest.FixtureRequest, dispatcher: Shell, address: str) -> Shell:
    """Either of the two; on the database as one of the long tests, since every story takes seconds.

    `dispatcher` has what it needs started before the test that asks first.
    """
    shell: Shell = request.getfixturevalue(request.param)
    return shell


async def said(started: Started, pattern: str) -> re.Match[str]:
    """The next line of standard error with such a text in it."""
    assert started.process.stderr is not None
    async with asyncio.timeout(60):
        while line := (await started.process.stderr.readline()).decode():
            if match := re.search(pattern, line):
                return match
    raise AssertionError(f"no {pattern!r}")


async def webhooks(connection: Connection) -> int:
    count: int = await connection.fetchval(
        "SELECT count(*) FROM dispatcher.endpoints WHERE deleted_at IS NULL"
    )
    return count


# ── listen ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("where", "number"), [("over_the_api", signal.SIGINT), ("dispatcher", signal.SIGTERM)]
)
@pytest.mark.usefixtures("address")
async def test_listen_shows_events_until_a_signal_and_deletes_its_webhook(
    request: pytest.FixtureRequest,
    dispatcher: Shell,
    connection: Connection,
    where: str,
    number: signal.Signals,
) -> None:
    either: Shell = request.getfixturevalue(where)
    listening = await either.start("listen", "--events", "user.*", "--json")
    await said(listening, "Listening on http://127.0.0.1:")
    assert await webhooks(connection) == 1
    await dispatcher("emit", "user.created", "--data", '{"n": 1.10}')
    delivery = json.loads((await listening.line(r"^\{.*\}$"))[0])
    assert (delivery["verified"], delivery["event"], delivery["answered"]) == (
        True,
        "user.created",
        200,
    )
    assert delivery["body"].endswith('"data":{"n": 1.10}}')
    assert await listening.stop(number) == 0
    assert await webhooks(connection) == 0


async def test_listen_forwards_a_delivery_and_returns_the_answer(
    dispatcher: Shell, over_the_api: Shell, receiver: Receiver, story: Story
) -> None:
    receiver.answers = [500]
    listening = await over_the_api.start("listen", "--forward", receiver.url)
    await said(listening, "Listening on")
    await dispatcher("emit", "a.b")
    first = await listening.line("✓ a.b  dlv_.*→ (.*)$")
    second = await listening.line("✓ a.b  dlv_.*attempt 2.*→ (.*)$")
    assert (first[1], second[1]) == ("500", "200")
    requests = await receiver.wait_for(2)
    assert requests[0].headers["X-Dispatcher-Delivery"].startswith("dlv_")
    assert requests[0].body == requests[1].body
    await story.ended(DELIVERED=1)
    assert await listening.stop() == 0


async def test_listen_refuses_wrongly_signed_requests_and_prints_none_of_their_bytes(
    over_the_api: Shell,
) -> None:
    listening = await over_the_api.start("listen")
    url = (await said(listening, r"Listening on (http://\S+) as"))[1]
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=b"\x1b[2J\xe2\x80\xae", headers={"X-A-Event": "e\x9b2J"}) as answer,
    ):
        assert answer.status == 400
    assert listening.process.stdout is not None
    line = await listening.line("✗ e")
    body = await listening.line(r"\\x1b\[2J")
    assert not {"\x1b", "\x9b", "\u202e"} & set(line.string + body.string)
    assert await listening.stop() == 0


async def test_a_daemon_that_may_not_dial_this_machine_says_so(dispatcher: Shell) -> None:
    ended = await dispatcher.setting(egress__allow="[]").process("listen")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("The daemon may not send to 127.0.0.1, where this command listens.")
    assert """\nDISPATCHER_EGRESS__ALLOW='["127.0.0.1/32"]'\n""" in ended.err


@pytest.mark.usefixtures("quiet")
async def test_a_daemon_that_blocks_what_is_listened_for_is_reported(
    dispatcher: Shell, daemons: Daemons
) -> None:
    await daemons.start(egress={"allow": []})
    listening = await dispatcher.start("listen")
    await said(listening, "Listening on")
    await dispatcher("emit", "a.b")
    await said(listening, "The daemon may not send to 127.0.0.1")
    await said(listening, "^DISPATCHER_EGRESS__ALLOW=")
    assert await listening.stop() == 0


async def test_a_port_to_listen_on_that_is_taken_is_named(
    dispatcher: Shell, receiver: Receiver
) -> None:
    ended = await dispatcher.process("listen", "--port", str(receiver.port))
    assert (ended.code, ended.err) == (
        1,
        f"The port {receiver.port} cannot be opened on 127.0.0.1: Address already in use."
        " Free it, or give another --port (0 takes any free one).\n",
    )


# ── tail ─────────────────────────────────────────────────────────────────────────────────────────


async def test_deliveries_are_printed_as_they_end_and_not_those_before(
    either: Shell, dispatcher: Shell, receiver: Receiver, story: Story
) -> None:
    retry = '{"retry": {"base": 0.1, "retries": 5}}'  # one delivery may get both of the 500
    await dispatcher("webhook", "create", receiver.url, "--events", "*", "--more", retry)
    await dispatcher("emit", "before")
    await story.ended(DELIVERED=1)
    receiver.answers = [500, 500]
    tailing = await either.start("tail", "--json", "--count", "4")
    await said(tailing, "Waiting for deliveries")
    for type_ in ("a.b", "a.c", "a.d", "a.e"):
        await dispatcher("emit", type_)
    assert tailing.process.stdout is not None
    async with asyncio.timeout(60):
        out = (await tailing.process.stdout.read()).decode()
    deliveries = [json.loads(line) for line in out.splitlines()]
    assert sorted(delivery["event"] for delivery in deliveries) == ["a.b", "a.c", "a.d", "a.e"]
    assert {delivery["status"] for delivery in deliveries} == {"DELIVERED"}
    assert await tailing.process.wait() == 0


async def test_a_pending_delivery_can_be_retried_and_awaited(
    dispatcher: Shell, over_the_api: Shell, receiver: Receiver, story: Story
) -> None:
    made = await dispatcher("webhook", "create", receiver.url, "--events", "*", "--json")
    id_ = json.loads(made.out)["id"]
    receiver.answers = [500, 500]
    retry = '{"retry": {"base": 3600, "retries": 1}}'
    await dispatcher("webhook", "update", id_, "--more", retry)
    await dispatcher("emit", "a.b")
    await receiver.wait_for(1)
    tailing = await over_the_api.start("tail", "--webhook", id_, "--status", "FAILED")
    await said(tailing, "Waiting for deliveries")

    async def recorded() -> bool:
        return bool(await story.attempts())

    await until(recorded, "its attempt is recorded")
    (attempt,) = await story.attempts()
    await over_the_api("delivery", "retry", f"dlv_{attempt['delivery_id']}")
    await tailing.line("FAILED +dlv_[0-9]+ +a.b +attempts 2 +500")
    assert await tailing.stop(signal.SIGINT) == 0


async def test_every_attempt_that_fails_is_shown_with_its_webhook_event_and_error(
    either: Shell, dispatcher: Shell, receiver: Receiver, story: Story
) -> None:
    retry = '{"retry": {"base": 0.1, "retries": 3}}'
    await dispatcher(
        *("webhook", "create", receiver.url, "--events", "*", "--name", "Initech", "--more", retry)
    )
    await dispatcher("emit", "before")
    await story.ended(DELIVERED=1)
    receiver.answers = [500, 503]
    tailing = await either.start("tail", "--attempts", "--failed", "--count", "2")
    await said(tailing, "Waiting for attempts")
    event = (await dispatcher("emit", "order.paid")).out.strip()
    one = await tailing.line(
        "failed +dlv_[0-9]+ +order.paid +attempt 1 +500 +→ Initech +answered 500"
    )
    two = await tailing.line(
        "failed +dlv_[0-9]+ +order.paid +attempt 2 +503 +→ Initech +answered 503"
    )
    assert one.string[:24] < two.string[:24]
    assert await tailing.process.wait() == 0
    await story.ended(DELIVERED=2)  # the last attempt of the event, which did not fail
    tailing = await either.start("tail", "--attempts", "--json", "--count", "1")
    await said(tailing, "Waiting for attempts")
    await dispatcher("emit", "order.paid")
    attempt = json.loads((await tailing.line(r"^\{.*\}$"))[0])
    assert (attempt["outcome"], attempt["responseStatus"], attempt["attempt"]) == ("ok", 200, 1)
    assert (attempt["event"], attempt["eventId"] > event) == ("order.paid", True)


async def test_what_failed_is_shown_and_not_what_was_delivered(
    dispatcher: Shell, over_the_api: Shell, receiver: Receiver, story: Story
) -> None:
    retry = '{"retry": {"retries": 0}}'
    await dispatcher("webhook", "create", receiver.url, "--events", "*", "--more", retry)
    tailing = await over_the_api.start("tail", "--failed", "--count", "1")
    await said(tailing, "Waiting for deliveries to end")
    await dispatcher("emit", "fine")
    await story.ended(DELIVERED=1)
    receiver.answers = [400]
    await dispatcher("emit", "broken")
    line = await tailing.line("dlv_")
    assert re.search("FAILED +dlv_[0-9]+ +broken +attempts 1 +400 +→ 127.0.0.1", line.string)
    assert await tailing.process.wait() == 0
    both = await dispatcher("tail", "--failed", "--status", "FAILED")
    assert (both.code, "not both" in both.err) == (2, True)


@pytest.mark.long
async def test_waiting_for_a_retry_continues_when_a_daemon_returns(
    dispatcher: Shell,
    daemons: Daemons,
    daemon: Daemon,
    over_the_api: Shell,
    address: str,
    receiver: Receiver,
) -> None:
    await dispatcher("webhook", "create", receiver.url, "--events", "*")
    tailing = await over_the_api.start("tail", "--count", "1")
    await said(tailing, "Waiting for deliveries")
    await daemons.stop(daemon)
    await said(tailing, "No answer at present, still waiting: no connection to 127.0.0.1")
    port = address.rpartition(":")[2]
    again = dispatcher.setting(secrets__admin_token=TOKEN, admin__port=port)
    await again.run()
    await dispatcher("emit", "a.b")
    await tailing.line("DELIVERED +dlv_[0-9]+ +a.b")
    assert await tailing.process.wait() == 0


# ── replay ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def failed(
    dispatcher: Shell, address: str, receiver: Receiver, story: Story
) -> dict[str, Any]:
    """A webhook three deliveries of which have failed."""
    receiver.otherwise = 500
    made = await dispatcher("webhook", "create", receiver.url, "--events", "*", "--json")
    await story.connection.execute(
        "INSERT INTO dispatcher.events (type, data) SELECT 'a.b', '{}' FROM generate_series(1, 3)"
    )
    await story.ended(FAILED=3)
    receiver.otherwise = 200
    webhook: dict[str, Any] = json.loads(made.out)
    return webhook


async def test_replay_counts_failures_asks_and_sends_them_again(
    over_the_api: Shell, failed: dict[str, Any], story: Story
) -> None:
    dry = await over_the_api("replay", "--since", "1h", "--dry-run")
    named = f"{failed['id']}  {failed['name']}"
    assert dry.out == f"{named}  3 failed and 0 missed  {failed['url']}\n"
    assert dry.err == "Total: 3 failed and 0 missed, for 1 webhook.\n"
    refused = await over_the_api("replay", "--since", "1h", stdin=b"n\n")
    assert (refused.code, "Send them again? [y/N]" in refused.err) == (1, True)
    unanswered = await over_the_api("replay", "--since", "1h")
    assert (unanswered.code, "without being asked: --yes" in unanswered.err) == (1, True)
    assert await story.states() == {"FAILED": 3}
    done = await over_the_api.process("replay", failed["id"], "--since", "1h", stdin=b"y\n")
    assert done.code == 0, done.err
    assert done.out.endswith(f"{named}  DONE  3 queued again\n")
    assert done.err.endswith(
        "3 of 3 queued again, for 1 webhook. See `dispatcher delivery list`.\n"
    )
    await story.ended(DELIVERED=3)


async def test_a_webhook_that_is_new_has_missed_nothing_unless_its_id_is_given(
    either: Shell, address: str, receiver: Receiver, story: Story
) -> None:
    await either("emit", "a.b")
    await story.fanned_out()
    made = await either("webhook", "create", receiver.url, "--events", "*", "--json")
    id_ = json.loads(made.out)["id"]
    ended = await either("replay", "--since", "1h", "--dry-run")
    assert (ended.out, ended.err) == ("", "There is nothing to send again.\n")
    named = await either("replay", id_, "--since", "1h", "--dry-run", "--json")
    assert json.loads(named.out)[0]["missed"] == 1
    result = await either("replay", id_, "--since", "1h", "--dry-run")
    assert "Missed from before 127.0.0.1 was created: 1. To leave them out: --since 2" in result.err


async def test_emit_returns_the_result_as_json(
    either: Shell, failed: dict[str, Any], story: Story
) -> None:
    done = await either("replay", "--since", "1h", "--rate", "1000", "--yes", "--json")
    assert (done.code, done.err) == (0, "")
    [result] = json.loads(done.out)
    assert (result["webhookId"], result["failed"], result["missed"]) == (failed["id"], 3, 0)
    assert (result["recovery"]["state"], result["recovery"]["made"]) == ("DONE", 3)
    await story.ended(DELIVERED=3)


async def test_a_replay_without_deliveries_is_a_success(either: Shell) -> None:
    ended = await either("replay", "--since", "1h")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == "There is nothing to send again.\n"


@pytest.mark.parametrize("command", ["tail", "replay --since 1h", "delivery retry --all"])
async def test_a_command_that_waits_says_if_no_daemon_runs(dispatcher: Shell, command: str) -> None:
    waiting = await dispatcher.start(*command.split())
    await said(waiting, "^No daemon is running, so nothing is sent")
    if command == "tail":
        waiting.process.kill()


async def test_check_says_whether_a_daemon_runs(dispatcher: Shell, daemons: Daemons) -> None:
    before = await dispatcher("check")
    assert "daemons: none is running, so nothing is sent" in before.out
    await daemons.start()
    assert "daemons: one or more are running" in (await dispatcher("check")).out


async def test_an_input_that_is_refused_is_named_by_its_option(either: Shell) -> None:
    refused = await either("delivery", "list", "--response-status", "9")
    assert (refused.code, refused.err.startswith("--response-status: ")) == (2, True)
    refused = await either("webhook", "create", "ftp://x", "--events", "*", "--name", "")
    assert (refused.code, "--name: " in refused.err) == (2, True)


async def test_a_running_replay_is_cancelled(
    dispatcher: Shell,
    over_the_api: Shell,
    failed: dict[str, Any],
    receiver: Receiver,
    story: Story,
) -> None:
    id_ = failed["id"]
    receiver.otherwise = 500  # one a second: it must not have ended before it is cancelled
    await story.connection.execute(
        "INSERT INTO dispatcher.events (type, data) SELECT 'a.b', '{}' FROM generate_series(1, 100)"
    )
    await story.ended(FAILED=103)
    receiver.otherwise = 200
    started = await over_the_api(
        "webhook", "recover", id_, "--since", "1h", "--rate", "1", "--json"
    )
    recovery = json.loads(started.out)["id"]
    listed = await over_the_api("webhook", "recoveries", id_)
    assert re.fullmatch(rf".*  {recovery}  RUNNING  since .* of 103 queued\n", listed.out)
    one = await dispatcher("webhook", "recovery", failed["name"], recovery, "--json")
    assert json.loads(one.out)["id"] == recovery
    again = await over_the_api("replay", id_, "--since", "1h", "--yes")
    assert (again.code, "is running" in again.err) == (1, True)
    cancelled = await over_the_api("webhook", "cancel-recovery", id_, recovery)
    assert cancelled.out == f"{recovery} is CANCELLED\n"
    again = await dispatcher("webhook", "cancel-recovery", id_, recovery, "--json")
    assert json.loads(again.out)["state"] == "CANCELLED"
