"""The choice of a dialect: by Accept, else by Content-Type, else the envelope."""

import re
from collections.abc import Mapping

from dispatcher.api.representations import Dialect, envelope, jsonapi
from dispatcher.api.types import HttpError

DIALECTS: Mapping[str, Dialect] = {
    envelope.media_type: envelope,
    jsonapi.media_type: jsonapi,
}
WILDCARDS = ("*/*", "application/*")

_RANGES = re.compile(r'(?:[^,"]|"[^"]*")+')
_PARTS = re.compile(r'(?:[^;"]|"[^"]*")+')
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def of_body(content_type: str | None) -> Dialect | None:
    """Return the dialect of a request body. Return None if the header is absent or names neither.

    JSON:API allows only the parameters `ext`, which is not supported here, and `profile`, which a
    server ignores if it does not know it.
    """
    if content_type is None:
        return None
    essence, parameters = _parsed(content_type)
    dialect = DIALECTS.get(essence)
    return None if dialect is jsonapi and parameters.keys() - {"profile"} else dialect


def of_answer(accept: str | None, body: Dialect | None) -> Dialect:
    """Return the dialect of a response. Raise an HttpError (406) if Accept allows neither.

    A media type that Accept names wins over a wildcard, even with a lower quality value.
    """
    ranges = [
        _parsed(media_range) for media_range in _RANGES.findall(accept or "") if media_range.strip()
    ]
    if not ranges:
        return body or envelope
    named: dict[str, float] = {}
    anything = False
    for essence, parameters in ranges:
        quality = _quality(parameters.pop("q", "1"))
        anything = anything or (essence in WILDCARDS and quality > 0)
        if essence in DIALECTS and not (
            essence == jsonapi.media_type and parameters.keys() - {"profile"}
        ):
            named[essence] = max(quality, named.get(essence, 0))
    best = max(named, key=lambda essence: named[essence], default=None)
    if best is not None and named[best] > 0:
        return DIALECTS[best]
    for dialect in (body or envelope, *DIALECTS.values()):
        if anything and dialect.media_type not in named:
            return dialect
    raise HttpError(
        406,
        "not_acceptable",
        f"The media type in Accept must be {envelope.media_type} or {jsonapi.media_type}",
    )


def _parsed(text: str) -> tuple[str, dict[str, str]]:
    """Return a media type in lower case, and its parameters."""
    essence, *parameters = [part.strip() for part in _PARTS.findall(text)] or [""]
    pairs = (parameter.partition("=") for parameter in parameters if parameter)
    return essence.lower(), {name.strip().lower(): value.strip(' "') for name, _, value in pairs}


def _quality(text: str) -> float:
    """Return a quality value, 0.0 if it is malformed."""
    return float(text) if _QUALITY.fullmatch(text) else 0.0


__all__ = ["DIALECTS", "envelope", "jsonapi", "of_answer", "of_body"]
