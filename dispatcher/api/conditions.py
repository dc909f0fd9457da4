"""The headers by which a request is done once, or only if nothing has changed."""

import re

from aiohttp import web

from dispatcher.api.types import Detail, Failure

_KEY = re.compile(r"[!-~]{1,255}")
_ETAG = re.compile(r'"(\d{1,18})"')


def idempotency_key(request: web.Request) -> str | None:
    """Return the Idempotency-Key. Raises a Failure (400) for one that cannot be used."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        detail = Detail("must be 1 to 255 visible ASCII characters", header="Idempotency-Key")
        raise Failure(400, "bad_header", "The Idempotency-Key can not be used", detail)
    return key


def revision(request: web.Request) -> int | None:
    """Return the revision that If-Match names; None for any. Raises a Failure (412) for none of ours."""
    tag = request.headers.get("If-Match")
    if tag is None or tag.strip() == "*":
        return None
    found = _ETAG.fullmatch(tag.strip())
    if found is None:
        raise Failure(
            412,
            "changed_meanwhile",
            "If-Match names no revision of this",
            Detail("is not an ETag of ours", header="If-Match"),
        )
    return int(found[1])
