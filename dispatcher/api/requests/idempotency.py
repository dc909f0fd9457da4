"""The Idempotency-Key: a repeated request gets the response of the first one."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from dispatcher.api.representations import Dialect
from dispatcher.api.types import Call, Detail, HttpError
from dispatcher.store.queries.idempotency import IdempotentResponses


class IdempotencyKey(NamedTuple):
    """The key of a request, and the SHA-256 of its method, URL, dialect and body."""

    key: str
    fingerprint: bytes

    @classmethod
    def of(cls, key: str, address: str, dialect: Dialect, body: bytes) -> "IdempotencyKey":
        """Return the key of a request. `address` is its method and its URL."""
        text = f"{address} {dialect.media_type}\n".encode() + body
        return cls(key, hashlib.sha256(text).digest())


_END_OF_HEAD: Final = b"\r\n\r\n"


class StoredResponse(NamedTuple):
    """The response to an earlier request: its status and body, and headers that belong to these.

    A Location is stored as the handler returned it, and adapted to each repeated request.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def parse(cls, status: int, stored: bytes) -> "StoredResponse":
        """Return the response from the bytes of `text`. Without headers they are only the body."""
        if not stored or stored.startswith(b"{"):
            return cls(status, stored, {})
        head, _, body = stored.partition(_END_OF_HEAD)
        lines = (line.partition(": ") for line in head.decode().split("\r\n"))
        return cls(status, body, {name: value for name, _, value in lines})

    def text(self) -> bytes:
        """Return the headers and the body, as a response has them over HTTP."""
        if not self.headers:
            return self.body
        lines = (f"{name}: {value}" for name, value in self.headers.items())
        return "\r\n".join(lines).encode() + _END_OF_HEAD + self.body


async def claim(call: Call, idempotency: IdempotencyKey) -> StoredResponse | None:
    """Return the stored response if the key was used before, without its secrets.

    Return None if the key is new. It is then taken until the transaction ends. Raise an HttpError
    (409) if another request used the key, or if no response is stored.
    """
    key, fingerprint = idempotency
    stored = await IdempotentResponses(call.services.session).claim(
        call.environment_id, key, fingerprint
    )
    if stored.new:
        return None
    if stored.fingerprint != fingerprint or stored.status is None:
        raise HttpError(
            409,
            "idempotency_key_reused",
            "The Idempotency-Key was used for another request",
            Detail("was used for another request", header="Idempotency-Key"),
        )
    return StoredResponse.parse(stored.status, stored.body or b"")


async def keep(call: Call, idempotency: IdempotencyKey, response: StoredResponse) -> None:
    """Store a response, to be returned to the next request with the same key."""
    responses = IdempotentResponses(call.services.session)
    await responses.keep(call.environment_id, idempotency.key, response.status, response.text())
