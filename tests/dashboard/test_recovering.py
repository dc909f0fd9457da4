"""Recovering from the dashboard: counted first, then started, watched and cancelled."""

import re
from datetime import UTC, datetime, timedelta

from tests.api.conftest import Api, Client
from tests.conftest import Connection
from tests.dashboard.conftest import Page, Visitor
from tests.dashboard.test_deliveries import delivery, emit
from tests.dashboard.test_webhooks import made
from tests.receivers import Receiver
from tests.waiting import until

REPLAYS = "SELECT count(*) FROM dispatcher.replays WHERE endpoint_id = $1"


async def failed(admin: Client, receiver: Receiver) -> str:
    """A webhook one of whose deliveries failed for good."""
    webhook = await made(admin, receiver.url, retry={"retries": 0})
    receiver.answers = [500]
    await emit(admin)
    await delivery(admin, "FAILED")
    return webhook


def hidden(page: Page) -> dict[str, str | list[str]]:
    """Return the fields that the form of the second step would send."""
    form = page.text[page.text.index('name="step" value="start"') :]
    pairs = re.findall(r'name="(since|until|missed|rate)" value="([^"]*)"', form)
    return {"step": "start", **dict(pairs)}


async def test_a_replay_is_counted_then_started_then_done(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection
) -> None:
    webhook = await failed(admin, receiver)
    counted = await visitor.post(
        f"/webhooks/{webhook}/recoveries", {"preset": "hour", "missed": "on", "rate": "100"}
    )
    assert counted.status == 200
    assert "Recover 1 delivery?" in counted.text
    assert await database.fetchval(REPLAYS, webhook) == 0
    started = await visitor.post(f"/webhooks/{webhook}/recoveries", hidden(counted))
    assert "The recovery has started." in started.text
    await receiver.wait_for(2)

    async def done() -> bool:
        return ">done<" in (await visitor.get(f"/webhooks/{webhook}/recoveries")).text

    await until(done, "the page says that it is done")
    page = await visitor.get(f"/webhooks/{webhook}/recoveries")
    assert re.search(r">1 <span class=\"soft\">of 1<", page.text)
    assert "failed and missed, 100 a second" in page.text


async def test_the_second_step_recovers_the_time_that_was_counted(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await failed(admin, receiver)
    counted = await visitor.post(f"/webhooks/{webhook}/recoveries", {"preset": "week"})
    fields = hidden(counted)
    assert "missed" not in fields
    await visitor.post(f"/webhooks/{webhook}/recoveries", fields)
    made_ = (await admin("GET", f"/api/webhooks/{webhook}/recoveries")).data["items"][0]
    for name in ("since", "until"):
        assert str(fields[name])[:19] == made_[name][:19]
    assert made_["missed"] is False


async def test_an_empty_replay_is_not_offered(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url)
    page = await visitor.post(f"/webhooks/{webhook}/recoveries", {"preset": "day"})
    assert "Nothing to recover" in page.text
    assert ">Recover</button>" not in page.text


async def test_a_typed_time_is_read_as_utc_and_validated(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await failed(admin, receiver)
    path = f"/webhooks/{webhook}/recoveries"
    page = await visitor.post(path, {"preset": "custom", "since": "2026-01-01T00:00"})
    assert "2026-01-01 00:00:00.000 UTC" in page.text
    for fields, field in (
        ({"preset": "custom", "since": ""}, "since"),
        ({"preset": "custom", "since": "2199-01-01T00:00"}, "since"),
        ({"preset": "hour", "rate": "fast"}, "rate"),
        ({"preset": "hour", "rate": "0"}, "rate"),
        ({"preset": "hour", "rate": "9" * 5000}, "rate"),
    ):
        wrong = await visitor.post(path, dict(fields))
        assert (wrong.status, f'id="{field}-error"' in wrong.text) == (422, True)


async def test_a_replay_that_cannot_start_shows_the_reason(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await failed(admin, receiver)
    path = f"/webhooks/{webhook}/recoveries"
    counted = await visitor.post(path, {"preset": "hour"})
    await visitor.post(f"/webhooks/{webhook}/disable")
    refused = await visitor.post(path, hidden(counted))
    assert (refused.status, "Enable it first" in refused.text) == (409, True)


async def test_a_running_replay_is_cancelled(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url, retry={"retries": 0})
    receiver.otherwise = 500
    for _ in range(3):
        await emit(admin)
    await receiver.wait_for(3)

    async def over() -> bool:
        counted = await visitor.post(f"/webhooks/{webhook}/recoveries", {"preset": "hour"})
        return "Recover 3 deliveries?" in counted.text

    await until(over, "three deliveries failed")
    path = f"/webhooks/{webhook}/recoveries"
    counted = await visitor.post(path, {"preset": "hour", "rate": "1"})
    await visitor.post(path, hidden(counted))
    page = await visitor.get(path)
    match = re.search(r'action="[^"]*/recoveries/(rec_\d+)/cancel"', page.text)
    assert match is not None
    assert "Cancelled." in (await visitor.post(f"{path}/{match[1]}/cancel")).text
    assert ">cancelled<" in (await visitor.get(path)).text
    assert (await visitor.post(f"{path}/rec_1/cancel")).status == 404


async def test_a_replay_that_has_ended_cannot_be_cancelled_and_the_form_stays_as_it_was(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url)
    path = f"/webhooks/{webhook}/recoveries"
    since = datetime.now(UTC) - timedelta(hours=1)
    started = await admin("POST", f"/api/webhooks/{webhook}/recover", {"since": since.isoformat()})
    recovery = started.data["id"]

    async def ended() -> bool:
        state: str = (await admin("GET", f"/api{path}/{recovery}")).data["state"]
        return state == "DONE"

    await until(ended, "the recovery is done")
    refused = await visitor.post(f"{path}/{recovery}/cancel")
    assert (refused.status, "is DONE" in refused.text) == (409, True)
    unticked = await visitor.post(path, {"preset": "hour", "rate": "fast"})
    pages = (await visitor.get(path), refused, unticked)
    ticked = ["missed" in page.markup.form("/recoveries").fields for page in pages]
    assert ticked == [True, True, False]


async def test_a_read_token_sees_replays_and_starts_none(
    standing: Api,
    stranger: Visitor,
    admin: Client,
    receiver: Receiver,
    database: Connection,
    home: str,
) -> None:
    webhook = await failed(admin, receiver)
    await stranger.sign_in(await standing.token("read", home))
    page = await stranger.get(f"/webhooks/{webhook}/recoveries")
    assert ("No recoveries yet" in page.text, ">Preview</button>" in page.text) == (True, False)
    for fields in ({"preset": "hour"}, {"step": "start", "since": "2026-01-01T00:00:00Z"}):
        assert (await stranger.post(f"/webhooks/{webhook}/recoveries", dict(fields))).status == 403
    assert await database.fetchval(REPLAYS, webhook) == 0
