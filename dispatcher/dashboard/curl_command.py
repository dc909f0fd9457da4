"""Write a signed request as a command for curl. Pure."""

from shlex import quote
from typing import Final

from dispatcher.services.deliveries.signed_requests import SignedRequest

INLINE_LIMIT_BYTES: Final = 8 * 1024
"""Largest body that stands in the command. A larger one is read from a file."""
_CREDENTIALS: Final = {
    "basic": ("--user", "<user name>:<password>"),
    "oauth2": ("--header", "Authorization: Bearer <access token>"),
}


def command(request: SignedRequest, file: str) -> str:
    """Return a command for a POSIX shell that sends exactly this request.

    Each text is quoted. `file` is the name of the file with the body, for a body that cannot stand
    in the command. Credentials are placeholders in angle brackets.
    """
    # Without these options, curl would speak HTTP/2, and take [1-3] and /../ in a URL for its own.
    words = ["curl", "--include", "--http1.1", "--globoff", "--path-as-is", quote(request.url)]
    options = [("--header", _header(name, value)) for name, value in request.headers]
    if request.authentication is not None:
        options.append(_CREDENTIALS[request.authentication])
    if request.has_certificate:
        options += [("--cert", "<client certificate>.pem"), ("--key", "<key>.pem")]
    if request.has_ca:
        options.append(("--cacert", "<CA certificates>.pem"))
    lines = [" ".join(words), *(f"{name} {quote(text)}" for name, text in options)]
    if is_inline(request.body):
        lines.append(f"--data-binary {quote(request.body.decode())}")
    else:
        # For a large body, curl would ask whether it may send it, and wait. Without the file, a
        # shell refuses, where curl would send an empty body.
        lines += ["--header Expect:", f"--data-binary @- < {quote(file)}"]
    return " \\\n  ".join(lines)


def is_inline(body: bytes) -> bool:
    """Return True if the body can stand in the command.

    A terminal changes control characters that are pasted, and acts on them; invisible characters
    may hide a part of the command. Shells differ on a double backslash.
    """
    text = body.decode()
    return len(body) <= INLINE_LIMIT_BYTES and text.isprintable() and "\\\\" not in text


def _header(name: str, value: str) -> str:
    """Return a header for curl, which would leave out one with an empty value."""
    return f"{name}: {value}" if value else f"{name};"
