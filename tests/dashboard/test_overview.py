"""The overview as people see it, and pausing from it."""

import html
import json
import re

import pytest

from dispatcher.dashboard.views.overview import stretches
from dispatcher.services.overview import Overview
from dispatcher.store.session import Session
from tests.api.conftest import Api
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor
from tests.end_to_end.stories import Story
from tests.receivers import Receiver
from tests.waiting import until


async def paused(connection: Connection, *environments: str) -> list[str]:
    """Those of the environments that are paused, and `*` if all are."""
    rows = await connection.fetch(
        "SELECT '*' AS id FROM dispatcher.settings WHERE paused_at IS NOT NULL"
        " UNION ALL SELECT id FROM dispatcher.environments WHERE paused_at IS NOT NULL AND id = ANY($1)",
        environments,
    )
    return [row["id"] for row in rows]


async def sent(api: Api, story: Story, receiver: Receiver, count: int) -> None:
    """So many events are delivered, and summed up."""
    await story.subscribe(receiver.url)
    await story.insert(count)
    await receiver.wait_for(count)
    session = Session(api.dsn, "test")

    async def summed_up() -> bool:
        summary = await Overview(session).summary("env_default")
        return sum(point.delivered for point in summary.hour) == count

    try:
        await until(summed_up, "the sums are written")
    finally:
        await session.close()


async def test_an_empty_page_says_what_to_do_first(visitor: Visitor, home: str) -> None:
    page = await visitor.get("/")
    assert page.status == 200
    assert "No webhooks yet" in page.text
    assert f'href="/e/{home}/webhooks/new"' in page.text


async def test_with_a_webhook_the_empty_page_says_how_to_emit(
    own_visitor: Visitor, story: Story, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    page = await own_visitor.get("/")
    assert "INSERT INTO dispatcher.events (type, data)\n" in page.text
    assert "No webhooks yet" not in page.text


async def test_in_another_environment_the_insert_names_it(
    visitor: Visitor, database: Connection, other_home: str
) -> None:
    await database.execute(
        "INSERT INTO dispatcher.endpoints (environment_id, name, url, secret, version)"
        " VALUES ($1, 'n', 'u', '', 1)",
        other_home,
    )
    page = await visitor.get(f"/e/{other_home}/")
    assert "(type, data, environment_id)\n" in page.text
    assert f"'{other_home}'" in html.unescape(page.text)


async def test_sent_deliveries_are_in_the_charts_and_in_the_table(
    api: Api, own_visitor: Visitor, story: Story, receiver: Receiver
) -> None:
    await sent(api, story, receiver, 7)
    page = await own_visitor.get("/")
    assert "7 attempts delivered, 0 failed" in page.text
    match = re.search(r'data-chart="([^"]+)"', page.text)
    assert match is not None
    chart = json.loads(html.unescape(match[1]))
    assert {len(column) for column in chart.values()} == {60}
    assert sum(chart["delivered"]) > 0
    assert sum(chart["failed"]) == 0
    assert [p for p in chart["p95"] if p is not None]
    table = await own_visitor.get("/?range=day&as=table")
    assert "data-chart" not in table.text
    assert '<td class="number">7</td>' in table.text


async def test_daemons_are_shown_with_their_deliveries_and_shards(
    standing: Api, visitor: Visitor
) -> None:
    async def told() -> bool:
        return "process" in (await visitor.get("/")).text

    await until(told, "the daemon has told of itself")
    page = await visitor.get("/")
    assert "(0-63)" in page.text
    assert "Retries in memory" in page.text


async def test_a_bound_token_sees_neither_other_environments_nor_the_daemons(
    standing: Api, stranger: Visitor, other_home: str
) -> None:
    page = await stranger.sign_in(await standing.token("admin", other_home))
    assert page.path == f"/e/{other_home}/"
    for shown in (page, await stranger.get("/?of=all")):
        assert "Daemons" not in shown.text
        assert "All environments" not in shown.text
        assert "Retries in memory" not in shown.text


async def test_sending_is_paused_and_resumed_for_one_environment(
    visitor: Visitor, database: Connection, home: str, other_home: str
) -> None:
    page = await visitor.post("/pause")
    assert "<strong>Sending is paused</strong> for" in page.text
    assert await paused(database, home, other_home) == [home]
    page = await visitor.post("/resume")
    assert "Sending is resumed" in page.text
    assert await paused(database, home, other_home) == []


async def test_sending_is_paused_and_resumed_for_all(
    own_visitor: Visitor, connection: Connection
) -> None:
    page = await own_visitor.post("/pause", {"of": "all"})
    assert "Sending is paused for all environments" in page.text
    assert await paused(connection, "env_default") == ["*"]
    assert "Sending is paused for all environments" in (await own_visitor.get("/")).text
    await own_visitor.post("/resume", {"of": "all"})
    assert await paused(connection, "env_default") == []


async def test_an_administrator_of_one_environment_pauses_no_other(
    standing: Api, stranger: Visitor, database: Connection, home: str, other_home: str
) -> None:
    await stranger.sign_in(await standing.token("admin", home))
    await stranger.post("/pause", {"of": "all"})
    assert await paused(database, home, other_home) == [home]


async def test_only_an_administrator_can_pause(
    standing: Api, stranger: Visitor, database: Connection, home: str
) -> None:
    await stranger.sign_in(await standing.token("write"))
    page = await stranger.get(f"/e/{home}/")
    assert "Pause sending" not in page.text
    for path in ("/pause", "/resume"):
        assert (await stranger.post(f"/e/{home}{path}")).status == 403
    assert await paused(database, home) == []


async def test_a_form_of_another_site_pauses_nothing(
    visitor: Visitor, database: Connection, home: str
) -> None:
    assert (await visitor.post("/pause", csrf="0" * 64)).status == 403
    assert await paused(database, home) == []


async def test_the_status_of_a_daemon_is_shown_as_text(
    own_visitor: Visitor, connection: Connection
) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.daemons (id, renewed_at) VALUES (5, now() + interval '1 h')"
    )
    await connection.execute(
        "INSERT INTO dispatcher.daemon_status VALUES (5, $1, now())",
        json.dumps({"host": "<b>\x1b[31m\u202e", "up": 1, "version": "<i>", "pid": 1}),
    )
    page = await own_visitor.get("/")
    assert "&lt;b&gt;\\x1b[31m\\u202e" in page.text
    assert "&lt;i&gt;" in page.text
    assert "<b>" not in page.text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [((), ""), ((5,), "5"), ((0, 1, 2), "0-2"), ((0, 2, 3, 7), "0, 2-3, 7")],
)
def test_shards_are_shown_as_ranges(numbers: tuple[int, ...], text: str) -> None:
    assert stretches(numbers) == text


