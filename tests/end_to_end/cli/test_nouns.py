"""`event`, `delivery`, `environment`, `event-type`, `quarantine`, `audit` and `stats`.

Each over the API as on the database.
"""

import json
import os
import pwd
import re
from typing import Any

import pytest

from tests.conftest import Connection
from tests.end_to_end.cli.test_webhook import (  # noqa: F401 - fixtures
    address,
    created,
    either,
    over_the_api,
    read,
)
from tests.end_to_end.shell import Ended, Shell
from tests.end_to_end.stories import Story
from tests.receivers import Receiver


@pytest.fixture
def both(over_the_api: Shell, dispatcher: Shell) -> tuple[Shell, Shell]:  # noqa: F811
    return over_the_api, dispatcher


async def environment(shell: Shell, id_: str) -> dict[str, Any]:
    made: dict[str, Any] = read(await shell("environment", "create", id_, "--json"))
    return made


# ── environment ──────────────────────────────────────────────────────────────────────────────────


async def test_an_environment_is_created_and_listed(either: Shell) -> None:  # noqa: F811
    made = await environment(either, "env_acme")
    assert (made["id"], made["name"]) == ("env_acme", "env_acme")
    chosen = read(await either("environment", "create", "--name", "Beta", "--json"))
    assert re.fullmatch("env_[0-9a-f]{24}", chosen["id"])
    listed = read(await either("environment", "list", "--json"))
    assert [row["id"] for row in listed] == [chosen["id"], "env_acme", "env_default"]
    named = ("--environment", "env_acme", "--limit", "1")  # another one is newer
    [only] = read(await either("environment", "list", *named, "--json"))
    assert only == made
    again = await either("environment", "create", "env_acme")
    assert (again.code, again.err) == (
        1,
        "There is an environment env_acme already. Choose another id.\n",
    )
    assert (await either("environment", "create")).code == 2
    text = (await either("environment", "list")).out
    assert re.search(r"^env_acme +env_acme +sending +2", text, re.MULTILINE)


async def test_an_environment_is_renamed(either: Shell, connection: Connection) -> None:  # noqa: F811
    await environment(either, "env_acme")
    renamed = read(await either("environment", "rename", "env_acme", "Acme Ltd", "--json"))
    assert (renamed["id"], renamed["name"]) == ("env_acme", "Acme Ltd")
    unknown = await either("environment", "rename", "env_none", "None")
    assert (unknown.code, "There is no environment 'env_none'" in unknown.err) == (1, True)
    detail = await connection.fetchval(
        "SELECT detail FROM dispatcher.audit WHERE action = 'environment.rename'"
    )
    assert json.loads(detail) == {
        "changed": ["name"],
        "name": "Acme Ltd",
        "before": {"name": "env_acme"},
    }


# ── event ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("address")
async def test_events_are_listed_and_shown_with_their_deliveries(
    either: Shell,  # noqa: F811
    receiver: Receiver,
    story: Story,
) -> None:
    webhook = await created(either, receiver.url)
    first = (await either("emit", "user.created", "--data", '{"n": 1}')).out.strip()
    second = (await either("emit", "order.paid")).out.strip()
    await story.ended(DELIVERED=2)
    listed = read(await either("event", "list", "--json"))
    assert [event["id"] for event in listed] == [second, first]
    [only] = read(await either("event", "list", "--type", "user.*", "--json"))
    assert (only["id"], only["data"]) == (first, {"n": 1})
    assert read(await either("event", "list", "--reference", "other", "--json")) == []
    [newest] = read(await either("event", "list", "--limit", "1", "--json"))
    assert newest["id"] == second
    assert read(await either("event", "list", "--until", "1h", "--json")) == []
    table = (await either("event", "list")).out
    assert re.search(rf"{first} .* 1 delivered ", table)
    assert re.search(rf"{second} .* 1 delivered ", table)
    shown = read(await either("event", "get", first, "--json"))
    [delivery] = shown["deliveries"]
    assert (delivery["webhookId"], delivery["status"]) == (webhook["id"], "DELIVERED")
    text = (await either("event", "get", first)).out
    assert text.startswith(f"{first}  user.created\n")
    name = re.escape(webhook["name"])
    assert re.search(rf"^dlv_\d+ +DELIVERED +attempts 1 +{name} +200$", text, re.MULTILINE)
    assert read(await either("event", "deliveries", first, "--json")) == [delivery]
    of_it = (await either("event", "deliveries", first)).out
    assert re.fullmatch(rf"dlv_\d+ +DELIVERED +attempts 1 +{name} +200\n", of_it)
    unknown = await either("event", "deliveries", "evt_1")
    assert (unknown.code, "There is no event 'evt_1'" in unknown.err) == (1, True)
    none = await either("event", "list", "--type", "nothing")
    assert (none.code, none.out, none.err) == (0, "", "There are no such events.\n")


