"""Define the inputs for webhooks."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field, StringConstraints

from dispatcher.core import event_patterns, signing
from dispatcher.core.request_headers import is_reserved_header
from dispatcher.schema_validation.validate import NESTING_LIMIT, depth
from dispatcher.services.inputs.base import Description, Form, Limit, Name
from dispatcher.services.inputs.credential_inputs import (
    Authentication,
    TlsSettings,
    WithCredentials,
)
from dispatcher.services.inputs.text_patterns import HEADER_NAME, HEADER_VALUE, NO_NUL

HEADERS_LIMIT = 20
HEADERS_LIMIT_BYTES = 4096
"""Bytes of the names and values of a webhook's headers, which go with each attempt."""
TOO_LARGE_HEADERS = f"must be at most {HEADERS_LIMIT_BYTES} bytes in all"
METADATA_LIMIT_BYTES = 16_384
EVENTS_LIMIT = 200


def _url(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


def _header_name(name: str) -> str:
    if is_reserved_header(name):
        raise ValueError(f"{name} is a reserved header")
    return name


def headers_size(headers: Mapping[str, str | None]) -> int:
    """Return the bytes of all names and values, which HEADERS_LIMIT_BYTES limits."""
    return sum(len(name) + len(value or "") for name, value in headers.items())


def _few_headers(headers: dict[str, Any]) -> dict[str, Any]:
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("names one header twice")
    if headers_size(headers) > HEADERS_LIMIT_BYTES:
        raise ValueError(TOO_LARGE_HEADERS)
    return headers


def _small(metadata: dict[str, Any]) -> dict[str, Any]:
    # Check the depth first. Otherwise the JSON writer would recurse and raise its own error.
    if depth(metadata) > NESTING_LIMIT:
        raise ValueError(f"must be at most {NESTING_LIMIT} levels deep")
    try:
        # orjson would write null for a number that is not finite
        json.dumps(metadata, allow_nan=False)
        size = len(orjson.dumps(metadata))
    except (TypeError, ValueError):
        raise ValueError("must be JSON, with numbers of 64 bits") from None
    if size > METADATA_LIMIT_BYTES:
        raise ValueError(f"must be at most {METADATA_LIMIT_BYTES} bytes")
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
    StringConstraints(min_length=1, max_length=event_patterns.LIMIT_CHARACTERS),
    AfterValidator(event_patterns.parse_pattern),
    Field(json_schema_extra={"pattern": rf"^(\*|{event_patterns.TYPE_PATTERN}(\.\*)?)$"}),
]
Events = Annotated[
    list[Pattern],
    Field(min_length=1, max_length=EVENTS_LIMIT, examples=[["user.*", "role.created"]]),
    AfterValidator(_distinct),
]
HeaderName = Annotated[
    str,
    StringConstraints(pattern=HEADER_NAME),
    AfterValidator(_header_name),
]
HeaderValue = Annotated[str, StringConstraints(pattern=HEADER_VALUE, max_length=4096)]
Headers = Annotated[
    dict[HeaderName, HeaderValue], Field(max_length=HEADERS_LIMIT), AfterValidator(_few_headers)
]
HeaderChanges = Annotated[
    dict[HeaderName, HeaderValue | None],
    Field(max_length=HEADERS_LIMIT),
    AfterValidator(_few_headers),
]
Metadata = Annotated[dict[str, Any], AfterValidator(_small)]
Schemes = Annotated[
    list[signing.SchemeName],
    Field(min_length=1, max_length=len(signing.SCHEMES)),
    AfterValidator(_distinct),
]
PerSecond = Annotated[int, Field(ge=1, le=10_000)]
InFlight = Annotated[int, Field(ge=1, le=10_000)]
Timeout = Annotated[float, Field(ge=0.1, le=30)]
Secret = Annotated[
    str,
    AfterValidator(signing.validate_secret),  # its message has the whole rule
    Field(
        json_schema_extra={
            "maxLength": 94,
            "minLength": 32,
            "format": "password",
            "pattern": r"^(whsec_)?[A-Za-z0-9+/]+={0,2}$",
        }
    ),
]
Seconds = Annotated[float, Field(ge=0.001, le=30 * 86_400)]