async def test_the_page_begins_with_a_verdict_and_the_button_that_mends(
    own_visitor: Visitor, story: Story, connection: Connection, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    page = await own_visitor.get("/")
    assert "All is well" in page.text
    assert "oldest due and not sent" in page.text
    webhook = await connection.fetchval("SELECT id FROM dispatcher.endpoints")
    await connection.execute(
        "INSERT INTO dispatcher.endpoint_health (endpoint_id, failing_since, failed_at, failures)"
        " VALUES ($1, now() - interval '1 h', now(), 5)",
        webhook,
    )
    page = await own_visitor.get("/")
    assert "1 webhook fails." in page.text
    retry = next(form for form in page.markup.forms if form.fields.get("webhook") == str(webhook))
    preview = await own_visitor.submit(retry, action="retry")
    assert "Nothing to retry" in preview.text
    await connection.execute(
        "UPDATE dispatcher.endpoints SET active = false, disabled_reason = 'failing'"
    )
    page = await own_visitor.get("/")
    assert "failed for too long" in page.text
    assert any(form.action.endswith("/enable") for form in page.markup.forms)


async def test_what_waits_for_a_retry_is_retried_from_the_verdict(
    own_visitor: Visitor, story: Story, receiver: Receiver
) -> None:
    receiver.otherwise = 500
    await story.subscribe(receiver.url)
    await story.insert(1)

    async def waits() -> bool:
        return "Retry 1 waiting…" in (await own_visitor.get("/")).text

    await until(waits, "the webhook fails and one delivery waits")
    assert "Next attempt <span data-due><time" in (await own_visitor.get("/deliveries")).text
    page = await own_visitor.get("/")
    retry = next(form for form in page.markup.forms if form.fields.get("status") == "PENDING")
    preview = await own_visitor.submit(retry, action="retry")
    assert "Retry 1 delivery?" in preview.text
    receiver.otherwise = 200
    start = next(form for form in preview.markup.forms if form.fields.get("step") == "start")
    await own_visitor.submit(start, action="retry")
    await story.ended(DELIVERED=1)
