"""The headers Idempotency-Key and If-Match, which make a request conditional."""

import re

from aiohttp import web

from dispatcher.api.types import Detail, HttpError

_KEY = re.compile(r"[!-~]{1,255}")
_ETAG = re.compile(r'"(\d{1,18})"')


def idempotency_key(request: web.Request) -> str | None:
    """Return the Idempotency-Key, None if there is none.

    Raise an HttpError (400) if it is not 1 to 255 visible ASCII characters.
    """
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        detail = Detail("must be 1 to 255 visible ASCII characters", header="Idempotency-Key")
        raise HttpError(400, "bad_header", "The Idempotency-Key cannot be used", detail)
    return key


def revision(request: web.Request) -> int | None:
    """Return the revision in If-Match. Return None if it is absent or `*`.

    Raise an HttpError (412) if it is not an ETag that this API issues.
    """
    tag = request.headers.get("If-Match")
    if tag is None or tag.strip() == "*":
        return None
    match = _ETAG.fullmatch(tag.strip())
    if match is None:
        raise HttpError(
            412,
            "changed_meanwhile",
            "If-Match names no revision of this resource",
            Detail(
                "is not an ETag of this API: send the one that the resource was read with",
                header="If-Match",
            ),
        )
    return int(match[1])
