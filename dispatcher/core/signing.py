"""The signature headers of one attempt: one function a scheme, and the table of them.

| scheme            | headers                                          | signed              | key     |
|-------------------|--------------------------------------------------|---------------------|---------|
| `body-hex`        | `sha256=<hex>`                                   | the body            | text    |
| `standard`        | `webhook-id`, `-timestamp`, `-signature: v1,…`   | `id.timestamp.body` | decoded |
| `timestamped-hex` | `<hex>` and a header with the timestamp          | `timestamp.body`    | text    |
| `stripe`          | `t=<timestamp>,v1=<hex>`                         | `timestamp.body`    | text    |

All are HMAC-SHA256. The key is the secret's whole text in UTF-8, with the prefix `whsec_`, because
people paste that text into their verifiers. Only `standard` removes the prefix and decodes the
rest as base64, as every Standard Webhooks library does. One secret serves all schemes.

To add a scheme: write its function, give it a row in `SCHEMES`, and add a vector to the test.
"""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Literal, NamedTuple

SchemeName = Literal["body-hex", "standard", "timestamped-hex", "stripe"]

PREFIX = "whsec_"
KEY_MIN_BYTES, KEY_MAX_BYTES = 24, 64
"""Length of a key, as the Standard Webhooks specification requires."""
SHA256_BLOCK_BYTES = 64
CACHED_KEYS = 4096
"""How many prepared keys each cache holds. They are as secret as the secrets, which are in memory
too.
"""


@dataclass(frozen=True, slots=True)
class HeaderNames:
    """The headers with the brand in their names; the specification fixes those of `standard`."""

    body_hex: str
    timestamped_hex: str
    timestamped_hex_timestamp: str
    stripe: str


class Signable(NamedTuple):
    """The input of a scheme. `timestamp` is the time of this attempt in Unix seconds."""

    event_id: str
    timestamp: int
    body: bytes


def sign(
    schemes: Sequence[str],
    names: HeaderNames,
    secrets: Sequence[str],
    *,
    event_id: str,
    timestamp: int,
    body: bytes,
) -> dict[str, str]:
    """Return the headers of all `schemes`; `secrets` has the current secret first.

    A previous secret in its overlap comes second: headers that hold a list carry both signatures,
    the others only the current one.

    Raises ValueError if there is no scheme, no secret, an unknown scheme or a secret that cannot
    sign. So no request goes out unsigned. The message contains no secret.
    """
    if not schemes or not secrets or not all(secrets):
        raise ValueError("a request needs a scheme and a secret to be signed")
    signable = Signable(event_id, timestamp, body)
    headers: dict[str, str] = {}
    for name in schemes:
        scheme = SCHEMES.get(name)
        if scheme is None:
            raise ValueError(f"unknown signature scheme {name!r}")
        headers.update(scheme(names, secrets, signable))
    return headers


def validate_secret(text: str) -> str:
    """Return `text` if it can sign under every scheme.

    Raises ValueError, without the text, if it is not padded base64 of 24 to 64 bytes in its one
    canonical form, with or without the prefix `whsec_`. Verifiers differ on anything laxer: some
    ignore the characters of the URL-safe alphabet and sign with the rest. 64 hexadecimal characters
    are valid: they are base64 of 48 bytes.
    """
    key = key_for_standard(text)
    if not KEY_MIN_BYTES <= len(key) <= KEY_MAX_BYTES:
        raise ValueError(
            f"a secret must hold {KEY_MIN_BYTES} to {KEY_MAX_BYTES} bytes of key, not {len(key)}"
        )
    return text


@lru_cache(maxsize=CACHED_KEYS)
def key_for_standard(secret: str) -> bytes:
    """Return the key of the `standard` scheme in bytes.

    Raises ValueError, without the secret, if it is not strict base64.
    """
    encoded = secret.removeprefix(PREFIX)
    try:
        key = b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    if not key or b64encode(key) != encoded.encode():
        raise ValueError("a secret must be padded base64 in the standard alphabet")
    return key


def _body_hex(names: HeaderNames, secrets: Sequence[str], signable: Signable) -> dict[str, str]:
    # Sign with the current secret only: verifiers strip "sha256=" and compare lengths, so a second
    # signature would make them fail.
    return {names.body_hex: f"sha256={_hex(secrets[0], signable.body)}"}


def _standard(_: HeaderNames, secrets: Sequence[str], signable: Signable) -> dict[str, str]:
    message = b"%b.%d.%b" % (signable.event_id.encode(), signable.timestamp, signable.body)
    macs = [hmac_sha256(key_for_standard(secret), message) for secret in secrets]
    return {
        "webhook-id": signable.event_id,
        "webhook-timestamp": str(signable.timestamp),
        "webhook-signature": " ".join([f"v1,{b64encode(mac).decode()}" for mac in macs]),
    }


def _timestamped_hex(
    names: HeaderNames, secrets: Sequence[str], signable: Signable
) -> dict[str, str]:
    return {
        names.timestamped_hex: _hex(secrets[0], b"%d.%b" % (signable.timestamp, signable.body)),
        names.timestamped_hex_timestamp: str(signable.timestamp),
    }


def _stripe(names: HeaderNames, secrets: Sequence[str], signable: Signable) -> dict[str, str]:
    message = b"%d.%b" % (signable.timestamp, signable.body)
    signatures = ",".join(f"v1={_hex(secret, message)}" for secret in secrets)
    return {names.stripe: f"t={signable.timestamp},{signatures}"}


def _hex(secret: str, message: bytes) -> str:
    return hmac_sha256(secret.encode(), message).hex()


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return the HMAC-SHA256 (RFC 2104), with the work for the key done once a key.

    `hmac.digest` prepares the key and looks up the algorithm for every message. That takes longer
    than hashing the body of a webhook.
    """
    keyed_inner, keyed_outer = _keyed(key)
    inner, outer = keyed_inner.copy(), keyed_outer.copy()
    inner.update(message)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=CACHED_KEYS)
def _keyed(key: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    block = (sha256(key).digest() if len(key) > SHA256_BLOCK_BYTES else key).ljust(
        SHA256_BLOCK_BYTES, b"\0"
    )
    return sha256(bytes(b ^ 0x36 for b in block)), sha256(bytes(b ^ 0x5C for b in block))


SignFunction = Callable[[HeaderNames, Sequence[str], Signable], dict[str, str]]

SCHEMES: Mapping[str, SignFunction] = {
    "body-hex": _body_hex,
    "standard": _standard,
    "timestamped-hex": _timestamped_hex,
    "stripe": _stripe,
}
