"""No page shows a secret again: not in a form that was refused, nor in one that was sent too late."""

import json
import re

import pytest

from dispatcher.dashboard.protection import masked
from dispatcher.dashboard.secret_fields import (
    PEM_FIELDS,
    SECRET_FIELDS,
    URL_FIELDS,
    without_secrets,
    without_userinfo,
)
from tests.api.conftest import Api, Client
from tests.conftest import Connection
from tests.dashboard.conftest import Page, Visitor
from tests.dashboard.test_webhooks import made, revision
from tests.receivers import Receiver

SECRET = "hush-hush-hush"
WITH_SECRET = f"https://ann:{SECRET}@example.com/in"
WITHOUT = "https://example.com/in"
Fields = dict[str, str | list[str]]
SETTINGS: Fields = {
    "url": WITH_SECRET,
    "name": "B",
    "patterns": "user.*",
    "header_name": ["X-Api-Key", ""],
    "header_value": [SECRET, ""],
}
NEW: Fields = {"url": WITH_SECRET, "name": "B", "patterns": "user.*"}
OAUTH2: Fields = {
    "part": "authentication",
    "type": "oauth2",
    "token_url": WITH_SECRET,
    "client_id": "a client",
    "client_secret": SECRET,
}
PRIVATE = f"-----BEGIN PRIVATE KEY-----\r\n{SECRET}\r\n-----END PRIVATE KEY-----\r\n"
TLS: Fields = {"part": "tls", "certificate": f"a\r\n{PRIVATE}b", "key": PRIVATE, "ca": PRIVATE[:60]}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (WITH_SECRET, WITHOUT),
        ("http://ann:x@10.0.0.1/", "http://10.0.0.1/"),
        ("https://api-key@example.com", "https://example.com"),
        ("https://a@b@example.com/x@y", "https://example.com/x@y"),
        ("https://ann:x/y@example.com/in", "https://example.com/in"),
        ("https://ann:x?y#z@example.com/in", "https://example.com/in"),
        (r"https://ann:x\y@example.com", "https://example.com"),
        ("ftp://ann:x@[::1]:21/in", "ftp://[::1]:21/in"),
        (" https:/ann:x@example.com", " https:/example.com"),
        ("ann:x@example.com/in", "example.com/in"),
        ("https:ann:x@example.com", "example.com"),
        ("//ann:x@example.com", "//example.com"),
        ("https://https://ann:x@example.com", "https://example.com"),
        ("<https://ann:x@example.com>", "example.com>"),
        ("https://ann:x@", "https://"),
        *(
            (same, same)
            for same in (
                "",
                "nonsense",
                "https://example.com/@ann/in?to=ann@example.com",
                "https://example.com:8443/@ann",
                "http://[::1]:80/?to=ann@example.com",
                "https://example.com?to=ann@example.com",
                "https://пример.рф/@",
                "https://exa mple.com:80/@",
            )
        ),
    ],
)
def test_a_url_is_shown_without_what_may_be_a_secret(url: str, shown: str) -> None:
    assert without_userinfo(url) == shown


def test_the_fields_that_lack_a_secret_are_named() -> None:
    fields = [("url", WITH_SECRET), ("header_value", SECRET), ("header_value", ""), ("key", "")]
    kept, left_out = without_secrets([*fields, ("name", SECRET)])
    assert kept == [("url", WITHOUT), ("name", SECRET)]
    assert left_out == ("url", "header_value")


async def test_every_field_for_a_url_or_a_password_is_known(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url, headers={"X-Old": "x"})
    names: dict[str, set[str]] = {"url": set(), "password": set(), "pem": set(), "header": set()}
    for path in (
        "/webhooks/new",
        *(f"/webhooks/{webhook}/{t}" for t in ("settings", "credentials")),
    ):
        text = (await visitor.get(path)).text
        for tag in re.findall(r"<(?:input|textarea)[^>]*>", text):
            name = re.search(r'name="(\w+)"', tag)
            kind = re.search(r'type="(url|password)"', tag)
            if name is not None and kind is not None:
                names[kind[1]].add(name[1])
            if name is not None and "-----BEGIN" in tag:
                names["pem"].add(name[1])
            if name is not None and "alue of" in tag:
                names["header"].add(name[1])
    assert names["url"] == URL_FIELDS
    assert names["pem"] - SECRET_FIELDS == PEM_FIELDS
    assert names["password"] | names["header"] | {"username", "key"} == SECRET_FIELDS


def shows_no_secret(page: Page) -> None:
    assert SECRET not in page.text
    assert "ann" not in re.findall(r"https://(\w+)", page.text)


