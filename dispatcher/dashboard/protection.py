"""What keeps other sites out of pages and forms: headers, origins, masked tokens, compression."""

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
    # Not no-referrer: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}
COMPRESSED_BYTES: Final = 1024
"""Shorter texts are sent as they are: the head of the answer is as long."""
EXECUTOR_BYTES: Final = 128 * 1024
"""Longer texts are compressed in a thread: the event loop has heartbeats to send."""

_OWN_SITES: Final = ("same-origin", "none")


def only_reads(request: web.Request) -> bool:
    """Return True if the request asks for a page; all others are forms, and need their token."""
    return request.method in ("GET", "HEAD")


def is_of_other_site(request: web.Request) -> bool:
    """Return True if a browser says that another site sent this.

    `Sec-Fetch-Site` says it where browsers send it; they leave it out on plain HTTP, and always
    send `Origin` with a form. Programs send neither.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in _OWN_SITES
    origin = request.headers.get("Origin")
    return origin is not None and not _is_ours(request, origin)


def is_surely_ours(request: web.Request) -> bool:
    """Return True if a browser says that a page of this site sent this."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return _is_ours(request, request.headers.get("Origin", ""))


def _is_ours(request: web.Request, origin: str) -> bool:
    """A proxy may change Host and then tells the first one; no other site can set either."""
    hosts = [request.headers.get("Host", "")]
    hosts += [h.strip() for h in request.headers.get("X-Forwarded-Host", "").split(",")]
    try:
        place = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(place) and place.lower() in {host.lower() for host in hosts}


def masked(token: str) -> str:
    """Return a hexadecimal token as one that differs each time: pages are compressed, and a text
    that is the same in all of them could be guessed by their lengths."""
    secret = bytes.fromhex(token)
    pad = token_bytes(len(secret))
    return (pad + _xor(pad, secret)).hex()


def is_masked(sent: str, token: str) -> bool:
    """Return True if `sent` is the token as `masked` made it."""
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
    """Return True if the browser takes an answer that is compressed with gzip."""
    for part in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def is_secure(request: web.Request) -> bool:
    """Return True if the browser speaks TLS, to us or to a proxy that says so: a browser that lies
    about it only keeps its own cookie off plain connections."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def is_within(path: str) -> bool:
    """Return True if a path stays on this site: browsers drop tabs and line ends, and read \\ as /."""
    return path.startswith("/") and path.isprintable() and path[1:2] not in ("/", "\\")
