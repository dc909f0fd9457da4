"""Store the responses of requests with an Idempotency-Key, so that a repeat changes nothing."""

from dataclasses import dataclass

from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


@dataclass(frozen=True, slots=True)
class IdempotentResponse:
    """The result of claiming a key.

    `new` is true if no request with this key was answered: the caller must now answer it. Otherwise
    the fields hold the stored fingerprint of the request, and the status and body of its response.
    """

    new: bool
    fingerprint: bytes
    status: int | None
    body: bytes | None


class IdempotentResponses:
    """The stored responses, by environment and key."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def claim(self, environment_id: str, key: str, fingerprint: bytes) -> IdempotentResponse:
        """Claim a key within the transaction of the change.

        Wait until another transaction that claimed the same key ends. If it is rolled back, its
        claim is gone too.
        """
        while True:
            rows = await self._session.fetch(
                statement("idempotency/claim"), environment_id, key, fingerprint
            )
            if rows:
                return IdempotentResponse(True, fingerprint, None, None)
            # Read in a new statement. Otherwise the other transaction's commit would not be
            # visible.
            if there := await self.read(environment_id, key):
                return there

    async def read(self, environment_id: str, key: str) -> IdempotentResponse | None:
        """Return the stored response, or None if no request with this key was answered."""
        rows = await self._session.fetch(statement("idempotency/read"), environment_id, key)
        return IdempotentResponse(False, **rows[0]) if rows else None

    async def keep(self, environment_id: str, key: str, status: int, body: bytes | None) -> None:
        """Store the response within the transaction of the claim. `body` must hold no secret."""
        await self._session.fetch(statement("idempotency/keep"), environment_id, key, status, body)

    async def prune(self, age: float, limit: int) -> int:
        """Delete up to `limit` responses older than `age` seconds. Return how many were deleted."""
        return len(await self._session.fetch(statement("idempotency/prune"), age, limit))
