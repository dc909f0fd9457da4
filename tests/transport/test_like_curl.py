"""Where curl takes an answer for a 2xx, so do we, and the reverse: the same answers to both.

Each difference has its reason here.
"""

import asyncio
import itertools
import random
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from dispatcher.core.model import Response, SendError
from dispatcher.transport.addresses.egress import Guard, parse_allow
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from tests.receivers import read_request

CURL = shutil.which("curl")
pytestmark = pytest.mark.skipif(CURL is None, reason="curl is not installed")

AT_A_TIME = 4
OF_ONE_CURL = 20
ANSWERS_AT_LEAST = 500

STATUS_LINES = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 \r\n", b"HTTP/1.1 200 OK\n",
    b"HTTP/1.1  200 OK\r\n", b"HTTP/1.1 200OK\r\n", b"HTTP/1.1 200\tOK\r\n", b"HTTP/1.1 \t200 OK\r\n",
    b"HTTP/1.1\t200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.2 200 OK\r\n", b"HTTP/2 200\r\n",
    b"HTTP/2.0 200 OK\r\n", b"HTTP/3 200\r\n", b"http/1.1 200 OK\r\n", b"HTTP/1.1 0200 OK\r\n",
    b"HTTP/1.1 2000 OK\r\n", b"HTTP/1.1 2001 OK\r\n", b"HTTP/1.1 +20 OK\r\n", b"HTTP/1.1 20 OK\r\n",
    b"HTTP 200 OK\r\n", b"ICY 200 OK\r\n", b"\r\nHTTP/1.1 200 OK\r\n", b" HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 201 Created\r\n", b"HTTP/1.1 202 \xff\xfe\r\n", b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 205 Reset\r\n", b"HTTP/1.1 206 Part\r\n", b"HTTP/1.1 226 IM\r\n", b"HTTP/1.1 299 X\r\n",
    b"HTTP/1.1 200 a\x00b\r\n", b"HTTP/1.1 200 OK\r\r\n", b"HTTP/1.1 304 Not\r\n", b"HTTP/1.1 410 Gone\r\n",
    b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: upgrade\r\n", b"HTTP/1.1 100 Continue\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 H\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 16 + b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 40 + b"HTTP/1.1 200 OK\r\n",
]  # fmt: skip
HEADERS = [
    b"", b"Content-Type: text/plain\r\n", b"X Note: a\r\n", b"X-Note : a\r\n", b": a\r\n", b"nonsense\r\n",
    b"X: a\r\n b\r\n", b"X: caf\xe9\r\n", b"X: a\x00b\r\n", b"Connection: close\r\n", b"Keep-Alive: timeout=1\r\n",
    b"X: " + b"a" * 9000 + b"\r\n", b"X: y\r\n" * 300, b"Content-Encoding: gzip\r\n", b"Set-Cookie: a=b\r\n",
    b"X: a\rb\r\n", b"X: a\n",
]  # fmt: skip
FRAMINGS = [
    b"Content-Length: 2\r\n\r\nok", b"Content-Length: 2\r\n\r\nokay", b"Content-Length: 0\r\n\r\n",
    b"\r\nok", b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\njunk",
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
    b"Content-Length: -1\r\n\r\n", b"Content-Length: 99999999999999999999\r\n\r\n", b"Content-Length: x\r\n\r\nok",
    b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", b"\n", b"\nok", b"Content-Length: 2\r\n\nok",
]  # fmt: skip

STRICTER = {
    b"HTTP/1.1 100 Continue\r\n\r\n" * 40 + b"HTTP/1.1 200 OK\r\n": "16 interim answers are enough",
}
"""Status lines that curl takes for a 2xx and we do not, and why."""

SAID = "the status line has said what the receiver did, and this comes after it"
LENIENT = {
    b"HTTP/1.2 ": "a later version 1.x has the same form (RFC 9110, 2.5)",
    b"HTTP/3 ": "curl knows that HTTP/3 has no status lines; the status is plain all the same",
    b"\x00": SAID,
    b"zz\r\n": SAID,
    b"Content-Length: -1": SAID,
    b"Content-Length: 99999999999999999999": SAID,
    b"Content-Length: x": SAID,
    b"Content-Length: 2\r\nContent-Length: 3": SAID,
    b"nonsense\r\n": SAID,
}
"""Parts of answers that we take for a 2xx and curl does not, and why."""