@pytest.mark.usefixtures("address")
async def test_an_event_in_quarantine_is_not_shown_as_waiting_for_the_fan_out(
    either: Shell,  # noqa: F811
    story: Story,
) -> None:
    event = await story.connection.fetchval(
        """WITH event AS (INSERT INTO dispatcher.events (type, data) VALUES ('a.b', '{}') RETURNING id)
           INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
           SELECT id, id, 'env_default', 'a.b', 0, 'schema', 'why' FROM event RETURNING event_id"""
    )
    name = f"evt_{event}"
    await story.fanned_out()
    text = (await either("event", "get", name)).out
    assert "not made yet: the event is in quarantine\n" in text
    await either("quarantine", "discard", f"q_{event}")
    text = (await either("event", "get", name)).out
    assert "none: no webhook wanted this type when it was fanned out, or it was discarded" in text


@pytest.mark.usefixtures("address")
async def test_an_id_is_found_in_any_environment_unless_one_is_named(
    either: Shell,  # noqa: F811
    receiver: Receiver,
    story: Story,
) -> None:
    await environment(either, "env_acme")
    there = ("--environment", "env_acme")
    await created(either, receiver.url, *there)
    event = (await either("emit", "a.b", *there)).out.strip()
    await story.ended(DELIVERED=1)
    assert read(await either("event", "get", event, "--json"))["environmentId"] == "env_acme"
    [delivery] = read(await either("delivery", "list", "--json"))
    shown = read(await either("delivery", "get", delivery["id"], "--json"))
    assert shown["environmentId"] == "env_acme"
    for verb in ("get", "retry", "cancel"):
        elsewhere = await either("delivery", verb, delivery["id"], "--environment", "env_default")
        assert (elsewhere.code, elsewhere.out) == (1, "")
        assert elsewhere.err.startswith(f"There is no delivery '{delivery['id']}'")
    unknown = await either("event", "get", "evt_1")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err.startswith("There is no event 'evt_1'")


async def test_a_listing_of_several_environments_names_them(
    both: tuple[Shell, Shell], story: Story
) -> None:
    await environment(both[0], "env_acme")
    await both[0]("emit", "a.b")
    await both[0]("emit", "a.c", "--environment", "env_acme")
    await story.fanned_out()
    tables = [(await shell("event", "list")).out for shell in both]
    assert tables[0] == tables[1]
    assert re.search(r"a\.c .*  env_acme\n.* a\.b .*  env_default\n", tables[0])


