"""The defenses against other sites: headers, origin checks, masked tokens, compression rules."""

from hmac import compare_digest
from secrets import token_bytes
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self' data:; font-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    # With no-referrer, browsers would send `Origin: null` with the dashboard's own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}
COMPRESSED_BYTES: Final = 1024
"""Shorter responses are sent uncompressed: their headers are about as long as the text."""
EXECUTOR_BYTES: Final = 128 * 1024
"""Longer responses are compressed in a thread. Otherwise they would block the event loop, which
must send heartbeats."""

_OWN_SITES: Final = ("same-origin", "none")


def only_reads(request: web.Request) -> bool:
    """Return True if the request only reads. Any other request is a form and needs a CSRF token."""
    return request.method in ("GET", "HEAD")


def is_of_other_site(request: web.Request) -> bool:
    """Return True if the browser reports that another site sent the request.

    Browsers report it in `Sec-Fetch-Site`. They omit that header on plain HTTP, but always send
    `Origin` with a form. Other programs send neither.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in _OWN_SITES
    origin = request.headers.get("Origin")
    return origin is not None and not _is_ours(request, origin)


def is_surely_ours(request: web.Request) -> bool:
    """Return True if the browser reports that a page of this site sent the request."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return _is_ours(request, request.headers.get("Origin", ""))


def _is_ours(request: web.Request, origin: str) -> bool:
    """Return True if an origin names this host.

    X-Forwarded-Host counts as well, because a proxy may replace Host. A page of another site can
    set neither of them.
    """
    hosts = [request.headers.get("Host", "")]
    hosts += [h.strip() for h in request.headers.get("X-Forwarded-Host", "").split(",")]
    try:
        place = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(place) and place.lower() in {host.lower() for host in hosts}


def masked(token: str) -> str:
    """Return a hexadecimal token in a form that differs each time.

    Pages are compressed. A constant secret in them could be guessed from their lengths.
    """
    secret = bytes.fromhex(token)
    pad = token_bytes(len(secret))
    return (pad + _xor(pad, secret)).hex()


def is_masked(sent: str, token: str) -> bool:
    """Return True if `sent` is `token` in a form that `masked` made."""
    secret = bytes.fromhex(token)
    try:
        both = bytes.fromhex(sent)
    except ValueError:
        return False
    if len(both) != 2 * len(secret):
        return False
    return compare_digest(_xor(both[: len(secret)], both[len(secret) :]), secret)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def takes_gzip(request: web.Request) -> bool:
    """Return True if the browser accepts a response that is compressed with gzip."""
    for part in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def is_secure(request: web.Request) -> bool:
    """Return True if the browser uses TLS, to this port or to a proxy that reports it.

    A client that reports it falsely harms only itself: its cookie is not sent over plain HTTP.
    """
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def is_within(path: str) -> bool:
    """Return True if a path stays on this site.

    A browser drops tabs and line ends in an address, and reads \\ as /.
    """
    return path.startswith("/") and path.isprintable() and path[1:2] not in ("/", "\\")
