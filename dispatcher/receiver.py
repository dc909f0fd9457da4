"""Verify webhooks in programs that receive them, and read their events.

    event = construct_event(await request.read(), request.headers, secret)

It needs only the standard library: copy this one file (Python 3.11 or newer) into any service. Pass
the body as it arrived: parsing and dumping it first changes the bytes that were signed.

Deliveries arrive at least once, so keep the `event_id`s that you have processed, and answer 2xx to
a repetition too.
"""

import hmac
import json
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TIMESTAMPED = ("standard", "timestamped-hex", "stripe")
"""The schemes that sign a time, so that a captured request cannot be replayed later."""

SCHEMES = (*TIMESTAMPED, "body-hex")
"""All schemes. `body-hex` signs only the body."""

Headers = (
    Mapping[str, str]
    | Mapping[str, Sequence[str]]
    | Iterable[tuple[str, str]]
    | Iterable[tuple[bytes, bytes]]
)
"""A mapping or pairs. A value may be a list of texts, as some gateways pass it."""

_SIGNATURE_HEADERS_LIMIT = 8
"""Most signature headers in one request: each costs a pass over the body."""
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_ID = re.compile(r"[A-Za-z0-9_-]+")


class SignatureVerificationError(Exception):
    """The request is not authentic. The text says why and holds no secret."""


class MissingSignatureError(SignatureVerificationError):
    """The request has no signature of an accepted scheme, or lacks a header of that scheme."""


class MalformedSignatureError(SignatureVerificationError):
    """The signature headers have a form that Dispatcher does not write."""


class NoMatchingSignatureError(SignatureVerificationError):
    """The secret is another one, or the body is not the one that was signed."""


class StaleTimestampError(SignatureVerificationError):
    """The signature is valid, but its time is too far off: a replay, or a wrong clock."""


def _most_specific(failures: list[SignatureVerificationError]) -> SignatureVerificationError:
    """Return the failure that says most about the request."""
    for kind in (StaleTimestampError, NoMatchingSignatureError, MalformedSignatureError):
        for failure in failures:
            if isinstance(failure, kind):
                return failure
    return failures[0]


