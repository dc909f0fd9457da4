"""Signing in and out; what a browser is told of the pages; forms of other sites."""

import pytest

from tests.api.conftest import Api
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor


async def test_a_page_sends_strangers_to_sign_in_and_back(api: Api, stranger: Visitor) -> None:
    page = await stranger.get("/webhooks")
    assert page.path.startswith("/sign-in?next=/webhooks")
    token = await api.token()
    signed_in = await stranger.sign_in(token)
    assert signed_in.path == "/"
    assert (await stranger.get("/webhooks")).path == "/webhooks"


async def test_a_part_of_a_page_that_is_signed_out_has_the_page_loaded_anew(
    stranger: Visitor,
) -> None:
    page = await stranger.get("/webhooks", HX_Request="true")
    assert (page.status, page.headers["HX-Refresh"], page.text) == (401, "true", "")


@pytest.mark.parametrize("token", ["", "wrong", "dsp_" + "A" * 43])
async def test_who_shows_no_good_token_stays_outside(stranger: Visitor, token: str) -> None:
    page = await stranger.sign_in(token)
    assert page.status == 401
    assert "not valid" in page.text
    assert (await stranger.get("/webhooks")).path.startswith("/sign-in")


async def test_signing_out_ends_it_also_for_who_kept_the_cookie(
    visitor: Visitor, connection: Connection
) -> None:
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.sign_ins") == 1
    assert (await visitor.post("/sign-out")).path == "/sign-in"
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.sign_ins") == 0
    assert (await visitor.get("/webhooks")).path.startswith("/sign-in")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE dispatcher.tokens SET revoked_at = now()",
        "UPDATE dispatcher.tokens SET expires_at = now()",
        "UPDATE dispatcher.sign_ins SET expires_at = now()",
    ],
)
async def test_it_ends_with_its_token_and_with_its_time(
    visitor: Visitor, connection: Connection, change: str
) -> None:
    assert (await visitor.get("/webhooks")).path == "/webhooks"
    await connection.execute(change)
    assert (await visitor.get("/webhooks")).path.startswith("/sign-in")


async def test_a_link_signs_in_once(api: Api, stranger: Visitor) -> None:
    path = api.daemon.dashboard.invite(await api.token())
    assert (await stranger.get(path)).path == "/"
    assert (await stranger.get("/webhooks")).path == "/webhooks"
    again = await stranger.get(path)
    assert (again.status, "used before" in again.text) == (403, True)


async def test_a_form_of_another_site_does_nothing(
    visitor: Visitor, connection: Connection
) -> None:
    fields: dict[str, str | list[str]] = {"url": "https://example.com/", "patterns": "*"}
    for csrf in ("", "0" * 64):
        page = await visitor.post("/webhooks/new", fields, csrf=csrf)
        assert page.status == 403
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.endpoints") == 0
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.sign_ins") == 1


async def test_it_is_looked_only_at_environments_that_the_token_is_for(
    api: Api, stranger: Visitor, other_environment: str
) -> None:
    await stranger.sign_in(await api.token("admin", "env_default"))
    page = await stranger.post("/environment", {"environment": other_environment})
    assert page.status == 404
    assert "env_other" not in (await stranger.get("/webhooks")).text


async def test_an_administrator_of_all_switches_between_environments(
    visitor: Visitor, other_environment: str
) -> None:
    await visitor.post("/environment", {"environment": other_environment})
    assert 'value="env_other"' in (await visitor.get("/webhooks")).text
    assert (await visitor.post("/environment", {"environment": "env_none"})).status == 404


async def test_the_browser_is_told_to_run_nothing_but_our_files(visitor: Visitor) -> None:
    page = await visitor.get("/webhooks")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert "<style" not in page.text
    assert "style=" not in page.text
