"""Connections are kept for a moment, bounded, replaced when the receiver ended them, and timed."""

import asyncio
import gc
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from time import monotonic

import pytest
from cryptography import x509

from dispatcher.core.model import Response, SendError, Timings
from dispatcher.transport.addresses.egress import Guard, parse_allow
from dispatcher.transport.connecting import connections as module
from dispatcher.transport.connecting import handshake_slots
from dispatcher.transport.exchanging.answer_head import Head
from dispatcher.transport.exchanging.exchange import Connection
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from tests.certificates import Authority
from tests.receivers import HANG, Answer, RawReceiver, Receiver, Script, read_request
from tests.waiting import until

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"


@asynccontextmanager
async def sending(*, concurrency: int = 32, origin_limit: int = 1000) -> AsyncIterator[Sender]:
    async with Sender(
        guard=Guard(parse_allow(["127.0.0.0/8", "::1/128"])),
        connect_timeout=30,
        body_limit=16384,
        concurrency=concurrency,
        user_agent="Test/1.0",
        origin_limit=origin_limit,
    ) as sender:
        yield sender


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with sending() as opened:
        yield opened


async def posted(sender: Sender, url: str) -> Response:
    answer = await sender.post(Post(url, {}, b"{}", timeout=30))
    assert isinstance(answer, Response), answer
    return answer