def construct_event(
    payload: bytes,
    headers: Headers,
    secret: str | Sequence[str],
    *,
    tolerance: float = 300,
    schemes: Sequence[str] | None = None,
    now: float | None = None,
    signature_header: str | None = None,
    timestamp_header: str | None = None,
) -> dict[str, Any]:
    """Verify the request and return the event in `payload`; the arguments are those of `verify`.

    Raise SignatureVerificationError if the request is not authentic. Raise ValueError if the
    signature is valid, but the body is not a JSON object, or is nested too deeply for Python.
    """
    verify(
        payload,
        headers,
        secret,
        tolerance=tolerance,
        schemes=schemes,
        now=now,
        signature_header=signature_header,
        timestamp_header=timestamp_header,
    )
    try:
        event = json.loads(bytes(payload))
    except RecursionError:
        raise ValueError("the body is nested too deeply to be read") from None
    if not isinstance(event, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004 - of the wrong value
    return event


def verify(
    payload: bytes,
    headers: Headers,
    secret: str | Sequence[str],
    *,
    tolerance: float = 300,
    schemes: Sequence[str] | None = None,
    now: float | None = None,
    signature_header: str | None = None,
    timestamp_header: str | None = None,
) -> str:
    """Return the scheme by which the request is signed with `secret`.

    `payload` is the body as it arrived. `headers` is a mapping or pairs, with names in any case.
    `secret` is the text that was shown for the webhook, or several texts during a rotation; white
    space around it is removed. `tolerance` is how many seconds the signed time may differ from
    `now` (Unix seconds, default: the current time), in both directions. One signature of any of
    `schemes` is enough; the default is the schemes that sign a time.

    Signatures are read from all headers that end in `-signature`, with any brand, and the time of a
    `timestamped-hex` one from the header that ends in `-timestamp`. `signature_header` and
    `timestamp_header` name other headers to read instead.

    Raise SignatureVerificationError, as the most specific subclass, if no signature is valid. Raise
    TypeError if the body is not bytes, or if a secret or a header is not text. Raise ValueError for
    an unknown scheme, and for an empty secret, because with that anyone can sign.
    """
    if not isinstance(payload, bytes | bytearray | memoryview):
        raise TypeError("payload must be the body's bytes as they arrived, before any parsing")
    moment = time.time() if now is None else now
    secrets, accepted = _secrets(secret), _accepted(schemes)
    fields = _fields(headers, signature_header, timestamp_header)
    request = _Request(bytes(payload), fields, timestamp_header, secrets, tolerance, moment)
    failures: list[SignatureVerificationError] = []
    for scheme, name in _signature_headers(fields, signature_header):
        failure = request.failure(scheme, name, accepted)
        if failure is None:
            return scheme
        failures.append(failure)
    raise _most_specific(failures or [MissingSignatureError(_no_signature(accepted))])


def _secrets(secret: str | Sequence[str]) -> list[str]:
    argument: object = secret  # None where an environment variable is not set
    secrets = [secret] if isinstance(secret, str) else [] if argument is None else list(secret)
    if argument is None or not all(isinstance(text, str) for text in secrets):
        raise TypeError("a secret must be text, or a list of texts")
    secrets = [text.strip() for text in secrets]
    if not secrets or not all(text.removeprefix("whsec_").strip() for text in secrets):
        raise ValueError("a secret cannot be empty")
    return secrets


def _accepted(schemes: Sequence[str] | None) -> Sequence[str]:
    accepted = TIMESTAMPED if schemes is None else schemes
    if not accepted or not set(accepted) <= set(SCHEMES):
        raise ValueError(f"schemes must be among {', '.join(SCHEMES)}")
    return accepted


def _no_signature(accepted: Sequence[str]) -> str:
    return f"the headers hold no signature ({' or '.join(accepted)} expected)"


def _not_accepted(scheme: str) -> str:
    if scheme == "body-hex":
        return (
            "the signature covers no time, so the request could be a replay; "
            'schemes=("body-hex",) accepts that'
        )
    return f"signed by the scheme {scheme}, which is not among the accepted schemes"


# Headers ------------------------------------------------------------------------------------------


def _fields(headers: Headers, *named: str | None) -> dict[str, str]:
    """Return the relevant headers, with names in lower case."""
    relevant = {"webhook-id", *(name.lower() for name in named if name)}
    fields: dict[str, str] = {}
    argument: object = headers  # any value, if the program has no type checker
    if argument is None or isinstance(argument, str | bytes):
        raise TypeError(f"headers must be a mapping or pairs, not {type(argument).__name__}")
    for name, value in headers.items() if hasattr(headers, "items") else headers:
        name = _text(name).strip().lower()
        if name not in relevant and not name.endswith(("-signature", "-timestamp")):
            continue
        for part in value if isinstance(value, list | tuple) else (value,):
            text = _text(part).strip()
            # If two differ, a proxy in front may have checked the other one.
            if fields.setdefault(name, text) != text:
                raise MalformedSignatureError(f"two different headers named {name}")
    return fields


def _text(part: object) -> str:
    if isinstance(part, bytes):
        return part.decode("latin-1")
    if not isinstance(part, str):
        raise TypeError(f"a header must be text or a list of texts, not {type(part).__name__}")
    return part


def _signature_headers(
    fields: dict[str, str], signature_header: str | None
) -> list[tuple[str, str]]:
    """Return the scheme, which name or value shows, and the name of every signature header."""
    if signature_header is None:
        names = [name for name in fields if name.endswith("-signature")]
    else:
        names = [name for name in fields if name == signature_header.lower()]
    if len(names) > _SIGNATURE_HEADERS_LIMIT:  # each costs a pass over the body
        raise MalformedSignatureError(f"{len(names)} signature headers")
    return [(_scheme(name, fields[name]), name) for name in names]


def _scheme(name: str, value: str) -> str:
    if name == "webhook-signature":
        return "standard"
    if value.startswith("sha256="):
        return "body-hex"
    return "stripe" if value.startswith("t=") else "timestamped-hex"


# Claims -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Claim:
    """The content of a signature header, not verified: a signature covers `prefix` and the body."""

    signatures: list[str]
    prefix: str
    timestamp: int | None


def _body_hex(fields: dict[str, str], name: str, _: str | None) -> _Claim:
    return _Claim([fields[name].removeprefix("sha256=")], "", None)


def _standard(fields: dict[str, str], name: str, _: str | None) -> _Claim:
    id_, timestamp = fields.get("webhook-id"), fields.get("webhook-timestamp")
    if id_ is None or timestamp is None:
        raise MissingSignatureError(
            "webhook-signature came without webhook-id or webhook-timestamp"
        )
    # With a dot in the id, the signed text could be split at another place.
    if not _ID.fullmatch(id_):
        raise MalformedSignatureError("webhook-id is not an id")
    tokens = (token.partition(",") for token in fields[name].split())
    signatures = [text for version, _, text in tokens if version == "v1"]
    return _Claim(signatures, f"{id_}.{timestamp}.", _seconds(timestamp))


def _timestamped_hex(fields: dict[str, str], name: str, timestamp_header: str | None) -> _Claim:
    if timestamp_header is None:
        beside = name.removesuffix("signature") + "timestamp"
        others = [n for n in fields if n.endswith("-timestamp") and n != "webhook-timestamp"]
        timestamp_header = beside if beside in others or len(others) != 1 else others[0]
    timestamp = fields.get(timestamp_header.lower())
    if timestamp is None:
        raise MissingSignatureError(f"{name} came without a header for its timestamp")
    return _Claim([fields[name]], f"{timestamp}.", _seconds(timestamp))


def _stripe(fields: dict[str, str], name: str, _: str | None) -> _Claim:
    items = [item.partition("=") for item in fields[name].split(",")]
    timestamps = [text for key, _, text in items if key == "t"]
    signatures = [text for key, _, text in items if key == "v1"]
    if len(timestamps) > 1:
        raise MalformedSignatureError(f"{name} holds several timestamps")
    return _Claim(signatures, f"{timestamps[0]}.", _seconds(timestamps[0]))


_READERS = {
    "standard": _standard,
    "timestamped-hex": _timestamped_hex,
    "stripe": _stripe,
    "body-hex": _body_hex,
}


def _seconds(timestamp: str) -> int:
    if not _TIMESTAMP.fullmatch(timestamp):
        raise MalformedSignatureError("the timestamp is not a number of Unix seconds")
    return int(timestamp)


# Signatures ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Request:
    """A request with the possible secrets. `tolerance` is in seconds, and `now` is a Unix time."""

    payload: bytes
    fields: dict[str, str]
    timestamp_header: str | None
    secrets: list[str]
    tolerance: float
    now: float

    def failure(
        self, scheme: str, name: str, accepted: Sequence[str]
    ) -> SignatureVerificationError | None:
        """Return why the signature in the header `name` is invalid, None if it is valid."""
        try:
            if scheme not in accepted:
                raise MissingSignatureError(_not_accepted(scheme))
            self._check(scheme, _READERS[scheme](self.fields, name, self.timestamp_header))
        except SignatureVerificationError as failure:
            return failure
        return None

    def _check(self, scheme: str, claim: _Claim) -> None:
        message = claim.prefix.encode() + self.payload
        received = [text.encode(errors="replace") for text in claim.signatures]
        expected = [_signature(scheme, key, message) for key in _keys(scheme, self.secrets)]
        if not any(hmac.compare_digest(one, other) for one in received for other in expected):
            raise NoMatchingSignatureError(
                "no signature matches: another secret, or an altered body"
            )
        if claim.timestamp is None:
            return
        age = self.now - claim.timestamp
        if not abs(age) <= self.tolerance:
            difference = f"{abs(age):.0f} s {'ago' if age > 0 else 'ahead'}"
            raise StaleTimestampError(f"signed {difference}, at most {self.tolerance:g} s allowed")


def _signature(scheme: str, key: bytes, message: bytes) -> bytes:
    mac = hmac.digest(key, message, "sha256")
    return b64encode(mac) if scheme == "standard" else mac.hex().encode()


def _keys(scheme: str, secrets: list[str]) -> list[bytes]:
    if scheme != "standard":
        return [secret.encode() for secret in secrets]
    return [key for secret in secrets if (key := _decoded(secret))]


def _decoded(secret: str) -> bytes:
    try:
        return b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return b""  # no signature of this scheme uses such a secret
