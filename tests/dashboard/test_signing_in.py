"""Signing in and out; what a browser is told of the pages; forms of other sites."""

import asyncio
import re

import aiohttp
import pytest
from yarl import URL

from dispatcher.api.requests import json_body
from tests.api.conftest import Api
from tests.api.test_unreadable_requests import said_to
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor


async def test_a_page_sends_strangers_to_sign_in_and_back(api: Api, own_stranger: Visitor) -> None:
    page = await own_stranger.get("/webhooks")
    assert page.path.startswith("/sign-in?next=/e/env_default/webhooks")
    token = await api.token()
    signed_in = await own_stranger.sign_in(token)
    assert signed_in.path == "/e/env_default/"
    assert (await own_stranger.get("/webhooks")).below == "/webhooks"


async def test_a_part_of_a_page_without_a_session_leaves_the_page_as_it_is(
    stranger: Visitor,
) -> None:
    page = await stranger.get("/webhooks", HX_Request="true")
    assert (page.status, page.text) == (401, "")
    assert not {"HX-Refresh", "Location"} & page.headers.keys()


@pytest.mark.parametrize("token", ["", "wrong", "dsp_" + "A" * 43])
async def test_an_invalid_token_does_not_sign_in(stranger: Visitor, token: str) -> None:
    page = await stranger.sign_in(token)
    assert page.status == 401
    assert "not valid" in page.text
    assert (await stranger.get("/webhooks")).path.startswith("/sign-in")


async def test_a_throttled_address_is_told_how_long_and_who_is_not_affected(
    own_stranger: Visitor,
) -> None:
    pages = [await own_stranger.sign_in("wrong") for _ in range(11)]
    assert [page.status for page in pages] == [401] * 10 + [429]
    assert re.search(r"Try again in [0-9]+ s\. Other addresses, and tokens", pages[-1].text)


async def test_signing_out_ends_the_session_of_a_kept_cookie(
    own_visitor: Visitor, connection: Connection
) -> None:
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.dashboard_sessions") == 1
    assert (await own_visitor.post("/sign-out")).path == "/sign-in"
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.dashboard_sessions") == 0
    assert (await own_visitor.get("/webhooks")).path.startswith("/sign-in")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE dispatcher.tokens SET revoked_at = now()",
        "UPDATE dispatcher.tokens SET expires_at = now()",
        "UPDATE dispatcher.dashboard_sessions SET expires_at = now()",
    ],
)
async def test_a_session_ends_with_its_token_and_after_its_time(
    visitor: Visitor, database: Connection, change: str
) -> None:
    assert (await visitor.get("/webhooks")).below == "/webhooks"
    await database.execute(change)
    assert (await visitor.get("/webhooks")).path.startswith("/sign-in")


async def test_a_link_signs_in_once(standing: Api, stranger: Visitor) -> None:
    path = standing.daemon.dashboard.login_link(await standing.token())
    assert (await stranger.get(path)).path == "/e/env_default/"
    assert (await stranger.get("/webhooks")).below == "/webhooks"
    again = await stranger.get(path)
    assert (again.status, "used before" in again.text) == (403, True)


async def test_a_form_of_another_site_does_nothing(
    own_visitor: Visitor, connection: Connection
) -> None:
    fields: dict[str, str | list[str]] = {"url": "https://example.com/", "patterns": "*"}
    for csrf in ("", "0" * 64):
        page = await own_visitor.post("/webhooks/new", fields, csrf=csrf)
        assert page.status == 403
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.endpoints") == 0
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.dashboard_sessions") == 1


async def test_an_id_is_looked_up_only_in_environments_of_the_token(
    standing: Api, stranger: Visitor, other_home: str, home: str
) -> None:
    await stranger.sign_in(await standing.token("admin", home))
    for path in ("/", "/webhooks", "/tokens", "/nothing"):
        assert (await stranger.get(f"/e/{other_home}{path}")).status == 404
    assert (await stranger.get(f"/switch?to={other_home}")).status == 404
    assert (await stranger.get("/environments")).status == 404
    assert "env_other" not in (await stranger.get("/webhooks")).text


async def test_an_administrator_of_all_switches_between_environments(
    own_visitor: Visitor, other_environment: str
) -> None:
    for page, leads_to in (("webhooks", "/webhooks"), ("delivery", "/webhooks"), ("nope", "/")):
        switched = await own_visitor.get(f"/switch?to={other_environment}&page={page}")
        assert switched.path == f"/e/{other_environment}{leads_to}"
        assert '<span class="mono">env_other</span>' in switched.text
        listed = await own_visitor.get(f"/environments?page={page}")
        assert f'href="/e/{other_environment}{leads_to}"' in listed.text
    assert (await own_visitor.get("/switch?to=env_none")).status == 404
    by_name = await own_visitor.get("/switch?to=oTHER")
    assert by_name.path == f"/e/{other_environment}/"
    options = await own_visitor.get("/environments?page=webhooks&to=OTHER", HX_Request="true")
    assert f'data-href="/e/{other_environment}/webhooks"' in options.text
    assert "env_default" not in options.text
    none = await own_visitor.get("/environments?to=nothing", HX_Request="true")
    assert "No environment matches" in none.text
    assert (await own_visitor.get("/e/env_none/")).status == 404


