"""The request of a delivery as a command for curl: run by real shells, it is what the daemon sends."""

import asyncio
import html
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher.dashboard.curl_command import INLINE_LIMIT_BYTES, command, is_inline
from dispatcher.receiver import verify
from dispatcher.services.deliveries.signed_requests import SignedRequest
from tests.api.conftest import Api, Client
from tests.conftest import Connection
from tests.dashboard.conftest import Page, Visitor
from tests.dashboard.test_deliveries import delivery, emit
from tests.dashboard.test_webhooks import made
from tests.receivers import RawReceiver, Receiver, read_request

HOSTILE_PATH = """a'b"$(touch${IFS}owned)`touch${IFS}owned`/../%2f%C3%a9/[1-3]{x,y}/é?q=';touch${IFS}owned;'&!!=*"""
HOSTILE_HEADER = "X-O'$HOME`id`!"
HOSTILE_DATA = """'; touch owned; $(touch owned) `touch owned` "!!" %s && é <script> @x \n"""
SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh") if shutil.which(shell)]
VARYING = re.compile(r"X-Dispatcher-Attempt|.*-(Timestamp|Signature)", re.IGNORECASE)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl is found")


class Recorder:
    """Heads and bodies as they arrived, byte for byte."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, bytes]] = []
        self.receiver = RawReceiver(self._answer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await read_request(reader))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    opened = Recorder()
    async with opened.receiver:
        yield opened


def parsed(head: bytes) -> tuple[str, list[tuple[str, str]]]:
    """The request line and the headers."""
    start, *lines = head.decode().rstrip("\r\n").split("\r\n")
    return start, [tuple(line.split(": ", 1)) for line in lines]  # type: ignore[misc]


def shown(page: Page) -> str:
    match = re.search(r'<code id="curl-command">(.*?)</code>', page.text, re.DOTALL)
    assert match is not None, page.text
    return html.unescape(match[1])


async def run(shell: str, text: str, directory: Path) -> None:
    """Run a command in an empty directory; nothing but curl's own work may come of it."""
    plain = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
    running = await asyncio.create_subprocess_exec(
        shell, "-c", text, cwd=directory, env=plain,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await running.communicate()
    assert running.returncode == 0, errors.decode()
    assert not (directory / "owned").exists()


async def created(admin: Client, url: str, **wishes: object) -> Any:
    form = {"url": url, "events": ["*"], **wishes}
    return (await admin("POST", "/api/webhooks", form)).data


@pytest.mark.parametrize("shell", SHELLS)
async def test_the_command_sends_what_the_daemon_sends(
    visitor: Visitor, admin: Client, recorder: Recorder, tmp_path: Path, shell: str
) -> None:
    webhook = await created(
        admin,
        recorder.receiver.url + HOSTILE_PATH,
        headers={HOSTILE_HEADER: "v", "X-Plain": "v"},
    )
    await emit(admin, data={"text": HOSTILE_DATA})
    name = await delivery(admin, "DELIVERED")
    page = await visitor.post(f"/deliveries/{name}/curl")
    assert page.status == 200
    await run(shell, shown(page), tmp_path)
    (sent, body), (again, same) = recorder.requests
    assert same == body
    (start, theirs), (line, ours) = parsed(sent), parsed(again)
    assert line == start
    assert verify(same, dict(ours), webhook["secret"]) == "standard"
    assert dict(ours)["X-Dispatcher-Attempt"] == "2"
    own = (HOSTILE_HEADER, "X-Plain")
    expected = [
        (name, f"<the value of {name}>" if name in own else value)
        for name, value in theirs
        if not VARYING.fullmatch(name)
    ]
    assert [header for header in ours if not VARYING.fullmatch(header[0])] == expected
    assert [name for name, _ in ours] == [name for name, _ in theirs]


async def test_a_payload_that_cannot_be_pasted_is_read_from_the_downloaded_file(
    visitor: Visitor, admin: Client, recorder: Recorder, tmp_path: Path
) -> None:
    webhook = await created(admin, recorder.receiver.url)
    text = '{\t"a":\r\n"\u202e\x9b201~",  "long": "' + "x" * 200_000 + '"}'
    emitted = f'{{"type": "user.created", "data": {text}}}'.encode()
    assert (await admin("POST", "/api/events", emitted)).status == 201
    name = await delivery(admin, "DELIVERED")
    page = await visitor.post(f"/deliveries/{name}/curl")
    assert shown(page).endswith(f"--data-binary @- < {name}.json")
    assert len(page.text) < 20_000
    exact = await visitor.get(f"/deliveries/{name}/payload")
    with pytest.raises(AssertionError, match="No such file"):
        await run("sh", shown(page), tmp_path)
    assert len(recorder.requests) == 1
    (tmp_path / f"{name}.json").write_bytes(exact.text.encode())
    await run("sh", shown(page), tmp_path)
    (_, body), (again, same) = recorder.requests
    assert same == body
    headers = dict(parsed(again)[1])
    assert "Expect" not in headers
    assert verify(same, headers, webhook["secret"]) == "standard"


async def test_a_signature_is_for_those_who_may_send_and_is_in_the_audit_log(
    standing: Api,
    stranger: Visitor,
    admin: Client,
    receiver: Receiver,
    database: Connection,
    home: str,
) -> None:
    await made(admin, receiver.url)
    await emit(admin)
    name = await delivery(admin, "DELIVERED")
    await stranger.sign_in(await standing.token("read", home))
    assert "Copy as curl" not in (await stranger.get(f"/deliveries/{name}")).text
    assert (await stranger.post(f"/deliveries/{name}/curl")).status == 403
    count = "SELECT count(*) FROM dispatcher.audit WHERE action = 'delivery.sign' AND subject = $1"
    assert await database.fetchval(count, name) == 0
    await stranger.sign_in(await standing.token("support", home))
    page = await stranger.get(f"/deliveries/{name}")
    (form,) = [form for form in page.markup.forms if form.action.endswith("/curl")]
    signed = await stranger.submit(form)
    assert (signed.status, "Content-Encoding" in signed.headers) == (200, False)
    assert await database.fetchval(count, name) == 1
    assert (await stranger.get(f"/deliveries/{name}/curl")).status == 404


async def test_neither_secret_nor_credentials_are_in_the_command(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await created(
        admin,
        receiver.url,
        headers={"X-Api-Key": "hush-hush"},
        authentication={"type": "basic", "username": "ann", "password": "sesame"},
    )
    await emit(admin)
    name = await delivery(admin, "DELIVERED")
    page = await visitor.post(f"/deliveries/{name}/curl")
    for secret in (webhook["secret"], "hush-hush", "sesame", "YW5uOnNlc2FtZQ"):
        assert secret not in page.text
    text = shown(page)
    assert "'X-Api-Key: <the value of X-Api-Key>'" in text
    assert "--user '<user name>:<password>'" in text
    assert "Authorization" not in text
    oauth2 = {"type": "oauth2", "tokenUrl": receiver.url, "clientId": "a", "clientSecret": "sesame"}
    await admin("PATCH", f"/api/webhooks/{webhook['id']}", {"authentication": oauth2})
    text = shown(await visitor.post(f"/deliveries/{name}/curl"))
    assert "--header 'Authorization: Bearer <access token>'" in text
    assert "sesame" not in text


async def test_what_cannot_be_signed_is_refused_with_the_reason(
    visitor: Visitor, admin: Client, receiver: Receiver, database: Connection
) -> None:
    webhook = await made(admin, receiver.url)
    await emit(admin)
    name = await delivery(admin, "DELIVERED")
    await database.execute(
        "UPDATE dispatcher.endpoints SET secret = '\\x00' WHERE id = $1", webhook
    )
    page = await visitor.post(f"/deliveries/{name}/curl")
    assert (page.status, "cannot be read" in page.text) == (409, True)
    await visitor.post(f"/webhooks/{webhook}/delete")
    page = await visitor.post(f"/deliveries/{name}/curl")
    assert (page.status, "The webhook was deleted" in page.text) == (409, True)
    assert (await visitor.post("/deliveries/dlv_1/curl")).status == 404


@pytest.mark.parametrize(
    ("body", "inline"),
    [
        (b'{"a":"b\\n\\u00e9"}', True),
        ('{"a":"é€"}'.encode(), True),
        (b'{"a":"' + b"x" * INLINE_LIMIT_BYTES + b'"}', False),
        (b'{"a":\n1}', False),
        (b'{"a":\t1}', False),
        ('{"a":"\u202e"}'.encode(), False),
        (b'{"a":"\x7f"}', False),
        (b'{"a":"\\\\"}', False),
    ],
)
def test_only_a_body_that_every_shell_and_terminal_keeps_stands_in_the_command(
    body: bytes, *, inline: bool
) -> None:
    assert is_inline(body) is inline


def test_certificates_are_named_and_an_empty_header_is_kept() -> None:
    request = SignedRequest("https://example.com/", (("X-Empty", ""),), b"{}", (), None, True, True)
    assert command(request, "dlv_1.json").splitlines()[1:] == [
        "  --header 'X-Empty;' \\",
        "  --cert '<client certificate>.pem' \\",
        "  --key '<key>.pem' \\",
        "  --cacert '<CA certificates>.pem' \\",
        "  --data-binary '{}'",
    ]