def keeps(head: bytes = b"") -> Script:
    """Answer one request after another on a connection, with these headers."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(OK + head + b"Content-Length: 0\r\n\r\n")

    return script


@pytest.mark.parametrize(
    ("head", "connections", "seconds"),
    [
        (b"", 1, module.IDLE_SECONDS),
        (b"Keep-Alive: timeout=60\r\n", 1, module.IDLE_SECONDS),
        (b"Keep-Alive: timeout=3\r\n", 1, 2.0),
        (b"Keep-Alive: timeout=1\r\n", 3, None),
        (b"Keep-Alive: timeout=0\r\n", 3, None),
        (b"Connection: close\r\n", 3, None),
    ],
)
async def test_a_connection_is_kept_for_as_long_as_the_receiver_surely_keeps_it(
    sender: Sender, head: bytes, connections: int, seconds: float | None
) -> None:
    async with RawReceiver(keeps(head)) as receiver:
        for _ in range(3):
            await posted(sender, receiver.url)
        assert receiver.connections == connections
        kept = list(sender._connections._idle)
        assert len(kept) == (0 if seconds is None else 1)
        if seconds is not None:
            left = kept[0].idle_until - monotonic()
            assert seconds - 2 < left <= seconds


async def test_a_connection_that_was_idle_for_too_long_is_closed_and_not_used(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(module, "CLOSE_IDLE_SECONDS", 0.05)
    async with RawReceiver(keeps()) as receiver:
        await posted(sender, receiver.url)
        await until(lambda: len(sender._connections) == 0, "no connection is open")
        await posted(sender, receiver.url)
        assert receiver.connections == 2
        (connection,) = sender._connections._idle
        connection.idle_until = 0.0  # over, and not yet closed
        await posted(sender, receiver.url)
        assert receiver.connections == 3


@pytest.mark.parametrize("junk", [b"HTTP/1.1 408 Timeout\r\n\r\n", b"x", EMPTY * 1000])
async def test_bytes_on_an_idle_connection_close_it_without_using_an_attempt(
    sender: Sender, junk: bytes
) -> None:
    speak = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(EMPTY)
        await speak.wait()
        writer.write(junk)
        await reader.read()

    async with RawReceiver(script) as receiver:
        await posted(sender, receiver.url)
        speak.set()
        await until(lambda: len(sender._connections) == 0, "no connection is open")
        await posted(sender, receiver.url)
        assert receiver.connections == 2


async def test_a_request_cancelled_when_its_answer_is_here_leaves_the_connection_to_others(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = module.Connections._keep

    def keep_and_cancel(self: module.Connections, connection: Connection, head: Head) -> None:
        keep(self, connection, head)
        posting.cancel()

    monkeypatch.setattr(module.Connections, "_keep", keep_and_cancel)
    async with RawReceiver(keeps()) as receiver:
        posting = asyncio.create_task(posted(sender, receiver.url))
        with pytest.raises(asyncio.CancelledError):
            await posting
        await posted(sender, receiver.url)
        assert receiver.connections == 1


async def test_of_too_many_idle_connections_the_longest_unused_is_closed() -> None:
    async with (
        sending(concurrency=2) as sender,
        RawReceiver(keeps()) as a,
        RawReceiver(keeps()) as b,
        RawReceiver(keeps()) as c,
    ):
        for receiver in (a, b, a, c, a):
            await posted(sender, receiver.url)
        assert [r.connections for r in (a, b, c)] == [1, 1, 1]
        await until(lambda: len(sender._connections) == 2, "two connections are open")
        await posted(sender, b.url)
        assert b.connections == 2


async def test_beyond_the_limit_of_an_origin_posts_wait_for_a_connection() -> None:
    async with sending(origin_limit=2) as sender, Receiver(otherwise=HANG) as receiver:
        receiver.answers = [Answer(delay=0.1), Answer(delay=0.1), 200, 200, 200]
        answers = await asyncio.gather(*(posted(sender, receiver.url) for _ in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
        assert len({request.peer for request in receiver.requests}) == 2


async def test_waiting_for_a_connection_ends_at_the_deadline_and_frees_the_place() -> None:
    async with sending(origin_limit=1) as sender, Receiver() as receiver, Receiver() as another:
        receiver.answers = [HANG]
        hanging = asyncio.create_task(sender.post(Post(receiver.url, {}, b"{}", timeout=30)))
        await receiver.wait_for(1)
        late = await sender.post(Post(receiver.url, {}, b"{}", timeout=0.1))
        assert isinstance(late, SendError)
        assert (late.code, "(phase=connect)" in late.reason) == ("timeout", True)
        await posted(sender, another.url)  # another origin does not wait
        first, second = (asyncio.create_task(posted(sender, receiver.url)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        hanging.cancel()
        assert (await second).status == 200
        assert len(receiver.requests) == 2
        await posted(sender, receiver.url)
        assert receiver.requests[1].peer == receiver.requests[2].peer, "it is kept for the next"
        await asyncio.gather(first, hanging, return_exceptions=True)


async def test_an_early_answer_counts_and_the_rest_of_the_body_is_not_sent(sender: Sender) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await asyncio.Event().wait()

    async with RawReceiver(script) as receiver:
        answer = await sender.post(Post(receiver.url, {}, b"x" * 64 * 1024 * 1024, timeout=30))
        assert isinstance(answer, Response)
        assert (answer.status, answer.body) == (413, b"no")
        await until(lambda: len(sender._connections) == 0, "no connection is open")


@pytest.mark.parametrize("data", [b"", EMPTY])
async def test_a_half_closed_connection_ends_the_answer(sender: Sender, data: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(data)
        writer.write_eof()
        await reader.read()

    async with RawReceiver(script) as receiver:
        answer = await sender.post(Post(receiver.url, {}, b"{}", timeout=30))
    if data:
        assert isinstance(answer, Response)
    else:
        assert isinstance(answer, SendError)
        assert answer.code == "reset"


@pytest.mark.parametrize(
    ("data", "posts"),
    [(b"", 1), (b"SSH-2.0-OpenSSH_9.6\r\n", 1), (EMPTY, 2)],
    ids=["no answer", "no HTTP", "a kept connection that ends"],
)
async def test_a_failed_post_leaves_nothing_to_garbage_collection(
    sender: Sender, data: bytes, posts: int
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(data)
        if data == EMPTY:
            await read_request(reader)

    gc.collect()
    gc.disable()
    try:
        async with RawReceiver(script) as receiver:
            for _ in range(posts):
                await sender.post(Post(receiver.url, {}, b"{}", timeout=30))
            await until(
                lambda: len(sender._connections) == len(sender._connections._idle),
                "all connections are idle",
            )
            sender._connections.close()
            await until(
                lambda: not any(isinstance(e, Connection) for e in gc.get_objects()),
                "no connection is in memory",
            )
    finally:
        gc.enable()


async def test_a_reset_on_accept_is_never_tls_on_plain_http(sender: Sender) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with RawReceiver(script) as receiver:
        for _ in range(50):
            result = await sender.post(Post(receiver.url, {}, b"{}", timeout=30))
            assert isinstance(result, SendError)
            assert result.code in ("connect", "reset")
        result = await sender.post(
            Post(receiver.url.replace("http:", "https:"), {}, b"{}", timeout=30)
        )
        assert isinstance(result, SendError)
        assert (result.code, result.reason) == ("tls", "the receiver broke off the TLS handshake")


async def test_few_tls_handshakes_with_one_receiver_are_made_at_a_time() -> None:
    may_end = asyncio.Event()
    open_now = most_open = 0

    async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most_open
        open_now += 1
        most_open = max(most_open, open_now)
        await may_end.wait()
        open_now -= 1

    number = 2 * handshake_slots.HANDSHAKES_LIMIT
    async with sending(concurrency=number + 1) as sender, RawReceiver(says_nothing) as receiver:
        url = receiver.url.replace("http:", "https:")
        posts = [
            asyncio.ensure_future(sender.post(Post(url, {}, b"{}", timeout=30)))
            for _ in range(number)
        ]
        await until(
            lambda: open_now == handshake_slots.HANDSHAKES_LIMIT,
            "as many handshakes run as may",
        )
        async with Receiver() as healthy:
            await posted(sender, healthy.url)
        may_end.set()
        answers = await asyncio.gather(*posts)
    assert [answer.code for answer in answers if isinstance(answer, SendError)] == ["tls"] * number
    assert most_open <= handshake_slots.HANDSHAKES_LIMIT


async def test_environments_take_turns_in_tls_handshakes_with_one_receiver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handshake_slots, "HANDSHAKES_LIMIT", 1)
    ended: list[str] = []

    async def breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with sending() as sender, RawReceiver(breaks_off) as receiver:
        url = receiver.url.replace("http:", "https:")

        async def post(environment: str) -> None:
            await sender.post(Post(url, {}, b"{}", timeout=30, environment_id=environment))
            ended.append(environment)

        await asyncio.gather(*map(post, ["crowd"] * 8 + ["one"]))
    assert "one" in ended[:3]


@pytest.mark.parametrize(
    "target",
    ["/h?sp=%2Ftriggers%2Fmanual%2Frun&sig=ab%2Bc%2Fd%3D", "/h?to=%40me%3A1%2C2", "/h/%27x", "/h?",
     "/a/../b/./c", "/%7e~%zz", "/", '/"<>^`{|}'],
)  # fmt: skip
async def test_the_request_target_is_as_typed(sender: Sender, target: str) -> None:
    heads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        heads.append(head)
        writer.write(EMPTY)

    async with RawReceiver(script) as receiver:
        await posted(sender, receiver.url.removesuffix("/") + target)
    assert heads[0].split(b"\r\n")[0] == f"POST {target} HTTP/1.1".encode()


async def test_each_phase_of_a_post_is_timed(sender: Sender) -> None:
    async with Receiver(otherwise=Answer(delay=0.05)) as receiver:
        first = (await posted(sender, receiver.url)).timings
        second = (await posted(sender, receiver.url)).timings
        refused = await sender.post(Post("http://127.0.0.1:1025/", {}, b"{}", timeout=30))
    assert first.lookup is not None
    assert first.connect is not None
    assert first.tls is None
    assert first.first_byte is not None
    assert first.first_byte >= 0.045
    assert second == Timings(None, None, None, second.first_byte)
    assert isinstance(refused, SendError)
    assert refused.timings.connect is None


async def test_tls_is_timed_and_its_connections_are_separate_from_plain_ones(
    trusted_authority: Authority,
) -> None:
    context = trusted_authority.server()
    seen: list[ssl.SSLObject] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("ssl_object"))
        while True:
            await read_request(reader)
            writer.write(EMPTY)

    context.set_alpn_protocols(["h2", "http/1.1"])
    async with sending() as sender, RawReceiver(script, ssl_context=context) as receiver:
        answer = await posted(sender, receiver.url)
        await posted(sender, receiver.url)
        assert answer.timings.tls is not None
        assert receiver.connections == 1
        assert seen[0].selected_alpn_protocol() == "http/1.1"
        plain = await sender.post(
            Post(receiver.url.replace("https", "http"), {}, b"{}", timeout=30)
        )
        assert isinstance(plain, SendError)
        assert plain.code in ("protocol", "reset")


async def test_tls_indicates_host_names_and_no_addresses(
    trusted_authority: Authority,
) -> None:
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    )
    context = trusted_authority.server(names=names)
    indicated: list[str | None] = []
    context.sni_callback = lambda _, name, __: indicated.append(name)
    async with sending() as sender, RawReceiver(keeps(), ssl_context=context) as receiver:
        await posted(sender, receiver.url)
        await posted(sender, receiver.url.replace("127.0.0.1", "localhost"))
    assert indicated == [None, "localhost"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_new_connection_resumes_the_last_tls_session(
    version: ssl.TLSVersion, trusted_authority: Authority
) -> None:
    context = trusted_authority.server()
    context.minimum_version = context.maximum_version = version
    taken_up: list[bool] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        taken_up.append(writer.get_extra_info("ssl_object").session_reused)
        writer.write(OK + b"Content-Length: 2\r\n\r\nok")
        await reader.read()

    async with sending() as sender, RawReceiver(script, ssl_context=context) as receiver:
        for _ in range(3):
            await posted(sender, receiver.url)
            sender._connections.take(next(iter(sender._connections._origins)), 0.0).abort()  # type: ignore[union-attr]
            await until(lambda: len(sender._connections) == 0, "no connection is open")
        context_of_ours = await sender._connections._contexts.get(None)
        ((host, (session, _)),) = context_of_ours._sessions.items()
        context_of_ours._sessions[host] = (session, 0.0)  # too old
        await posted(sender, receiver.url)
    assert taken_up == [False, True, True, False]


async def test_a_closed_sender_dials_no_more() -> None:
    async with sending() as sender, Receiver() as receiver:
        await posted(sender, receiver.url)
        await sender.close()
        result = await sender.post(Post(receiver.url, {}, b"{}", timeout=30))
        assert isinstance(result, SendError)
        assert (result.code, result.reason) == (
            "connect", "no connection: the dispatcher is stopping",
        )  # fmt: skip
