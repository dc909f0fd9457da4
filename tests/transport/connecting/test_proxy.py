"""Receivers are reached through a proxy, which the operator names, and through nothing else."""

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dispatcher.config.sections import Config, ConfigError
from dispatcher.core.model import Response, SendError
from dispatcher.transport import sender as send
from dispatcher.transport.addresses.egress import Guard, parse_allow
from dispatcher.transport.addresses.resolver import Resolver
from dispatcher.transport.connecting.proxy import HEAD_LIMIT_BYTES, Proxy
from dispatcher.transport.connecting.proxy_from_config import proxy_from_config
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from tests.certificates import Authority
from tests.receivers import RawReceiver, Receiver, Script

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Tunnels:
    """A proxy that keeps the heads of its requests, and leads to one receiver."""

    def __init__(self, receiver: str = "", answer: bytes = ESTABLISHED) -> None:
        self.heads: list[bytes] = []
        self._port = int(receiver.rpartition(":")[2].partition("/")[0] or 0)
        self._answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._answer)
        if not self._port:
            await reader.read()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await asyncio.gather(_pass(reader, back), _pass(there, writer))
        finally:
            back.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def through(
    script: Script,
    *,
    allow: str = "127.0.0.0/8",
    authorization: str = "",
    connect_timeout: float = 30.0,
) -> AsyncIterator[Sender]:
    async with (
        RawReceiver(script) as proxy,
        Sender(
            guard=Guard(parse_allow([allow])),
            connect_timeout=connect_timeout,
            body_limit=1024,
            concurrency=8,
            user_agent="Test/1.0",
            proxy=Proxy("127.0.0.1", proxy.port, authorization),
        ) as sender,
    ):
        yield sender


async def error_of(sender: Sender, url: str) -> tuple[str, str]:
    result = await sender.post(Post(url, {}, b"{}", timeout=30))
    assert isinstance(result, SendError), result
    return result.code, result.reason


@pytest.mark.parametrize("is_https", [False, True])
async def test_http_and_https_go_through_a_tunnel_and_keep_it(
    is_https: bool, trusted_authority: Authority
) -> None:
    context = trusted_authority.server() if is_https else None
    async with Receiver(ssl_context=context) as receiver:
        proxy = Tunnels(receiver.url)
        async with through(proxy, authorization="Basic eA==") as sender:
            for _ in range(2):
                answer = await sender.post(Post(receiver.url, {}, b"{}", timeout=30))
                assert isinstance(answer, Response), answer
                assert answer.status == 200
    authority_of = receiver.url.split("/")[2]
    assert proxy.heads == [
        f"CONNECT {authority_of} HTTP/1.1\r\nHost: {authority_of}\r\n"
        "Proxy-Authorization: Basic eA==\r\n\r\n".encode()
    ]
    assert len(receiver.requests) == 2
    assert all("proxy-authorization" not in str(r.headers).lower() for r in receiver.requests)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 407 No\r\n\r\n", "the proxy refuses the credentials (407)"),
        (b"HTTP/1.1 403 No\r\n\r\n", "the proxy refuses this receiver (403)"),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", "the proxy cannot reach the receiver (502)"),
        (b"HTTP/1.1 504 Late\r\n\r\n", "the proxy cannot reach the receiver (504)"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "the proxy does not answer as one"),
        (ESTABLISHED + b"HTTP/1.1 200 OK\r\n\r\n", "the proxy does not answer as one"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * HEAD_LIMIT_BYTES, "the proxy does not answer as one"),
    ],
)
async def test_the_error_says_why_the_proxy_opened_no_tunnel(answer: bytes, reason: str) -> None:
    async with through(Tunnels(answer=answer)) as sender:
        assert await error_of(sender, "http://127.0.0.1:8080/") == (
            "connect", f"no connection: {reason}",
        )  # fmt: skip


async def test_an_absent_and_a_silent_proxy_are_distinct_errors() -> None:
    async with through(Tunnels(answer=b""), connect_timeout=0.5) as sender:
        assert await error_of(sender, "http://127.0.0.1:8080/") == (
            "connect", "no connection through the proxy within 0.5 s (phase=connect)",
        )  # fmt: skip
    async with through(Tunnels(answer=b"")) as sender:
        sender._connections._proxy = Proxy("127.0.0.1", 1)
        assert await error_of(sender, "http://127.0.0.1:8080/") == (
            "connect", "no connection to the proxy: Connection refused",
        )  # fmt: skip


