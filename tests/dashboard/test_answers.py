"""How pages are answered: compressed, with a cookie of one's own, errors as pages, hosts by name."""

import gzip

import aiohttp
import pytest

from dispatcher.services.overview import Overview
from dispatcher.store.errors import StoreUnavailableError
from tests.api.conftest import Api, served
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor
from tests.end_to_end.stories import Daemons
from tests.receivers import Receiver


async def raw(visitor: Visitor, path: str, accepted: str | None) -> tuple[str | None, bytes]:
    """The Content-Encoding, and the bytes as they came."""
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    skipped = () if accepted is not None else ("Accept-Encoding",)
    async with aiohttp.ClientSession(
        auto_decompress=False, cookie_jar=visitor.session.cookie_jar, skip_auto_headers=skipped
    ) as session:
        address = str(visitor.session._base_url).rstrip("/") + path
        async with session.get(address, headers=headers) as answer:
            assert answer.status == 200
            assert answer.headers["Vary"] == "Accept-Encoding"
            return answer.headers.get("Content-Encoding"), await answer.read()


async def test_pages_and_files_are_compressed_if_accepted(visitor: Visitor) -> None:
    page = await visitor.get("/")
    addresses = [a for _, a in page.markup.addresses if a.startswith("/static/")]
    for path in (visitor.place("/webhooks/new"), *addresses):
        _, plain = await raw(visitor, path, None)
        for accepted, coding in (
            ("gzip, deflate, br", "gzip"),
            ("br;q=1.0, GZIP;q=0.5", "gzip"),
            ("deflate", None),
            ("gzip;q=0", None),
            ("identity, gzip; q=0.0", None),
        ):
            used, body = await raw(visitor, path, accepted)
            assert used == coding, (path, accepted)
            if coding and len(plain) > 2000:
                assert len(body) < len(plain) / 2
                assert len(gzip.decompress(body)) == len(plain)


async def test_no_page_that_shows_a_secret_is_compressed(
    visitor: Visitor, receiver: Receiver
) -> None:
    for path, fields in (
        ("/tokens", {"name": "x"}),
        ("/webhooks/new", {"url": receiver.url, "patterns": "*"}),
    ):
        page = await visitor.post(path, dict(fields))
        assert "It is not shown again" in page.text
        assert "Content-Encoding" not in page.headers
    listed = await visitor.get("/webhooks")
    assert listed.headers["Content-Encoding"] == "gzip"


async def test_no_two_pages_have_the_same_token_for_forms(visitor: Visitor) -> None:
    async def tokens() -> set[str]:
        forms = (await visitor.get("/tokens")).markup.forms
        return {str(form.fields["csrf"]) for form in forms if form.method == "post"}

    made, again = await tokens(), await tokens()
    assert made
    assert not made & again


