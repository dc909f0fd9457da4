"""What the HTTP client reports becomes a response or a coded error: a table, without a network.

Whatever takes time, sockets or TLS is tested against real receivers in `flow/test_send.py`.
"""

import ssl
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadHttpMessage
from aioresponses import core

from dispatcher import send
from dispatcher.egress import Blocked, Guard
from dispatcher.exchange import Exchange, Target
from dispatcher.model import ErrorCode, Response, SendError
from dispatcher.send import Sender
from tests.aioresponses_shim import aioresponses

ENDPOINT = "https://hooks.example.com/in"
KEY = ConnectionKey("hooks.example.com", 443, True, True, None, None, None)


class ByASession(Exchange):
    """An exchange that asks the session which `aioresponses` answers for: no connection is made."""

    async def post(
        self, target: Target, headers: Mapping[str, str], body: bytes, *, keeps: bool
    ) -> None:
        async with aiohttp.ClientSession() as session:
            answer = await session.post(target.url, data=body, headers=headers)
        self.status, self.headers, self.content = answer.status, answer.raw_headers, answer.content

    def end(self) -> None:
        """There is no connection to give back."""


@pytest.fixture
async def sender(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sender]:
    monkeypatch.setattr(send, "Exchange", ByASession)
    async with Sender(
        guard=Guard(), connect_timeout=5, body_limit=4, concurrency=1, user_agent="Test/1.0"
    ) as opened:
        yield opened


@pytest.mark.parametrize(
    "status", [200, 201, 202, 204, 299, 301, 304, 307, 400, 401, 404, 408, 410, 413, 422, 429]
)
@pytest.mark.parametrize("server_error", [0, 500])
async def test_every_status_is_a_response(sender: Sender, status: int, server_error: int) -> None:
    with aioresponses() as mocked:
        mocked.post(ENDPOINT, status=status + server_error, body=b"abcd")
        answer = await sender.post(ENDPOINT, {}, b"{}", timeout=1)
    assert isinstance(answer, Response)
    assert (answer.status, answer.body, answer.truncated) == (status + server_error, b"abcd", False)


async def test_headers_and_a_body_over_the_limit_are_kept_in_part(sender: Sender) -> None:
    with aioresponses() as mocked:
        mocked.post(ENDPOINT, status=503, body=b"abcde", headers={"Retry-After": "120"})
        answer = await sender.post(ENDPOINT, {}, b"{}", timeout=1)
    assert isinstance(answer, Response)
    assert (answer.body, answer.truncated) == (b"abcd", True)
    assert ("Retry-After", "120") in answer.headers


async def test_a_response_does_not_show_its_body_when_printed(sender: Sender) -> None:
    with aioresponses() as mocked:
        mocked.post(ENDPOINT, body=b"s3cr")
        answer = await sender.post(ENDPOINT, {}, b"{}", timeout=1)
    assert "s3cr" not in repr(answer)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def not_trusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (
            TimeoutError(),
            "timeout",
            "no connection within 1 s (phase=connect)",
        ),
        (
            aiohttp.ConnectionTimeoutError("Connection timeout to host"),
            "timeout",
            "no connection within 5 s (phase=connect)",
        ),
        (
            aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known")),
            "dns",
            "hooks.example.com can not be resolved: Name or service not known",
        ),
        (
            aiohttp.ClientConnectorDNSError(KEY, OSError()),
            "dns",
            "hooks.example.com can not be resolved: no answer",
        ),
        (
            aiohttp.ClientConnectorError(KEY, OSError(111, "Connect call failed ('10.0.0.1', 1)")),
            "connect",
            "no connection: Connection refused",
        ),
        (
            aiohttp.ClientConnectorError(KEY, OSError(113, "no route to 10.0.0.1")),
            "connect",
            "no connection: No route to host",
        ),
        (
            aiohttp.ClientConnectorError(KEY, OSError("Multiple exceptions: 10.0.0.1, 10.0.0.2")),
            "connect",
            "no connection: none of its addresses answers",
        ),
        (
            aiohttp.ClientConnectorError(KEY, Blocked("a private address (10.0.0.0/8)")),
            "blocked",
            "a private address (10.0.0.0/8) is not a permitted destination",
        ),
        (
            aiohttp.ClientConnectorDNSError(KEY, Blocked("a private address (10.0.0.0/8)")),
            "blocked",
            "a private address (10.0.0.0/8) is not a permitted destination",
        ),
        (
            aiohttp.ClientConnectorCertificateError(KEY, not_trusted()),
            "tls",
            "the certificate is not trusted: certificate has expired",
        ),
        (
            aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, None)),
            "tls",
            "the TLS handshake failed: no common protocol",
        ),
        (
            aiohttp.ClientConnectorError(KEY, ConnectionResetError()),
            "tls",
            "the receiver broke off the TLS handshake",
        ),
        (
            caused(aiohttp.ClientOSError(1, "alert"), ssl.SSLError(1, "alert")),
            "tls",
            "the TLS handshake failed: no common protocol",
        ),
        (
            aiohttp.ServerDisconnectedError(),
            "reset",
            "the receiver closed the connection without an answer; "
            "whether the receiver acted on the request is unknown",
        ),
        (
            aiohttp.ClientOSError(104, "Connection reset by peer"),
            "reset",
            "the connection broke before an answer; "
            "whether the receiver acted on the request is unknown",
        ),
        (
            ConnectionResetError(104, "Connection reset by peer"),
            "reset",
            "the connection broke before an answer; "
            "whether the receiver acted on the request is unknown",
        ),
        (
            BadHttpMessage("Bad\n  status \x1b line"),
            "protocol",
            "the answer is not HTTP: Bad status \\x1b line",
        ),
        (
            aiohttp.ClientPayloadError("Response payload is not completed"),
            "protocol",
            "the answer is not HTTP: Response payload is not completed",
        ),
        (
            ValueError("Newline in header: s3cret"),
            "blocked",
            "the request can not be written: its URL or a header is malformed",
        ),
        (
            aiohttp.InvalidURL(ENDPOINT, "odd"),
            "blocked",
            "the request can not be written: its URL or a header is malformed",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_every_failure_has_a_code_and_a_sentence(
    sender: Sender, error: Exception, code: ErrorCode, reason: str
) -> None:
    with aioresponses() as mocked:
        mocked.post(ENDPOINT, exception=error)
        result = await sender.post(ENDPOINT, {}, b"{}", timeout=1)
    assert isinstance(result, SendError)
    assert (result.code, result.reason) == (code, reason)


async def test_the_connect_limit_without_tls_is_a_connect_error(sender: Sender) -> None:
    url = "http://hooks.example.com/in"
    with aioresponses() as mocked:
        mocked.post(url, exception=aiohttp.ConnectionTimeoutError("Connection timeout"))
        result = await sender.post(url, {}, b"{}", timeout=1)
    assert isinstance(result, SendError)
    assert (result.code, result.reason) == ("connect", "no connection within 5 s (phase=connect)")


async def test_the_shim_is_still_needed(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """When this fails, aioresponses knows aiohttp 3.14: delete the shim and this test."""
    monkeypatch.setattr(core, "ClientResponse", aiohttp.ClientResponse)
    with aioresponses() as mocked:
        mocked.post(ENDPOINT)
        with pytest.raises(TypeError, match="stream_writer"):
            await sender.post(ENDPOINT, {}, b"{}", timeout=1)