def answers() -> list[bytes]:
    """Every status line with every framing, and every header with some of both."""
    made = [a + b for a, b in itertools.product(STATUS_LINES, FRAMINGS)]
    sample = random.Random(1).sample(list(itertools.product(STATUS_LINES, HEADERS, FRAMINGS)), 200)
    return made + [b"".join(parts) for parts in sample]


@pytest.fixture(scope="module")
async def receiver() -> AsyncIterator[tuple[list[int], list[bytes]]]:
    """Answers `POST /N` with the Nth of the answers, then closes; on several ports."""
    table = answers()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head, _ = await read_request(reader)
            writer.write(table[int(head.split()[1][1:])])
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    servers = [await asyncio.start_server(answer, "127.0.0.1", 0) for _ in range(OF_ONE_CURL)]
    yield [server.sockets[0].getsockname()[1] for server in servers], table
    for server in servers:
        server.close()


async def curled(urls: Sequence[str]) -> list[int]:
    """The status curl ends with for each, 0 if it does not take the answer.

    Starting curl takes most of the time, so one asks for several. Each is on a port of its own:
    curl would use a connection again for the next of a port.
    """
    asked = itertools.chain.from_iterable(("-o", "/dev/null", url) for url in urls)
    process = await asyncio.create_subprocess_exec(
        CURL or "", "-q", "-s", "-S", "-m", "5", "--http1.1", "-w", "%{http_code} %{exitcode}\\n",
        "--noproxy", "*", "-H", "Expect:", "-d", "{}", *asked,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    printed, _ = await process.communicate()
    ends = [line.split() for line in printed.splitlines()]
    assert len(ends) == len(urls)
    return [0 if int(code) else int(status) for status, code in ends]


@dataclass(frozen=True, slots=True)
class Difference:
    """An answer, and what each of the two takes it for; `theirs` is 0 if curl does not take it."""

    answer: bytes
    theirs: int
    ours: Response | SendError

    @property
    def is_one(self) -> bool:
        """Return True if only one of the two takes it for a 2xx, or both with another status."""
        ours = self.ours.status if isinstance(self.ours, Response) else 0
        return self.theirs != ours and (self.is_stricter or 200 <= ours <= 299)

    @property
    def is_stricter(self) -> bool:
        return 200 <= self.theirs <= 299


@pytest.fixture(scope="module")
async def differences(receiver: tuple[list[int], list[bytes]]) -> list[Difference]:
    ports, table = receiver
    slots = asyncio.Semaphore(AT_A_TIME)
    sender = Sender(
        guard=Guard(parse_allow(["127.0.0.0/8"])),
        connect_timeout=30,
        body_limit=16384,
        concurrency=AT_A_TIME,
        user_agent="Test/1.0",
    )

    async def compare(first: int) -> list[Difference]:
        numbers = range(first, min(first + len(ports), len(table)))
        urls = [f"http://127.0.0.1:{port}/{n}" for port, n in zip(ports, numbers, strict=False)]
        async with slots:
            statuses = await curled(urls)
            results = [await sender.post(Post(url, {}, b"{}", timeout=30)) for url in urls]
        compared = zip(numbers, statuses, results, strict=True)
        return [Difference(table[number], theirs, ours) for number, theirs, ours in compared]

    assert len(table) >= ANSWERS_AT_LEAST
    async with sender:
        compared = await asyncio.gather(*map(compare, range(0, len(table), len(ports))))
    return [
        difference for difference in itertools.chain.from_iterable(compared) if difference.is_one
    ]


@pytest.mark.long
async def test_a_2xx_that_curl_accepts_is_accepted(differences: list[Difference]) -> None:
    stricter = [difference for difference in differences if difference.is_stricter]
    unexplained = [
        difference
        for difference in stricter
        if not any(difference.answer.startswith(line) for line in STRICTER)
    ]
    assert unexplained == []
    for line in STRICTER:
        assert any(difference.answer.startswith(line) for difference in stricter), line[:40]


async def test_a_2xx_that_only_we_accept_has_its_reason(
    differences: list[Difference],
) -> None:
    lenient = [difference for difference in differences if not difference.is_stricter]
    unexplained = {
        difference.answer
        for difference in lenient
        if not any(part in difference.answer for part in LENIENT)
    }
    assert unexplained == set()
    for part in LENIENT:
        assert any(part in difference.answer for difference in lenient), part
