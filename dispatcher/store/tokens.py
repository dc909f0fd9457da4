"""Read and write tokens. A token is stored as the SHA-256 of its text."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class Tokens:
    """The tokens."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def create(
        self,
        *,
        name: str,
        environment_id: str | None,
        scope: str,
        sha256: bytes,
        expires_at: datetime | None,
        most: int,
    ) -> Mapping[str, Any]:
        """Create a token, unless a condition fails. Return the conditions and the new row.

        `known` is true if the environment exists, `lasting` if the expiry is in the future, and
        `room` if there are fewer than `most` tokens. If one is false, no token is created.
        """
        rows = await self._session.fetch(
            statement("tokens/create"), name, environment_id, scope, sha256, expires_at, most
        )
        return dict(rows[0])

    async def list(
        self, environment_id: str | None, after: UUID | None = None, limit: int = 1000
    ) -> Sequence[Mapping[str, Any]]:
        """Return at most `limit` tokens older than `after`, newest first.

        Revoked and expired ones are included. Without an environment, return those of all
        environments.
        """
        rows = await self._session.fetch(statement("tokens/list"), environment_id, after, limit)
        return [dict(row) for row in rows]

    async def revoke(self, token_id: UUID, environment_id: str | None) -> Mapping[str, Any] | None:
        """Revoke a token. Return its `name environment_id`, or None if this call did not revoke it.

        With `environment_id` None, the token may be bound to any environment.
        """
        rows = await self._session.fetch(statement("tokens/revoke"), token_id, environment_id)
        return dict(rows[0]) if rows else None

    async def authenticate(self, sha256: bytes) -> Mapping[str, Any] | None:
        """Return `id name scope environment_id seconds_left` of a valid token, or None.

        `seconds_left` is the time until it expires, None if it does not.
        """
        rows = await self._session.fetch(statement("tokens/authenticate"), sha256)
        return dict(rows[0]) if rows else None

    async def prune(self, keep: float, most: int) -> int:
        """Delete up to `most` tokens that have been unusable for `keep` seconds.

        Return how many were deleted.
        """
        return len(await self._session.fetch(statement("tokens/prune"), keep, most))