async def test_over_tls_the_cookie_is_this_hosts_alone(standing: Api, home: str) -> None:
    behind = {"X-Forwarded-Proto": "https"}
    form = {"token": await standing.token()}
    async with aiohttp.ClientSession(
        standing.address, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        async with session.post(
            "/sign-in", data=form, headers=behind, allow_redirects=False
        ) as answer:
            name, _, more = answer.headers["Set-Cookie"].partition("=")
            value = more.split(";")[0]
        assert name == "__Host-dispatcher_session"
        assert "Secure" in more
        assert "Path=/" in more
        assert "Domain" not in more
        for cookie, headers, status in (
            (f"{name}={value}", behind, 200),
            (f"dispatcher_session={value}", behind, 303),
            (f"{name}={value}", {}, 303),
        ):
            async with session.get(
                f"/e/{home}/", headers={**headers, "Cookie": cookie}, allow_redirects=False
            ) as answer:
                assert answer.status == status


async def test_a_link_of_a_revoked_token_shows_an_error_page(
    standing: Api, stranger: Visitor, database: Connection
) -> None:
    link = standing.daemon.dashboard.login_link(await standing.token())
    await database.execute("UPDATE dispatcher.tokens SET revoked_at = now()")
    page = await stranger.get(link)
    assert (page.status, page.headers["Content-Type"][:9]) == (401, "text/html")
    assert "was revoked" in page.text


async def test_a_link_without_a_database_shows_an_error_page(
    standing: Api, stranger: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> None:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr("dispatcher.api.auth.Auth.authenticate", lost)
    page = await stranger.get(standing.daemon.dashboard.login_link("any"))
    assert (page.status, page.headers["Content-Type"][:9]) == (503, "text/html")
    assert "The database is not available" in page.text


async def test_without_a_database_every_page_says_so(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    async def lost(*_: object) -> None:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(
        "dispatcher.services.access.dashboard_sessions.DashboardSessions.find", lost
    )
    for path in ("/", f"/e/{home}/webhooks", "/webhooks"):
        page = await visitor.follow(path)
        assert (page.status, page.headers["Content-Type"][:9]) == (503, "text/html")


async def test_an_error_is_logged_under_the_id_of_the_request(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("of a test")

    monkeypatch.setattr(Overview, "summary", broken)
    capsys.readouterr()
    page = await visitor.get("/", X_Request_Id="req_of_mine")
    assert (page.status, page.headers["X-Request-Id"]) == (500, "req_of_mine")
    assert "under the request req_of_mine" in page.text
    assert "request=req_of_mine" in capsys.readouterr().out


async def test_a_change_is_audited_with_the_id_of_the_request(
    visitor: Visitor, database: Connection, home: str
) -> None:
    page = await visitor.post("/event-types/new", {"name": "a.b"})
    noted = await database.fetchval(
        "SELECT request_id FROM dispatcher.audit"
        " WHERE action = 'event_type.create' AND environment_id = $1",
        home,
    )
    assert noted.startswith("req_")
    assert noted != page.headers["X-Request-Id"]  # of the page that was led to


async def test_only_the_hosts_that_are_named_are_served(daemons: Daemons, dsn: str) -> None:
    async with served(daemons, dsn, admin={"hosts": ["Dispatcher.Example", "[::1]"]}) as api:
        session = api._session
        for host, path, status in (
            ("dispatcher.example", "/sign-in", 200),
            ("DISPATCHER.example:8400", "/sign-in", 200),
            ("[::1]:8400", "/sign-in", 200),
            ("evil.example", "/sign-in", 421),
            ("dispatcher.example.evil.example", "/api/webhooks", 421),
            ("127.0.0.1", "/nothing", 421),
            ("evil.example", "/livez", 200),
            ("dispatcher.example", "/api/webhooks", 401),
        ):
            async with session.get(path, headers={"Host": host}) as answer:
                assert answer.status == status, (host, path)
                if status == 421:
                    assert f"'{host}' is not in admin.hosts" in await answer.text()
        for host, shown in (("é" * 300, "é" * 100), ("a\u202eb", "a\\u202eb")):
            async with session.get("/sign-in", headers={"Host": host}) as answer:
                (detail,) = (await answer.json())["error"]["details"]
                assert detail == {"message": f"'{shown}' is not in admin.hosts", "header": "Host"}


async def test_every_page_answers_head_as_it_answers_get_without_the_body(
    visitor: Visitor, home: str
) -> None:
    page = await visitor.get("/")
    static = next(a for _, a in page.markup.addresses if a.startswith("/static/"))
    for path, status in (
        ("/", 303),
        ("/sign-in", 200),
        ("/webhooks", 303),
        (f"/e/{home}/", 200),
        (f"/e/{home}/webhooks", 200),
        (f"/e/{home}/nothing", 404),
        (static, 200),
    ):
        async with visitor.session.head(path, allow_redirects=False) as answer:
            assert (answer.status, await answer.read()) == (status, b""), path