async def test_the_browser_may_run_only_our_files(visitor: Visitor) -> None:
    page = await visitor.get("/webhooks")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert "<style" not in page.text
    assert "style=" not in page.text


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "/\t/evil.example", "/\n/evil.example", "/\0"]
)
async def test_signing_in_leads_nowhere_but_to_this_site(
    standing: Api, session: aiohttp.ClientSession, path: str
) -> None:
    fields = {"token": await standing.token(), "next": path}
    async with session.post("/sign-in", data=fields, allow_redirects=False) as answer:
        assert answer.headers.get("Location", "/") == "/"
        assert answer.status == (400 if "\0" in path else 303)


async def test_signing_in_leads_back_with_every_filter(
    session: aiohttp.ClientSession,
) -> None:
    async with session.get("/events?type=a.b&since=x", allow_redirects=False) as answer:
        asked = URL(answer.headers["Location"])
    assert asked.query["next"] == "/events?type=a.b&since=x"


@pytest.mark.parametrize("cookie", [b"\xff\xfe", "ü".encode(), b"", b"nonsense"])
async def test_an_unknown_cookie_is_not_signed_in(standing: Api, cookie: bytes) -> None:
    head = b"GET /webhooks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: dispatcher_session="
    answer = await said_to(standing.address, head + cookie + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 303 ")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--x"),
        ("multipart/form-data; boundary=x", b"nonsense"),
        ("application/x-www-form-urlencoded; charset=none", b"token=x"),
        ("application/x-www-form-urlencoded", b"token=\xff"),
        ("application/x-www-form-urlencoded", b"token=%00"),
    ],
)
async def test_an_unreadable_form_gets_a_page_with_the_error(
    session: aiohttp.ClientSession, visitor: Visitor, kind: str, body: bytes
) -> None:
    for path in ("/sign-in", visitor.place("/webhooks/new"), "/sign-out"):
        async with session.post(path, data=body, headers={"Content-Type": kind}) as answer:
            assert (answer.status, answer.content_type) == (400, "text/html")


async def test_a_form_whose_body_does_not_come_is_ended_in_time(
    standing: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_body, "SECONDS", 0.2)
    kind = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n"
    head = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + kind
    at = URL(standing.address)
    reader, writer = await asyncio.open_connection(at.host, at.port)
    writer.write(head + b"\r\ntoken=")
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "path",
    [
        "/audit?before=9223372036854775808",
        "/quarantine?before=9999999999999999999",
        "/audit?actor=%00",
        "/events?id=%00",
    ],
)
async def test_no_address_breaks_a_page(visitor: Visitor, path: str) -> None:
    assert (await visitor.get(path)).status == (400 if "%00" in path else 200)


async def test_no_environment_has_a_nul_in_its_name(visitor: Visitor) -> None:
    assert (await visitor.get("/switch?to=%00")).status == 400
    assert (await visitor.get("/e/%00/webhooks")).status == 404


@pytest.mark.parametrize(
    ("site", "status"),
    [("cross-site", 403), ("same-site", 403), ("same-origin", 303), ("none", 303)],
)
async def test_another_site_cannot_sign_a_user_in(
    standing: Api, database: Connection, site: str, status: int
) -> None:
    token = await standing.token()
    sessions = "SELECT count(*) FROM dispatcher.dashboard_sessions"
    before = await database.fetchval(sessions)
    async with (
        aiohttp.ClientSession(standing.address) as session,
        session.post(
            "/sign-in",
            data={"token": token},
            headers={"Sec-Fetch-Site": site},
            allow_redirects=False,
        ) as answer,
    ):
        assert answer.status == status
    signed_in = await database.fetchval(sessions) - before
    assert signed_in == (1 if status == 303 else 0)


@pytest.mark.parametrize(("proto", "secure"), [("https", True), ("HTTPS", True), ("http", False)])
async def test_behind_a_proxy_with_tls_the_cookie_is_for_tls_alone(
    standing: Api, proto: str, secure: bool
) -> None:
    token = await standing.token()
    async with (
        aiohttp.ClientSession(standing.address) as session,
        session.post(
            "/sign-in",
            data={"token": token},
            headers={"X-Forwarded-Proto": proto},
            allow_redirects=False,
        ) as answer,
    ):
        assert ("Secure" in answer.headers["Set-Cookie"]) is secure