class Schedule(Form):
    """Set when to try again. A missing field has the configured default."""

    retries: Annotated[int, Field(ge=0, le=50)] | None = None
    """The number of attempts after the first."""
    base: Seconds | None = None
    """Seconds before the second attempt."""
    factor: Annotated[float, Field(ge=1, le=100)] | None = None
    """The number by which each delay is multiplied to get the next one."""
    jitter: Annotated[float, Field(ge=0, le=1)] | None = None
    """The largest random change of a delay, as a fraction of it."""
    cap: Seconds | None = None
    """The longest delay in seconds, before the random change."""


class WebhookSettings(WithCredentials):
    """Hold the fields that may be null, for the configured default or for no limit."""

    rate_limit: PerSecond | None = None
    """The most requests a second."""
    max_in_flight: InFlight | None = None
    """The most requests at one time."""
    timeout: Timeout | None = None
    """Seconds from the lookup of the host name to the last byte of the response."""
    retry: Schedule | None = None
    signature_schemes: Schemes | None = None
    """Signature schemes to use, out of the configured ones."""


class NewWebhook(WebhookSettings):
    """Create a webhook. Only `url` and `events` are required."""

    url: Url
    """Where to POST: an http or https URL with a public host.

    A user name and password in an https URL become the basic `authentication`.
    """
    events: Events
    """Event types to send: exact ones, `user.*` for all below it, or `*` for all."""
    name: Name | None = None
    """A name for people. The default is the URL's host."""
    description: Description = ""
    active: bool = True
    headers: Headers = Field(default_factory=dict)
    """Headers to send with every request. Values are stored encrypted and never shown again."""
    authentication: Authentication | None = None
    tls: TlsSettings | None = None
    ordered: bool = False
    """Whether to send one delivery at a time, in order: a failing one blocks those behind it.

    This cannot be changed later.
    """
    metadata: Metadata = Field(default_factory=dict)
    """Any data of your own."""
    signing_secret: Annotated[Secret | None, Field(alias="secret")] = None
    """Your own secret: the base64 of 24 to 64 bytes. If it is missing, one is generated."""


class WebhookChanges(WebhookSettings):
    """Change a webhook. A missing field keeps its value.

    null restores the configured default, where there is one.
    """

    url: Url | None = None
    events: Events | None = None
    name: Name | None = None
    description: Description | None = None
    active: bool | None = None
    headers: HeaderChanges | None = None
    """Headers to set, or to remove with null. Others stay. null for the object removes all."""
    authentication: Authentication | None = None
    """Replaces the whole authentication. null removes it."""
    tls: TlsSettings | None = None
    """Replaces all certificates. null removes them."""
    metadata: Metadata | None = None


class Rotation(Form):
    """Replace the signing secret. Every field is optional."""

    overlap_seconds: Annotated[int, Field(ge=0, le=604_800)] = 0
    """Seconds during which the old secret signs beside the new one, in headers that hold a list."""


class Empty(Form):
    """Send no fields."""


WebhookState = Literal["active", "failing", "resting", "disabled"]
"""The state of a webhook, as lists show it."""


class WebhookQuery(Form):
    """Select a page of webhooks. Without a field, list as many as one response holds.

    With `search` or `state`, a page can be short, or empty, and still have a next one.
    """

    search: (
        Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)] | None
    ) = None
    """Only webhooks whose name or URL contains this text, ignoring case."""
    state: WebhookState | None = None
    """Only webhooks of this state. A failing or resting webhook is not `active` here."""
    cursor: str | None = None
    limit: Limit | None = None