# ── delivery ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("address")
async def test_a_delivery_is_listed_shown_retried_and_cancelled(
    either: Shell,  # noqa: F811
    receiver: Receiver,
    story: Story,
) -> None:
    receiver.otherwise = 500
    retry = '{"retry": {"retries": 0}}'
    webhook = await created(either, receiver.url, "--more", retry)
    await either("emit", "a.b")
    await story.ended(FAILED=1)
    [listed] = read(await either("delivery", "list", "--status", "failed", "--json"))
    id_ = listed["id"]
    of_webhook = ("--webhook", webhook["id"], "--event", "a.*", "--since", "1h")
    assert read(await either("delivery", "list", *of_webhook, "--json")) == [listed]
    assert read(await either("delivery", "list", "--failed", "--json")) == [listed]
    twice = await either("delivery", "list", "--failed", "--status", "FAILED")
    assert (twice.code, "not both" in twice.err) == (2, True)
    table = (await either("delivery", "list")).out
    assert re.search(
        rf" {id_}  a\.b  {re.escape(webhook['name'])}  attempts 1  500$", table.strip()
    )
    text = (await either("delivery", "get", id_)).out
    assert f"\n  webhook  {webhook['name']}, {webhook['id']}\n" in text
    assert text.startswith(f"{id_}  a.b  evt_")
    assert re.search(r"^1 +2\d{3}-.*Z +\d+ ms +500", text, re.MULTILINE)
    done = await either("delivery", "cancel", id_)
    assert (done.code, done.out) == (1, "")
    receiver.otherwise = 200
    again = read(await either("delivery", "retry", id_, "--json"))
    assert (again["id"], again["status"]) == (id_, "PENDING")
    await story.ended(DELIVERED=1)
    await either("pause")
    await either("emit", "a.c")

    async def pending() -> list[Any]:
        deliveries: list[Any] = read(
            await either("delivery", "list", "--status", "PENDING", "--json")
        )
        return deliveries

    while not (waiting := await pending()):
        pass
    cancelled = await either("delivery", "cancel", waiting[0]["id"])
    assert "status   CANCELLED, in env_default" in cancelled.out


# ── event-type ───────────────────────────────────────────────────────────────────────────────────


async def test_event_types_are_put_listed_and_deleted(either: Shell) -> None:  # noqa: F811
    schema = '{"type": "object"}'
    put = ("event-type", "put", "user.created")
    made = read(
        await either(*put, "--description", "A user", "--schema", schema, "--enforce", "--json")
    )
    assert (made["description"], made["schema"], made["enforce"]) == (
        "A user",
        {"type": "object"},
        True,
    )
    changed = read(await either(*put, "--example", '{"id": 1}', "--no-enforce", "--json"))
    assert (changed["example"], changed["enforce"], changed["description"]) == (
        {"id": 1},
        False,
        "A user",
    )
    assert read(await either("event-type", "get", "user.created", "--json")) == changed
    listed = read(await either("event-type", "list", "--json"))
    assert "user.created" in [event_type["name"] for event_type in listed]
    text = (await either("event-type", "list")).out
    assert re.search(r"^user\.created +has a schema +A user$", text, re.MULTILINE)
    wrong = await either(*put, "--schema", "{")
    assert (wrong.code, wrong.out, "--schema must be JSON." in wrong.err) == (2, "", True)
    gone = await either("event-type", "delete", "user.created")
    assert (gone.code, gone.out) == (0, "deleted user.created\n")
    assert (await either("event-type", "get", "user.created")).code == 1


async def test_event_types_of_every_environment_are_listed(either: Shell) -> None:  # noqa: F811
    for environment in ("env_acme", "env_bit"):
        await either("environment", "create", environment)
        await either("event-type", "put", "z.y", "--environment", environment)
    await either("event-type", "put", "a.b")
    listed = (await either("event-type", "list")).out
    assert [line.split() for line in listed.splitlines()] == [
        ["a.b", "no", "schema", "env_default"],
        ["z.y", "no", "schema", "env_acme"],
        ["z.y", "no", "schema", "env_bit"],
    ]
    one = await either("event-type", "list", "--environment", "env_bit", "--json")
    assert [(event_type["name"], event_type["environmentId"]) for event_type in read(one)] == [
        ("z.y", "env_bit")
    ]
    assert (await either("event-type", "list", "--environment", "env_bit")).out == (
        "z.y  no schema\n"
    )


# ── quarantine ───────────────────────────────────────────────────────────────────────────────────


async def quarantined(shell: Shell) -> list[dict[str, Any]]:
    """The events in quarantine, once there is one."""
    while not (events := read(await shell("quarantine", "list", "--json"))):
        pass
    entries: list[dict[str, Any]] = events
    return entries


