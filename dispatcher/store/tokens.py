"""Tokens, known by the SHA-256 of their text."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class Tokens:
    def __init__(self, session: Asked) -> None:
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
        """`known`: there is such an environment; `lasting`: the expiry is still to come; `room`:
        there are fewer than `most`. Unless all are true nothing was made; the rest is the new row."""
        rows = await self._session.fetch(
            statement("tokens/create"), name, environment_id, scope, sha256, expires_at, most
        )
        return dict(rows[0])

    async def list(
        self, environment_id: str | None, after: UUID | None = None, limit: int = 1000
    ) -> Sequence[Mapping[str, Any]]:
        """Return at most `limit` of those older than `after`, newest first, with those that are
        revoked or expired. Without an environment, of every one."""
        rows = await self._session.fetch(statement("tokens/list"), environment_id, after, limit)
        return [dict(row) for row in rows]

    async def revoke(self, token_id: UUID, environment_id: str | None) -> Mapping[str, Any] | None:
        """`name environment_id` of the token that this call revoked, if it did; None for the
        environment: whichever it is bound to."""
        rows = await self._session.fetch(statement("tokens/revoke"), token_id, environment_id)
        return dict(rows[0]) if rows else None

    async def authenticate(self, sha256: bytes) -> Mapping[str, Any] | None:
        """`id name scope environment_id` of the token, if it is good now."""
        rows = await self._session.fetch(statement("tokens/authenticate"), sha256)
        return dict(rows[0]) if rows else None

    async def prune(self, keep: float, most: int) -> int:
        """Remove up to `most` tokens that have been of no use for `keep` seconds; return how many."""
        return len(await self._session.fetch(statement("tokens/prune"), keep, most))
