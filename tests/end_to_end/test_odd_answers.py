"""Answers that are odd behind their status line end a delivery all the same, at the first attempt."""

import asyncio

import pytest

from dispatcher.daemon.daemon import Daemon
from tests.end_to_end.stories import SharedStory
from tests.receivers import RawReceiver, Script, read_request
from tests.waiting import until

OK = b"HTTP/1.1 200 OK\r\n"

DELIVERED = {
    "long-header": OK
    + b"Content-Security-Policy: "
    + b"a" * 9000
    + b"\r\nContent-Length: 2\r\n\r\nok",
    "many-headers": OK + b"X-A: b\r\n" * 5000 + b"Content-Length: 2\r\n\r\nok",
    "te-and-cl": OK
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked-204": b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space-in-name": OK + b"X Note: a\r\nContent-Length: 2\r\n\r\nok",
    "space-before-colon": OK + b"X-Note : a\r\nContent-Length: 2\r\n\r\nok",
    "nul-in-header": OK + b"X-Note: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "junk-behind": OK + b"Content-Length: 2\r\n\r\nok junk",
    "body-in-204": b"HTTP/1.1 204 No\r\n\r\nbody",
    "bad-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "status-line-only": OK,
}


def answers(answer: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)

    return script


@pytest.mark.parametrize("answer", DELIVERED.values(), ids=DELIVERED.keys())
async def test_a_2xx_is_delivered_at_the_first_attempt(
    shared_story: SharedStory, answer: bytes
) -> None:
    async with RawReceiver(answers(answer)) as receiver:
        await shared_story.subscribe(receiver.url)
        await shared_story.insert()
        await shared_story.ended(DELIVERED=1)
        (attempt,) = await shared_story.attempts()
        assert (attempt["status"], attempt["outcome"]) == (int(answer[9:12]), "ok")
        assert receiver.connections == 1


@pytest.mark.parametrize(
    "junk", [b"\r\nbody", b"Content-Length: 2\r\n\r\nabcdef", b"\x00\x00", b"X: " + b"a" * 100_000]
)
async def test_a_410_disables_the_endpoint_whatever_bytes_follow(
    shared_story: SharedStory, junk: bytes
) -> None:
    async with RawReceiver(answers(b"HTTP/1.1 410 Gone\r\n" + junk)) as receiver:
        webhook = await shared_story.subscribe(receiver.url)
        await shared_story.insert()

        async def disabled() -> bool:
            reason = await shared_story.connection.fetchval(
                "SELECT disabled_reason FROM dispatcher.endpoints WHERE id = $1", webhook.id
            )
            return bool(reason == "gone")

        await until(disabled, "the endpoint is disabled")


async def test_a_receiver_that_ends_idle_connections_costs_no_attempt(
    shared_story: SharedStory,
) -> None:
    requests = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        writer.write(OK + b"Content-Length: 0\r\n\r\n")
        await read_request(reader)  # the connection ends just as the next request is on its way
        requests += 1

    async with RawReceiver(script) as receiver:
        await shared_story.subscribe(receiver.url)
        for n in range(1, 7):
            await shared_story.insert(first=n)
            await shared_story.ended(DELIVERED=n)
        assert requests > 0
        assert [attempt["attempt"] for attempt in await shared_story.attempts()] == [1] * 6


async def test_a_url_is_stored_and_used_as_typed(shared_story: SharedStory) -> None:
    lines: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        lines.append(head.split(b"\r\n")[0])
        writer.write(OK + b"Content-Length: 0\r\n\r\n")

    target = "/h/%27x?sp=%2Ftriggers%2Frun&to=%40me%3A1&sig=ab%2Bc%3D"
    async with RawReceiver(script) as receiver:
        url = f"HTTP://127.0.0.1:{receiver.port}{target}"
        webhook = await shared_story.subscribe(url)
        assert webhook.url == url
        await shared_story.insert()
        await shared_story.ended(DELIVERED=1)
    assert lines == [f"POST {target} HTTP/1.1".encode()]


async def test_an_allow_list_entry_for_loopback_does_not_open_the_admin_port(
    shared_story: SharedStory, standing: Daemon
) -> None:
    await shared_story.subscribe(standing.admin_address)
    await shared_story.insert()

    async def blocked() -> bool:
        return any(attempt["outcome"] == "blocked" for attempt in await shared_story.attempts())

    await until(blocked, "the attempt is blocked")
    assert "own admin port" in (await shared_story.attempts())[0]["error"]
