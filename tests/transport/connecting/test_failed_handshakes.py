"""After some failed TLS handshakes in a row, one request a second tries the receiver again."""

import asyncio
import itertools
import traceback
from time import monotonic

import pytest

from dispatcher.core.endpoint_url import parse_url
from dispatcher.core.model import Response, SendError
from dispatcher.transport.connecting import failed_handshakes
from dispatcher.transport.connecting.failed_handshakes import (
    FORGET_SECONDS,
    IN_A_ROW,
    RETRY_SECONDS,
    SPACING_SECONDS,
    FailedHandshakes,
)
from dispatcher.transport.connecting.progress import Progress
from dispatcher.transport.failures import PostError
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from dispatcher.transport.target import Origin, target_of
from tests.certificates import Authority
from tests.receivers import RawReceiver, Script, read_request
from tests.transport.senders import new_sender

REASON = "the certificate is not trusted: self-signed certificate"
REPEATED = "; this attempt made no connection, as one before it found this"
MANY = 100


def origin(number: int = 0) -> Origin:
    return Origin(True, f"host-{number}.example", 443)


def may_try(failed: FailedHandshakes, environment_id: str, at: Origin, now: float) -> bool:
    try:
        failed.admit(environment_id, at, now)
    except PostError as error:
        return (error.code, error.reason) != ("tls", REASON + REPEATED)
    return True


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first failure count."""
    monkeypatch.setattr(failed_handshakes, "IN_A_ROW", 1)


def test_only_failures_in_a_row_count() -> None:
    failed = FailedHandshakes()
    for _ in range(10):
        for _ in range(IN_A_ROW - 1):
            failed.note("a", origin(), REASON, 0.0)
        assert may_try(failed, "a", origin(), 0.0)
        failed.forget("a", origin())
    for _ in range(IN_A_ROW):
        assert may_try(failed, "a", origin(), 0.0)
        failed.note("a", origin(), REASON, 0.0)
    assert not may_try(failed, "a", origin(), 0.0)


@pytest.mark.usefixtures("at_once")
def test_one_request_tries_again_after_the_pause() -> None:
    failed = FailedHandshakes()
    assert may_try(failed, "a", origin(), 0.0)
    failed.note("a", origin(), REASON, 0.0)
    assert not may_try(failed, "a", origin(), 0.9 * RETRY_SECONDS)
    assert may_try(failed, "a", origin(1), 0.0), "another receiver"
    assert may_try(failed, "b", origin(), 0.0), "another environment"
    assert may_try(failed, "a", origin(), RETRY_SECONDS)
    assert not may_try(failed, "a", origin(), RETRY_SECONDS), "one has just been permitted"
    assert may_try(failed, "a", origin(), 2 * RETRY_SECONDS)


@pytest.mark.usefixtures("at_once")
def test_a_success_permits_requests_again() -> None:
    failed = FailedHandshakes()
    failed.forget("a", origin())
    failed.note("a", origin(), REASON, 0.0)
    failed.forget("a", origin())
    assert may_try(failed, "a", origin(), 0.0)
    assert len(failed) == 0


@pytest.mark.usefixtures("at_once")
def test_receivers_of_one_environment_share_its_handshakes() -> None:
    failed = FailedHandshakes()
    for number in range(MANY):
        failed.note("a", origin(number), REASON, 0.0)
    failed.note("b", origin(), REASON, 0.0)
    moments = [moment * SPACING_SECONDS for moment in range(1, 5 * MANY)]
    tried = [
        now for now, host in itertools.product(moments, range(MANY))
        if may_try(failed, "a", origin(host), now)
    ]  # fmt: skip
    assert len(tried) <= moments[-1] / SPACING_SECONDS + MANY
    assert len(tried) >= moments[-1] / SPACING_SECONDS / 2, "but they are tried"
    assert may_try(failed, "b", origin(), RETRY_SECONDS), "the other environment waits no longer"


def test_old_failures_are_forgotten() -> None:
    failed = FailedHandshakes()
    for number in range(MANY):
        failed.note("a", origin(number), REASON, 0.0)
    failed.note("a", origin(MANY), REASON, FORGET_SECONDS + MANY)
    assert len(failed) == 1


@pytest.mark.usefixtures("at_once")
def test_at_the_limit_the_environment_with_most_loses_its_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failed_handshakes, "FAILURES_LIMIT", 5)
    failed = FailedHandshakes()
    failed.note("b", origin(), REASON, 0.0)
    for number in range(MANY):
        failed.note("a", origin(number), REASON, 0.0)
    assert len(failed) == 5
    assert not may_try(failed, "b", origin(), 0.0)
    assert may_try(failed, "a", origin(MANY - 5), 0.0)
    assert not may_try(failed, "a", origin(MANY - 4), 0.0)


def keeps_alive() -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    return script


async def test_attempts_after_a_refused_certificate_make_no_connection(
    authority: Authority, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_handshakes, "RETRY_SECONDS", 3600.0)
    context = authority.server(self_signed=True)
    async with RawReceiver(keeps_alive(), ssl_context=context) as receiver:
        answers = [
            await sender.post(
                Post(receiver.url, {}, b"{}", timeout=30, environment_id=environment_id)
            )
            for environment_id in ("a", "a", "a", "a", "b")
        ]
        assert all(isinstance(answer, SendError) and answer.code == "tls" for answer in answers)
        *_, own, repeated, other = [a.reason for a in answers if isinstance(a, SendError)]
        assert own == other == REASON
        assert repeated == REASON + REPEATED


async def test_the_error_of_a_failed_handshake_holds_no_frame_that_holds_it(
    authority: Authority, sender: Sender
) -> None:
    context = authority.server(self_signed=True)
    async with RawReceiver(keeps_alive(), ssl_context=context) as receiver:
        target = target_of(parse_url(receiver.url))
        with pytest.raises(PostError) as refused:
            await sender._connections.connect(target, Progress(monotonic()), "a")
        error = refused.value
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        own = [frame for frame in frames if "dispatcher/transport" in frame.f_code.co_filename]
        assert own
        assert not any(error in frame.f_locals.values() for frame in own)


async def test_a_receiver_with_a_mended_certificate_is_reached_again(
    trusted_authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_handshakes, "RETRY_SECONDS", 0.0)
    context = trusted_authority.server(self_signed=True)
    async with new_sender() as sender, RawReceiver(keeps_alive(), ssl_context=context) as receiver:
        refused = await sender.post(Post(receiver.url, {}, b"{}", timeout=30))
        assert isinstance(refused, SendError)
        assert len(sender._connections._failed_handshakes) == 1
        context.load_cert_chain(trusted_authority.certificate())
        answer = await sender.post(Post(receiver.url, {}, b"{}", timeout=30))
        assert isinstance(answer, Response)
        assert len(sender._connections._failed_handshakes) == 0


async def test_a_broken_connection_is_no_failed_handshake(sender: Sender) -> None:
    async def ends(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with RawReceiver(ends) as receiver:
        url = receiver.url.replace("http:", "https:")
        for connections in (1, 2):
            answer = await sender.post(Post(url, {}, b"{}", timeout=30))
            assert isinstance(answer, SendError)
            assert (answer.code, receiver.connections) == ("tls", connections)
