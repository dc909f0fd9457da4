"""Errors as pages: what happened, why and what to do, with the navigation; and the operator's name."""

import re

import pytest

from dispatcher.services.overview import Overview
from dispatcher.store.errors import StoreUnavailableError
from dispatcher.store.queries.dashboard_sessions import DashboardSessions
from tests.api.conftest import Api, served
from tests.conftest import Connection
from tests.dashboard.conftest import Page, Visitor, browser_of
from tests.end_to_end.stories import Daemons


def heading(page: Page) -> str:
    match = re.search(r"<h1[^>]*>(.*?)</h1>", page.text, re.DOTALL)
    assert match is not None, page.text
    return re.sub(r"<[^>]+>", "", match[1]).strip()


def has_navigation(page: Page, environment: str) -> bool:
    return f'href="/e/{environment}/webhooks"' in page.text and "Sign out" in page.text


async def lost(*_: object) -> None:
    raise StoreUnavailableError("gone")


async def test_what_is_not_found_is_said_within_the_navigation(visitor: Visitor, home: str) -> None:
    for path in ("/deliveries/dlv_1_1_1", "/webhooks/none", "/nothing", "/webhooks/a/b/c"):
        page = await visitor.get(path)
        assert (page.status, heading(page), has_navigation(page, home)) == (
            404,
            "Not found",
            True,
        ), path
        assert "There is no" in page.text
        assert "Check the address." in page.text
        assert 'aria-current="page"' not in page.text


async def test_a_mistyped_environment_does_not_lead_out_of_the_dashboard(
    visitor: Visitor, home: str
) -> None:
    await visitor.get("/webhooks")
    page = await visitor.follow("/e/env_defualt/webhooks")
    assert (page.status, has_navigation(page, home)) == (404, True)
    assert "There is no environment" in page.text
    assert "env_defualt/" not in page.text


async def test_a_form_that_is_refused_is_answered_within_the_navigation(
    standing: Api, visitor: Visitor, other_home: str, home: str
) -> None:
    await visitor.get("/webhooks")
    page = await visitor.post("/pause", meant=other_home)
    assert (page.status, heading(page)) == (409, "Nothing was changed")
    assert has_navigation(page, home)
    async with browser_of(standing) as session:
        reader = Visitor(session)
        await reader.sign_in(await standing.token("read", home))
        page = await reader.post("/webhooks/new", {"url": "https://example.com", "patterns": "*"})
    assert (page.status, heading(page)) == (403, "You may not do this")
    assert has_navigation(page, home)
    assert "the scope write" in page.text
    assert "ask an administrator" in page.text


@pytest.mark.filterwarnings("ignore:Sending a large body")  # as large as it has to be
async def test_a_form_that_is_too_large_is_told_the_limit(visitor: Visitor, home: str) -> None:
    await visitor.get("/events/new")
    page = await visitor.post("/events/new", {"type": "user.created", "data": "x" * 2**20})
    assert (page.status, heading(page)) == (413, "This is too large")
    assert has_navigation(page, home)
    assert "at most 1048576 bytes (limits.body_bytes, or twice delivery.max_data)" in page.text
    assert "Shorten the input" in page.text


async def test_without_a_database_the_navigation_stays_and_the_page_can_be_tried_again(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    await visitor.get("/webhooks")
    monkeypatch.setattr(DashboardSessions, "get", lost)
    page = await visitor.get("/events?type=user.created")
    assert (page.status, heading(page)) == (503, "Not available at the moment")
    assert has_navigation(page, home)
    assert ("a href", f"/e/{home}/events?type=user.created") in page.markup.addresses
    assert "Try again" in page.text


async def test_an_unexpected_error_keeps_the_navigation(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(Overview, "summary", broken)
    page = await visitor.get("/")
    assert (page.status, heading(page)) == (500, "Something went wrong")
    assert has_navigation(page, home)
    assert "hunter2" not in page.text


async def test_an_error_tells_strangers_nothing_of_an_ended_session(
    standing: Api,
    visitor: Visitor,
    database: Connection,
    monkeypatch: pytest.MonkeyPatch,
    home: str,
) -> None:
    cookies = {cookie.key: cookie.value for cookie in visitor.session.cookie_jar}
    await database.execute("UPDATE dispatcher.tokens SET revoked_at = now()")
    assert (await visitor.get("/webhooks")).path.startswith("/sign-in")
    monkeypatch.setattr(DashboardSessions, "get", lost)
    async with browser_of(standing) as session:
        session.cookie_jar.update_cookies(cookies)
        page = await Visitor(session).get("/webhooks")
    assert (page.status, has_navigation(page, home)) == (503, False)


async def test_the_operators_name_stands_in_titles_menu_and_sign_in(
    daemons: Daemons, dsn: str
) -> None:
    titled = served(daemons, dsn, dashboard={"title": "Acme <b> Webhooks"})
    async with titled as api, browser_of(api) as session:
        visitor = Visitor(session)
        form = await visitor.get("/sign-in")
        await visitor.sign_in(await api.token())
        page = await visitor.get("/webhooks")
    assert "<title>Sign in · Acme &lt;b&gt; Webhooks</title>" in form.text
    assert heading(form) == "Acme &lt;b&gt; Webhooks"
    assert "<title>Webhooks · Acme &lt;b&gt; Webhooks</title>" in page.text
    assert page.text.count("Acme &lt;b&gt; Webhooks</a>") == 2
    assert "Dispatcher" not in form.text + page.text
