"""What may be asked of webhooks."""

import json
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field, StringConstraints

from dispatcher.config import fields
from dispatcher.core import event_patterns, signing
from dispatcher.schema_validation.validate import DEEPEST, depth
from dispatcher.services.inputs.base import (
    Description,
    Form,
    Limit,
    Name,
)

HEADERS_MOST = 20
HEADERS_BYTES = 4096
METADATA_BYTES = 16_384
EVENTS_MOST = 200


def _url(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


def _header_name(name: str) -> str:
    if fields.is_reserved_header(name):
        raise ValueError(f"{name} is not yours to set")
    return name


def _few_headers(headers: dict[str, Any]) -> dict[str, Any]:
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("names one header twice")
    if sum(len(name) + len(value or "") for name, value in headers.items()) > HEADERS_BYTES:
        raise ValueError(f"must be at most {HEADERS_BYTES} bytes in all")
    return headers


def _small(metadata: dict[str, Any]) -> dict[str, Any]:
    # First of all: what writes JSON recurses, and ends with an error of its own.
    if depth(metadata) > DEEPEST:
        raise ValueError(f"must be at most {DEEPEST} levels deep")
    try:
        json.dumps(metadata, allow_nan=False)  # orjson would make null of what is not finite
        size = len(orjson.dumps(metadata))
    except (TypeError, ValueError):
        raise ValueError("must be JSON, with numbers of 64 bits") from None
    if size > METADATA_BYTES:
        raise ValueError(f"must be at most {METADATA_BYTES} bytes")
    return metadata


def _distinct(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2048),
    AfterValidator(_url),
    Field(
        examples=["https://example.com/webhooks"],
        json_schema_extra={"format": "uri", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://"},
    ),
]
Pattern = Annotated[
    str,
    StringConstraints(min_length=1, max_length=event_patterns.LONGEST),
    AfterValidator(event_patterns.parse_pattern),
    Field(json_schema_extra={"pattern": r"^(\*|[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*(\.\*)?)$"}),
]
Events = Annotated[
    list[Pattern],
    Field(min_length=1, max_length=EVENTS_MOST, examples=[["user.*", "role.created"]]),
    AfterValidator(_distinct),
]
HeaderName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"),
    AfterValidator(_header_name),
]
HeaderValue = Annotated[
    str, StringConstraints(pattern=r"^[!-~]([ \t!-~]*[!-~])?$", max_length=4096)
]
Headers = Annotated[
    dict[HeaderName, HeaderValue], Field(max_length=HEADERS_MOST), AfterValidator(_few_headers)
]
HeaderChanges = Annotated[
    dict[HeaderName, HeaderValue | None],
    Field(max_length=HEADERS_MOST),
    AfterValidator(_few_headers),
]
Metadata = Annotated[dict[str, Any], AfterValidator(_small)]
Scheme = Literal["body-hex", "standard", "timestamped-hex", "stripe"]
Schemes = Annotated[list[Scheme], Field(min_length=1, max_length=4), AfterValidator(_distinct)]
PerSecond = Annotated[int, Field(ge=1, le=10_000)]
InFlight = Annotated[int, Field(ge=1, le=10_000)]
Timeout = Annotated[float, Field(ge=0.1, le=30)]
Secret = Annotated[
    str,
    StringConstraints(min_length=32, max_length=94),
    AfterValidator(signing.validate_secret),
    Field(json_schema_extra={"format": "password", "pattern": r"^(whsec_)?[A-Za-z0-9+/]+={0,2}$"}),
]
Seconds = Annotated[float, Field(ge=0.001, le=30 * 86_400)]


class Schedule(Form):
    """When to try again; what is not given is as configured."""

    retries: Annotated[int, Field(ge=0, le=50)] | None = None
    """Attempts after the first."""
    base: Seconds | None = None
    """Seconds before the second attempt."""
    factor: Annotated[float, Field(ge=1, le=100)] | None = None
    """By how much each delay is longer than the one before."""
    jitter: Annotated[float, Field(ge=0, le=1)] | None = None
    """A fraction by which delays are made shorter or longer by chance."""
    cap: Seconds | None = None
    """Seconds that no delay exceeds."""


class NewWebhook(Form):
    """Only `url` and `events` are needed."""

    url: Url
    """Where to POST: http or https, a public host."""
    events: Events
    """Event types: exact ones, `user.*` for all below, `*` for all."""
    name: Name | None = None
    """What people call it; the URL's host by default."""
    description: Description = ""
    active: bool = True
    headers: Headers = Field(default_factory=dict)
    """Sent with every request. Values are kept encrypted and never shown again."""
    rate_limit: PerSecond | None = None
    """Requests a second."""
    max_in_flight: InFlight | None = None
    """Requests at one time."""
    timeout: Timeout | None = None
    """Seconds from the lookup of the name to the last byte of the answer."""
    retry: Schedule | None = None
    ordered: bool = False
    """One at a time, in order; a failing delivery blocks those behind it. Not changed later."""
    signature_schemes: Schemes | None = None
    """Of those that are configured."""
    metadata: Metadata = Field(default_factory=dict)
    """Anything of your own."""
    signing_secret: Annotated[Secret | None, Field(alias="secret")] = None
    """Your own: the base64 of 24 to 64 bytes. One is made if you give none."""


class WebhookChanges(Form):
    """What is not given stays as it is; null is the configured default again, where there is one."""

    url: Url | None = None
    events: Events | None = None
    name: Name | None = None
    description: Description | None = None
    active: bool | None = None
    headers: HeaderChanges | None = None
    """Names given are set, or removed with null; the others stay. null alone removes all."""
    rate_limit: PerSecond | None = None
    max_in_flight: InFlight | None = None
    timeout: Timeout | None = None
    retry: Schedule | None = None
    signature_schemes: Schemes | None = None
    metadata: Metadata | None = None


class Rotation(Form):
    """All of it may be left out."""

    overlap_seconds: Annotated[int, Field(ge=0, le=604_800)] = 0
    """For so long the old secret signs beside the new one, in headers that hold a list."""


class Empty(Form):
    """Nothing needs to be said."""


class WebhookQuery(Form):
    """Without any of these, all are listed, or as many as one answer holds."""

    cursor: str | None = None
    limit: Limit | None = None