@pytest.mark.usefixtures("address")
async def test_quarantined_events_are_shown_released_and_discarded(
    either: Shell,  # noqa: F811
    receiver: Receiver,
    story: Story,
) -> None:
    await created(either, receiver.url)
    put = ("event-type", "put", "a.b", "--json")
    read(await either(*put, "--schema", '{"type": "object"}', "--enforce"))
    event = (await either("emit", "a.b", "--data", "[]")).out.strip()
    [held] = await quarantined(either)
    assert (held["eventId"], held["type"]) == (event, "a.b")
    line = (await either("quarantine", "list")).out
    assert held["id"] in line
    assert held["reason"] in line
    shown = await either("quarantine", "get", held["id"])
    assert held["detail"] in shown.out
    assert read(await either("quarantine", "get", held["id"], "--json")) == held
    read(await either(*put, "--no-enforce"))
    released = await either("quarantine", "release", held["id"])
    assert (released.code, released.out) == (0, f"released {held['id']}\n")
    await story.ended(DELIVERED=1)
    read(await either(*put, "--enforce"))
    await either("emit", "a.b", "--data", "[]")
    [held] = await quarantined(either)
    discarded = await either("quarantine", "discard", held["id"])
    assert (discarded.code, discarded.out) == (0, f"discarded {held['id']}\n")
    none = await either("quarantine", "list")
    assert (none.code, none.out, none.err) == (0, "", "Nothing is in quarantine.\n")
    assert (await either("quarantine", "release", held["id"])).code == 1


# ── audit ────────────────────────────────────────────────────────────────────────────────────────


async def test_the_audit_log_names_actor_and_change(
    both: tuple[Shell, Shell], receiver: Receiver, connection: Connection
) -> None:
    over_the_api, dispatcher = both  # noqa: F811
    webhook = await created(dispatcher, receiver.url)
    await environment(over_the_api, "env_acme")
    answers: list[Ended] = []
    for shell in both:
        chosen = ("--action", "webhook.create", "--environment", "env_default")
        answers.append(await shell("audit", "list", *chosen, "--json"))
    assert answers[0].out == answers[1].out
    [entry] = read(answers[0])
    assert (entry["subject"], entry["actor"]) == (
        webhook["id"],
        f"cli:{pwd.getpwuid(os.getuid()).pw_name}",
    )
    everything = read(await over_the_api("audit", "list", "--json"))
    assert len(everything) == await connection.fetchval("SELECT count(*) FROM dispatcher.audit")
    [of_subject] = read(await dispatcher("audit", "list", "--subject", "env_acme", "--json"))
    assert of_subject["action"] == "environment.create"
    table = (await over_the_api("audit", "list")).out
    assert re.search("^2.*Z  webhook.create +cli:.* name .*, events ", table, re.MULTILINE)
    assert "{" not in table
    none = await over_the_api("audit", "list", "--actor", "cli:none")
    assert (none.code, none.err) == (0, "There are no such changes.\n")
    unknown = await over_the_api("audit", "list", "--action", "webhook.made")
    assert "no such changes. Actions are: " in unknown.err
    assert "webhook.create, " in unknown.err


# ── stats ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("address")
async def test_the_figures_of_one_environment_or_of_all_are_shown(
    either: Shell,  # noqa: F811
    receiver: Receiver,
    story: Story,
) -> None:
    await created(either, receiver.url)
    await either("emit", "a.b")
    await story.ended(DELIVERED=1)
    figures = json.loads((await either("stats", "--json")).out)
    assert (figures["environmentId"], figures["webhooks"]["active"]) == ("env_default", 1)
    text = (await either("stats")).out
    assert text.startswith("environment env_default\n  due ")
    assert re.search(r"webhooks +1  active, 0 of them failing; 0 disabled", text)
    assert (await either("stats", "--all")).out.startswith("all environments\n")
    assert (await either("stats", "--all", "--environment", "env_default")).code == 2