async def test_a_refused_form_for_a_new_webhook_has_its_url_without_the_password(
    visitor: Visitor,
) -> None:
    page = await visitor.post("/webhooks/new", {**NEW, "patterns": "a..b"})
    assert (page.status, f'value="{WITHOUT}"' in page.text) == (422, True)
    assert "was left out" in page.text
    shows_no_secret(page)
    wrong = await visitor.post("/webhooks/new", {**NEW, "url": f"http://ann:{SECRET}@example.com/"})
    assert (wrong.status, "must not contain a user name" in wrong.text) == (422, True)
    shows_no_secret(wrong)


@pytest.mark.parametrize(("change", "status"), [({"rate_limit": "lots"}, 422), ({}, 409)])
async def test_refused_settings_have_neither_a_password_nor_a_header_value(
    visitor: Visitor, admin: Client, receiver: Receiver, change: Fields, status: int
) -> None:
    webhook = await made(admin, receiver.url)
    path = f"/webhooks/{webhook}/settings"
    opened = revision(await visitor.get(path))
    await admin("PATCH", f"/api/webhooks/{webhook}", {"name": "Theirs"})
    page = await visitor.post(path, {**SETTINGS, **change, "revision": opened})
    assert (page.status, f'value="{WITHOUT}"' in page.text) == (status, True)
    for field in ("url", "headers"):
        assert re.search(f'id="{field}-error" role="alert">[^<]*left out', page.text), field
    shows_no_secret(page)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (OAUTH2, f'value="{WITHOUT}"'),
        ({**OAUTH2, "client_id": ""}, f'value="{WITHOUT}"'),
        (TLS, "A private key was left out"),
    ],
)
@pytest.mark.parametrize("late", [False, True])
async def test_refused_credentials_have_no_secret(
    visitor: Visitor, admin: Client, receiver: Receiver, typed: Fields, shown: str, *, late: bool
) -> None:
    webhook = await made(admin, receiver.url)
    path = f"/webhooks/{webhook}/credentials"
    opened = revision(await visitor.get(path))
    if late:
        await admin("PATCH", f"/api/webhooks/{webhook}", {"name": "Theirs"})
    page = await visitor.post(path, {**typed, "revision": opened})
    assert page.status in ((409, 422) if late else (422,))
    assert shown in page.text
    shows_no_secret(page)


@pytest.mark.parametrize(
    ("tab", "typed", "lacking"),
    [
        ("settings", SETTINGS, ("url", "header_value")),
        ("credentials", OAUTH2, ("token_url", "client_secret")),
        ("credentials", TLS, ("certificate", "key", "ca")),
    ],
)
async def test_a_form_that_is_sent_after_the_session_ended_keeps_no_secret(
    api: Api,
    own_visitor: Visitor,
    own_admin: Client,
    connection: Connection,
    tab: str,
    typed: Fields,
    lacking: tuple[str, ...],
) -> None:
    webhook = await made(own_admin, "https://example.com/", headers={"X-Old": "old"})
    path = f"/e/env_default/webhooks/{webhook}/{tab}"
    form: Fields = {**typed, "environment": "env_default"}
    stale = await own_visitor.send(path, form, csrf=masked("0" * 64), Sec_Fetch_Site="same-origin")
    assert (stale.status, "This was not done" in stale.text) == (403, True)
    shows_no_secret(stale)
    await connection.execute("UPDATE dispatcher.dashboard_sessions SET expires_at = now()")
    late = await own_visitor.send(path, form, Sec_Fetch_Site="same-origin")
    assert (late.status, "You were signed out" in late.text) == (401, True)
    shows_no_secret(late)
    fields = {**late.markup.form("/sign-in").fields, "token": await api.token()}
    again = await own_visitor.send("/sign-in", fields)
    shows_no_secret(again)
    for page in (stale, again):
        assert re.findall("<code>(.*?)</code>", page.text) == list(lacking)
    if tab == "settings":
        saved = await own_visitor.submit(again.markup.form("/settings"))
        assert (saved.status, f'value="{WITHOUT}"' in saved.text) == (200, True)
        now = (await own_admin("GET", f"/api/webhooks/{webhook}")).data
        assert (now["headerNames"], now["authentication"]) == (["X-Old"], None)


async def test_a_form_that_was_kept_with_a_secret_is_shown_without_it(
    standing: Api, stranger: Visitor
) -> None:
    """An earlier version may have written it."""
    action = "/e/env_default/webhooks/new"
    kept = json.dumps({"action": action, "fields": [*NEW.items(), ("header_value", SECRET)]})
    page = await stranger.send("/sign-in", {"token": await standing.token(), "kept": kept})
    assert "This was not done" in page.text
    shows_no_secret(page)
