"""Write the headers of a response as a short text, and read it again.

The text is a JSON array of names and values in turn. A common name is a number: its place in NAMES.
Names are a third of a response's headers, and every attempt writes them to the disk twice.
"""

from collections.abc import Sequence

import orjson

NAMES = (
    "Content-Length",
    "Content-Type",
    "Date",
    "Connection",
    "Server",
    "content-length",
    "content-type",
    "date",
    "connection",
    "server",
    "Transfer-Encoding",
    "Keep-Alive",
    "Cache-Control",
    "Vary",
    "ETag",
    "X-Powered-By",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
    "Referrer-Policy",
    "Content-Security-Policy",
    "Permissions-Policy",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Expose-Headers",
    "Set-Cookie",
    "Location",
    "Retry-After",
    "Expires",
    "Pragma",
    "Last-Modified",
    "Allow",
    "Via",
    "Age",
    "Alt-Svc",
    "Server-Timing",
    "Content-Encoding",
    "Content-Language",
    "Accept-Ranges",
    "X-Request-Id",
    "X-Request-ID",
    "X-Runtime",
    "X-Cache",
    "X-Amzn-RequestId",
    "X-Amzn-Trace-Id",
    "X-Amz-Cf-Id",
    "X-Amz-Cf-Pop",
    "CF-RAY",
    "CF-Cache-Status",
    "NEL",
    "Report-To",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "transfer-encoding",
    "keep-alive",
    "cache-control",
    "vary",
    "etag",
    "x-powered-by",
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
    "x-xss-protection",
    "referrer-policy",
    "content-security-policy",
    "permissions-policy",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "set-cookie",
    "location",
    "retry-after",
    "x-request-id",
    "x-runtime",
    "x-vercel-id",
    "x-vercel-cache",
    "fly-request-id",
    "via",
    "alt-svc",
)
"""Names of headers, as servers write them. Stored texts name a place in it: only ever append."""

_PLACES = {name: place for place, name in enumerate(NAMES)}


def write(headers: Sequence[tuple[str, str]]) -> str:
    """Return the headers as a text that `read` understands."""
    place = _PLACES.get
    return orjson.dumps(
        [part for name, value in headers for part in (place(name, name), value)]
    ).decode()


def read(text: str) -> tuple[tuple[str, str], ...]:
    """Return the headers of a text that `write` has made."""
    parts = orjson.loads(text)
    names = [NAMES[name] if isinstance(name, int) else name for name in parts[::2]]
    return tuple(zip(names, parts[1::2], strict=True))
