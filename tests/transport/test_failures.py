"""Why there was no answer becomes a code and a sentence: a table, without a network."""

import socket
import ssl

import pytest

from dispatcher.core.model import ErrorCode, Response
from dispatcher.transport.failures import (
    PostError,
    no_address,
    no_answer,
    no_connection,
    no_handshake,
    one_line,
)


def not_trusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (
            no_address("a.example", socket.gaierror(-2, "Name or service not known")),
            "dns",
            "a.example cannot be resolved: Name or service not known",
        ),
        (no_address("a.example", OSError()), "dns", "a.example cannot be resolved: no answer"),
        (
            no_connection(OSError(111, "Connect call failed ('10.0.0.1', 1)")),
            "connect",
            "no connection: Connection refused",
        ),
        (
            no_connection(OSError(113, "no route to 10.0.0.1")),
            "connect",
            "no connection: No route to host",
        ),
        (
            no_connection(ConnectionResetError(104, "reset by 10.0.0.1")),
            "connect",
            "no connection: Connection reset by peer",
        ),
        (
            no_connection(OSError("Multiple exceptions: 10.0.0.1, 10.0.0.2")),
            "connect",
            "no connection: none of its addresses answers",
        ),
        (
            no_connection(RuntimeError("10.0.0.1")),
            "connect",
            "no connection: none of its addresses answers",
        ),
        (
            no_handshake(not_trusted()),
            "tls",
            "the certificate is not trusted: certificate has expired",
        ),
        (
            no_handshake(ssl.SSLError(1, None)),
            "tls",
            "the TLS handshake failed: no common protocol",
        ),
        (
            no_handshake(ConnectionResetError()),
            "tls",
            "the receiver broke off the TLS handshake",
        ),
        (
            no_answer(ssl.SSLError(1, "alert")),
            "tls",
            "the TLS handshake failed: no common protocol",
        ),
        (
            no_answer(None),
            "reset",
            "the receiver closed the connection without an answer; "
            "whether the receiver acted on the request is unknown",
        ),
        (
            no_answer(ConnectionResetError(104, "Connection reset by peer")),
            "reset",
            "the connection broke before an answer; "
            "whether the receiver acted on the request is unknown",
        ),
    ],
)
def test_every_failure_has_a_code_and_a_sentence(
    failure: PostError, code: ErrorCode, reason: str
) -> None:
    assert (failure.code, failure.reason) == (code, reason)


def test_an_error_from_a_receiver_is_one_printable_line() -> None:
    assert one_line("Bad\n  status \x1b line") == "Bad status \\x1b line"
    assert len(one_line("a" * 1000)) == 200


def test_a_response_does_not_show_its_body_when_printed() -> None:
    assert "s3cr" not in repr(Response(200, (), b"s3cr", False, 0.1))