async def test_targets_are_judged_by_their_address_and_the_proxy_is_not() -> None:
    proxy = Tunnels()
    async with through(proxy, allow="192.0.2.1/32") as sender:
        for url in ("http://127.0.0.1:8080/", "http://169.254.169.254/", "http://10.0.0.1/"):
            assert (await error_of(sender, url))[0] == "blocked"
    assert proxy.heads == []


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["93.184.216.34"], []])
async def test_a_name_is_checked_by_its_addresses_if_it_resolves(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        if not addresses:
            raise OSError(-2, "Name or service not known")
        return [(2, 1, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(send, "Resolver", partial(Resolver, getaddrinfo=getaddrinfo))
    async with Receiver() as receiver:
        proxy = Tunnels(receiver.url)
        async with through(proxy, allow="192.0.2.1/32") as sender:
            result = await sender.post(Post("http://hooks.example.com/", {}, b"{}", timeout=30))
    if addresses == ["10.0.0.1"]:
        assert isinstance(result, SendError)
        assert (result.code, proxy.heads) == ("blocked", [])
    else:
        assert isinstance(result, Response)
        assert proxy.heads[0].startswith(b"CONNECT hooks.example.com:80 HTTP/1.1\r\n")


async def test_the_environments_proxies_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with (
        Receiver() as receiver,
        Sender(
            guard=Guard(parse_allow(["127.0.0.0/8"])),
            connect_timeout=30,
            body_limit=1024,
            concurrency=8,
            user_agent="Test/1.0",
        ) as sender,
    ):
        assert isinstance(await sender.post(Post(receiver.url, {}, b"{}", timeout=30)), Response)


def config(**egress: str) -> Config:
    return Config.model_validate({"egress": egress})


def test_credentials_come_from_the_setting_or_a_file_and_are_in_no_repr(tmp_path: Path) -> None:
    assert proxy_from_config(config()) is None
    assert proxy_from_config(config(proxy="http://proxy.example:3128")) == (
        "proxy.example",
        3128,
        "",
    )
    expected = f"Basic {b64encode(b'me:secret').decode()}"
    file = tmp_path / "credentials"
    file.write_text("me:secret\n", encoding="utf-8")
    file.chmod(0o600)
    for credentials in ({"proxy_credentials": "me:secret"}, {"proxy_credentials_file": str(file)}):
        settings = config(proxy="http://[fd00::1]:8080", **credentials)
        proxy = proxy_from_config(settings)
        assert proxy == ("fd00::1", 8080, expected)
        assert "secret" not in repr(settings).replace("secrets=", "")
        assert expected not in repr(proxy)
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="open to others"):
        proxy_from_config(config(proxy="http://a:1", proxy_credentials_file=str(file)))
    with pytest.raises(ConfigError, match="No such file"):
        proxy_from_config(config(proxy="http://a:1", proxy_credentials_file=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"me:" + b"s" * 1022, "at most 1024 bytes"),
        (b"me:s\xe9same", "UTF-8"),
        (b"me", "user:password"),
        (b"me:s\nyou:s", "one line"),
    ],
)
def test_credentials_that_are_not_whole_are_refused_without_their_text(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    file = tmp_path / "credentials"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=problem) as refused:
        proxy_from_config(config(proxy="http://a:1", proxy_credentials_file=str(file)))
    assert str(refused.value).startswith(f"egress.proxy_credentials_file: {file} must ")
    assert "me:s" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["proxy:3128", "https://proxy:3128", "socks5://proxy", "http://me:word@proxy", "http://p:99999",
     "http://proxy/path", "http://", "http://p:0"],
)  # fmt: skip
def test_a_wrong_proxy_url_is_reported_without_its_credentials(text: str) -> None:
    with pytest.raises(ValueError, match="proxy") as refused:
        config(proxy=text)
    assert "must" in str(refused.value)
