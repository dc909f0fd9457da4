"""Describe why a POST had no answer: a stable code, and a sentence for the endpoint's owner."""

import os
import ssl

from dispatcher.core.model import ErrorCode

UNKNOWN = "; whether the receiver acted on the request is unknown"


class PostError(Exception):
    """The POST had no answer; the text is the sentence, without addresses and header values."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def no_address(host: str, error: OSError) -> PostError:
    return PostError("dns", f"{host} cannot be resolved: {one_line(error.strerror or 'no answer')}")


def no_connection(error: Exception) -> PostError:
    # The system's own text has the IP address, which an endpoint's owner must not learn.
    number = getattr(error, "errno", None)
    reason = os.strerror(number) if number else "none of its addresses answers"
    return PostError("connect", f"no connection: {reason}")


def no_handshake(error: Exception) -> PostError:
    if isinstance(error, ssl.SSLError):
        return PostError("tls", tls_reason(error))
    return PostError("tls", "the receiver broke off the TLS handshake")


def no_certificates(error: Exception) -> PostError:
    # The text of another error may repeat a part of a private key.
    reason = tls_reason(error) if isinstance(error, ssl.SSLError) else "they cannot be read"
    return PostError("tls", f"the webhook's own certificates cannot be used: {reason}")


def no_answer(cause: Exception | None) -> PostError:
    if isinstance(cause, ssl.SSLError):
        return PostError("tls", tls_reason(cause))
    if cause is None:
        return PostError("reset", f"the receiver closed the connection without an answer{UNKNOWN}")
    return PostError("reset", f"the connection broke before an answer{UNKNOWN}")


def tls_reason(error: ssl.SSLError) -> str:
    # Only errors that OpenSSL reports have these attributes.
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {getattr(error, 'verify_message', 'no reason')}"
    reason = getattr(error, "reason", None) or "no common protocol"
    return f"the TLS handshake failed: {reason.lower().replace('_', ' ')}"


def one_line(text: str) -> str:
    line = " ".join(text.split())[:200]
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)
