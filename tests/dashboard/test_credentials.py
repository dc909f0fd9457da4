"""The credentials of a webhook: stored by forms, shown without their secrets, removed again."""

import re
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.credentials import basic
from dispatcher.dashboard.protection import masked
from tests.api.conftest import Client
from tests.certificates import Authority
from tests.conftest import Connection
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_webhooks import made, revision
from tests.receivers import Receiver

SECRET = "hush-hush-hush"
Fields = dict[str, str | list[str]]
OAUTH2: Fields = {
    "part": "authentication",
    "type": "oauth2",
    "token_url": "http://127.0.0.1:8079/token",
    "client_id": "a client",
    "client_secret": SECRET,
    "scope": "events",
    "audience": "",
    "auth_method": "client_secret_post",
}
BASIC: Fields = {"part": "authentication", "type": "basic", "username": "ann", "password": SECRET}


async def stored(connection: Connection, webhook: str) -> Any:
    return await connection.fetchrow(
        "SELECT authentication, authentication_sealed, tls, tls_sealed, version"
        " FROM dispatcher.endpoints WHERE id = $1",
        webhook,
    )


async def test_an_authentication_is_stored_sent_and_never_shown(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url)
    path = f"/webhooks/{webhook}/credentials"
    page = await visitor.post(path, {**BASIC, "revision": revision(await visitor.get(path))})
    assert (page.status, "Saved." in page.text) == (200, True)
    assert re.search('id="stored-authentication">HTTP basic<', page.text)
    assert SECRET not in page.text
    assert "ann" not in re.findall(r'value="([^"]*)"', page.text)
    await visitor.post(f"/webhooks/{webhook}/test")
    (request,) = await receiver.wait_for(1)
    assert request.headers["Authorization"] == basic("ann", SECRET)


async def test_an_oauth2_client_is_replaced_as_a_whole_and_removed(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection
) -> None:
    webhook = await made(admin, receiver.url)
    path = f"/webhooks/{webhook}/credentials"
    page = await visitor.post(path, {**OAUTH2, "revision": revision(await visitor.get(path))})
    for words in (
        "OAuth 2 client a client",
        'value="events"',
        'value="client_secret_post" selected',
    ):
        assert words in page.text
    assert SECRET not in page.text
    again: Fields = {**OAUTH2, "client_secret": "", "scope": "more", "revision": revision(page)}
    refused = await visitor.post(path, again)
    assert (refused.status, "needs client secret" in refused.text) == (422, True)
    assert 'value="more"' in refused.text, "what was typed and is no secret is kept"
    removed = await visitor.post(
        path, {"part": "authentication", "type": "none", "revision": revision(page)}
    )
    assert 'id="stored-authentication">none<' in removed.text
    row = await stored(database, webhook)
    assert (row["authentication"], row["authentication_sealed"]) == (None, None)


async def test_certificates_are_stored_shown_by_their_subject_and_removed(
    visitor: Visitor,
    admin: Client,
    receiver: Receiver,
    database: Connection,
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.client()
    webhook = await made(admin, receiver.url)
    path = f"/webhooks/{webhook}/credentials"
    form: Fields = {
        "part": "tls",
        "certificate": certificate.replace("\n", "\r\n"),
        "key": key.replace("\n", "\r\n"),
        "ca": authority.root.read_text().replace("\n", "\r\n"),
    }
    page = await visitor.post(path, {**form, "revision": revision(await visitor.get(path))})
    for words in ("CN=127.0.0.1", "SHA-256", "CN=Test authority", "Remove certificates"):
        assert words in page.text
    assert "PRIVATE KEY-----\n" not in page.text
    alone: Fields = {**form, "certificate": "", "key": "", "revision": revision(page)}
    page = await visitor.post(path, alone)
    assert ("CN=127.0.0.1" in page.text, "CN=Test authority" in page.text) == (False, True)
    page = await visitor.post(path, {"part": "tls", "remove": "tls", "revision": revision(page)})
    assert "those of the system" in page.text
    row = await stored(database, webhook)
    assert (row["tls"], row["tls_sealed"]) == (None, None)


async def test_each_credential_form_changes_only_its_own_part(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection, tmp_path: Path
) -> None:
    webhook = await made(admin, receiver.url)
    path = f"/webhooks/{webhook}/credentials"
    page = await visitor.post(path, {**BASIC, "revision": revision(await visitor.get(path))})
    before = await stored(database, webhook)
    ca = Authority(tmp_path).root.read_text()
    await visitor.post(path, {"part": "tls", "ca": ca, "revision": revision(page)})
    after = await stored(database, webhook)
    assert after["authentication_sealed"] == before["authentication_sealed"]
    assert after["tls_sealed"] is not None


@pytest.mark.parametrize(
    ("typed", "field", "reason"),
    [
        ({**OAUTH2, "token_url": "ftp://example.com/"}, "token_url", "http"),
        ({**OAUTH2, "client_id": ""}, "authentication", "needs client id"),
        ({**OAUTH2, "client_id": "\u202e"}, "client_id", "printable ASCII"),
        ({**BASIC, "username": "a:b"}, "username", "without colons"),
        ({**BASIC, "username": "", "password": ""}, "authentication", "needs"),
        ({**BASIC, "type": "digest"}, "type", "basic"),
        ({"part": "tls"}, "tls", "must have"),
        ({"part": "tls", "certificate": "x"}, "tls", "together"),
        ({"part": "tls", "ca": "x"}, "ca", "PEM"),
        ({"part": "tls", "ca": "x" * 70_000}, "ca", "65536"),
    ],
)
async def test_an_error_is_beside_its_field_and_no_secret_is_shown_again(
    visitor: Visitor,
    admin: Client,
    receiver: Receiver,
    database: Connection,
    typed: Fields,
    field: str,
    reason: str,
) -> None:
    webhook = await made(admin, receiver.url)
    path = f"/webhooks/{webhook}/credentials"
    before = await stored(database, webhook)
    page = await visitor.post(path, {**typed, "revision": revision(await visitor.get(path))})
    assert page.status == 422
    match = re.search(rf'id="{field}-error" role="alert">([^<]*)<', page.text)
    assert match is not None, page.text
    assert reason in match[1]
    assert SECRET not in page.text
    assert await stored(database, webhook) == before


async def test_a_change_by_another_user_is_not_overwritten(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection
) -> None:
    webhook = await made(admin, receiver.url)
    path = f"/webhooks/{webhook}/credentials"
    opened = revision(await visitor.get(path))
    await admin("PATCH", f"/api/webhooks/{webhook}", {"name": "Another"})
    page = await visitor.post(path, {**BASIC, "revision": opened})
    assert (page.status, "Another user has changed" in page.text) == (409, True)
    assert (await stored(database, webhook))["authentication"] is None


async def test_a_header_authorization_and_an_authentication_exclude_each_other(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url, headers={"Authorization": "Bearer x"})
    path = f"/webhooks/{webhook}/credentials"
    page = await visitor.post(path, {**BASIC, "revision": revision(await visitor.get(path))})
    assert (page.status, "cannot be combined" in page.text) == (422, True)


async def test_a_form_that_is_sent_too_late_keeps_no_secret(
    visitor: Visitor, admin: Client, receiver: Receiver, home: str
) -> None:
    webhook = await made(admin, receiver.url)
    path = f"/e/{home}/webhooks/{webhook}/credentials"
    form: Fields = {**BASIC, "environment": home}
    stale = await visitor.send(path, form, csrf=masked("0" * 64), Sec_Fetch_Site="same-origin")
    assert (stale.status, "This was not done" in stale.text) == (403, True)
    assert SECRET not in stale.text
