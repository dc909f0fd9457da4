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

To add a scheme: CONTRIBUTING.md lists every place.
"""  # noqa: E501 - a table

from base64 import b64decode, b64encode
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Literal, NamedTuple, Protocol, Self

SchemeName = Literal["body-hex", "standard", "timestamped-hex", "stripe"]

PREFIX = "whsec_"
KEY_MIN_BYTES, KEY_MAX_BYTES = 24, 64
"""Length of a key, as the Standard Webhooks specification requires."""
SHA256_BLOCK_BYTES = 64
KEYS_LIMIT = 4096
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


class _Hash(Protocol):
    def copy(self) -> Self: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


_Keyed = tuple[_Hash, _Hash]
"""The two hashes of an HMAC, which have taken the key already."""


class Scheme(NamedTuple):
    """How one scheme signs.

    `headers` returns the names of its headers, and `key` the bytes of a secret that sign. `values`
    returns the values of the headers, from the keys (the current one first), the event's id, the
    time of this attempt in Unix seconds and the body.
    """

    headers: Callable[[HeaderNames], tuple[str, ...]]
    key: Callable[[str], bytes]
    values: Callable[[Sequence[_Keyed], str, str, bytes], tuple[str, ...]]


class Signer:
    """The signatures of one endpoint, with everything prepared that is the same for all requests.

    `secrets` has the current secret first. A previous secret in its overlap comes second: headers
    that hold a list carry both signatures, the others only the current one. `names` are the names
    of the headers.

    Raise ValueError if there is no scheme, no secret, an unknown scheme or a secret that cannot
    sign. So no request goes out unsigned. The message contains no secret.
    """

    __slots__ = ("_parts", "names")

    def __init__(self, schemes: Sequence[str], names: HeaderNames, secrets: Sequence[str]) -> None:
        if not schemes or not secrets or not all(secrets):
            raise ValueError("a request needs a scheme and a secret to be signed")
        self.names: tuple[str, ...] = ()
        self._parts = []
        for name in schemes:
            scheme = SCHEMES.get(name)
            if scheme is None:
                raise ValueError(f"unknown signature scheme {name!r}")
            self.names += scheme.headers(names)
            keys = tuple(_keyed(scheme.key(secret)) for secret in secrets)
            self._parts.append((scheme.values, keys))

    def sign(self, event_id: str, timestamp: str, body: bytes) -> list[str]:
        """Return the values of the headers, in the order of `names`."""
        signed: list[str] = []
        for values, keys in self._parts:
            signed += values(keys, event_id, timestamp, body)
        return signed


def sign(
    schemes: Sequence[str],
    names: HeaderNames,
    secrets: Sequence[str],
    *,
    event_id: str,
    timestamp: int,
    body: bytes,
) -> dict[str, str]:
    """Return the headers of all `schemes`, as `Signer` makes them. Raise ValueError."""
    signer = Signer(schemes, names, secrets)
    return dict(zip(signer.names, signer.sign(event_id, str(timestamp), body), strict=True))


def validate_secret(text: str) -> str:
    """Return `text` if it can sign under every scheme.

    Raise ValueError, without the text, if it is not padded base64 of 24 to 64 bytes in its one
    canonical form, with or without the prefix `whsec_`. Verifiers differ on anything laxer: some
    ignore the characters of the URL-safe alphabet and sign with the rest. 64 hexadecimal characters
    are valid: they are base64 of 48 bytes.
    """
    if not KEY_MIN_BYTES <= len(_key(text)) <= KEY_MAX_BYTES:
        raise ValueError(
            f"a secret must be the padded base64 of {KEY_MIN_BYTES} to {KEY_MAX_BYTES} bytes,"
            " in the standard alphabet"
        )
    return text


@lru_cache(maxsize=KEYS_LIMIT)
def key_for_standard(secret: str) -> bytes:
    """Return the key of the `standard` scheme in bytes.

    Raise ValueError, without the secret, if it is not strict base64.
    """
    key = _key(secret)
    if not key:
        raise ValueError("a secret must be padded base64 in the standard alphabet")
    return key


def _key(secret: str) -> bytes:
    """Return the key in a secret, nothing if the secret is not strict base64."""
    encoded = secret.removeprefix(PREFIX)
    try:
        key = b64decode(encoded, validate=True)
    except ValueError:
        return b""
    return key if b64encode(key) == encoded.encode() else b""


def _body_hex(keys: Sequence[_Keyed], _: str, __: str, body: bytes) -> tuple[str, ...]:
    # Sign with the current secret only: verifiers strip "sha256=" and compare lengths, so a second
    # signature would make them fail.
    return (f"sha256={_mac(keys[0], body).hex()}",)


def _standard(
    keys: Sequence[_Keyed], event_id: str, timestamp: str, body: bytes
) -> tuple[str, ...]:
    message = f"{event_id}.{timestamp}.".encode() + body
    signatures = [f"v1,{b2a_base64(_mac(k, message), newline=False).decode()}" for k in keys]
    return event_id, timestamp, " ".join(signatures)


def _timestamped_hex(
    keys: Sequence[_Keyed], _: str, timestamp: str, body: bytes
) -> tuple[str, ...]:
    return _mac(keys[0], f"{timestamp}.".encode() + body).hex(), timestamp


def _stripe(keys: Sequence[_Keyed], _: str, timestamp: str, body: bytes) -> tuple[str, ...]:
    message = f"{timestamp}.".encode() + body
    signatures = ",".join([f"v1={_mac(key, message).hex()}" for key in keys])
    return (f"t={timestamp},{signatures}",)


def _mac(keyed: _Keyed, message: bytes) -> bytes:
    """Return the HMAC-SHA256 (RFC 2104), with the work for the key done once a key.

    `hmac.digest` prepares the key and looks up the algorithm for each message. That takes longer
    than hashing the body of a webhook.
    """
    inner, outer = keyed[0].copy(), keyed[1].copy()
    inner.update(message)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=KEYS_LIMIT)
def _keyed(key: bytes) -> _Keyed:
    block = (sha256(key).digest() if len(key) > SHA256_BLOCK_BYTES else key).ljust(
        SHA256_BLOCK_BYTES, b"\0"
    )
    return sha256(bytes(b ^ 0x36 for b in block)), sha256(bytes(b ^ 0x5C for b in block))


SCHEMES: Mapping[str, Scheme] = {
    "body-hex": Scheme(lambda names: (names.body_hex,), str.encode, _body_hex),
    "standard": Scheme(
        lambda _: ("webhook-id", "webhook-timestamp", "webhook-signature"),
        key_for_standard,
        _standard,
    ),
    "timestamped-hex": Scheme(
        lambda names: (names.timestamped_hex, names.timestamped_hex_timestamp),
        str.encode,
        _timestamped_hex,
    ),
    "stripe": Scheme(lambda names: (names.stripe,), str.encode, _stripe),
}
