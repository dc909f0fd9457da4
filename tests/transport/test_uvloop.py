"""What depends on the event loop, on the one that the daemon runs on."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dispatcher.core.credentials import tls_identity
from dispatcher.core.model import Response, SendError
from dispatcher.transport.addresses.egress import Guard, parse_allow
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from tests.certificates import Authority
from tests.receivers import RawReceiver, Script, read_request

uvloop = pytest.importorskip("uvloop")

OK = b"HTTP/1.1 200 OK\r\n"


def new_sender() -> Sender:
    return Sender(
        guard=Guard(parse_allow(["127.0.0.0/8"])),
        connect_timeout=30,
        body_limit=16384,
        concurrency=32,
        user_agent="Test/1.0",
    )


def on_uvloop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    complaints: list[object] = []

    async def watched() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(60):
            await main()

    uvloop.run(watched())
    assert complaints == []


def says(answer: bytes, *, again: bytes = b"") -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(answer)
            while again:
                writer.write(again)
                await writer.drain()

    return script


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_bodies_go_out_whole_and_connections_are_kept(
    is_tls: bool,
    size: int,
    trusted_authority: Authority,
) -> None:
    bodies: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            bodies.append((await read_request(reader))[1])
            writer.write(OK + b"Content-Length: 2\r\n\r\nok")

    async def main() -> None:
        context = trusted_authority.server() if is_tls else None
        body = bytes(range(250)) * (size // 250) + b"end"
        async with RawReceiver(script, ssl_context=context) as receiver, new_sender() as sender:
            for _ in range(3):
                answer = await sender.post(Post(receiver.url, {}, body, timeout=30))
                assert isinstance(answer, Response), answer
                assert (answer.status, answer.body) == (200, b"ok")
            assert receiver.connections == 1
        assert bodies == [body] * 3

    on_uvloop(main)


@pytest.mark.parametrize(
    ("first", "again", "verdict"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, "protocol"),
        (OK + b"Content-Length: 2\r\n\r\nok", (OK + b"Content-Length: 2\r\n\r\nok") * 5000, 200),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000, 200),
        (b"HTTP/1.1 410 Gone\r\n\r\n", b"x" * 65536, 410),
    ],
)
def test_each_post_of_a_flood_gets_its_outcome(
    first: bytes, again: bytes, verdict: int | str
) -> None:
    async def main() -> None:
        async with RawReceiver(says(first, again=again)) as receiver, new_sender() as sender:
            posts = [sender.post(Post(receiver.url, {}, b"{}", timeout=30)) for _ in range(50)]
            for answer in await asyncio.gather(*posts):
                if isinstance(answer, SendError):
                    assert answer.code == verdict
                else:
                    assert answer.status == verdict

    on_uvloop(main)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_silent_receiver_ends_at_the_deadline(scheme: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with RawReceiver(script) as receiver, new_sender() as sender:
            url = receiver.url.replace("http", scheme)
            result = await sender.post(Post(url, {}, b"{}", timeout=0.2))
            assert isinstance(result, SendError)
            assert result.code == "timeout"
            assert len(sender._connections._made) <= 1

    on_uvloop(main)


def test_a_large_body_that_is_not_read_waits_outside_of_the_transport() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Content-Length: 0\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async def main() -> None:
        async with RawReceiver(script) as receiver, new_sender() as sender:
            first = await sender.post(Post(receiver.url, {}, b"{}", timeout=30))
            assert isinstance(first, Response), "the connection is there before the deadline runs"
            result = await sender.post(Post(receiver.url, {}, b"x" * 2**25, timeout=0.5))
            assert isinstance(result, SendError)
            assert (result.code, "(phase=send)" in result.reason) == ("timeout", True)

    on_uvloop(main)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_is_presented_and_a_missing_one_is_an_error(
    version: ssl.TLSVersion,
    trusted_authority: Authority,
) -> None:
    context = trusted_authority.demanding()
    context.minimum_version = context.maximum_version = version
    identity = tls_identity(*trusted_authority.client(), trusted_authority.root.read_text())

    async def main() -> None:
        answer = says(OK + b"Content-Length: 0\r\n\r\n")
        async with new_sender() as sender, RawReceiver(answer, ssl_context=context) as receiver:
            refused = await sender.post(Post(receiver.url, {}, b"{}", timeout=30))
            assert isinstance(refused, SendError)
            assert refused.code in ("tls", "reset")
            for _ in range(3):
                taken = await sender.post(Post(receiver.url, {}, b"{}", timeout=30, tls=identity))
                assert isinstance(taken, Response)
            assert receiver.connections == 1, "the refused one never became a connection"

    on_uvloop(main)
