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
    ) -> Mapping[str, Any]:
        """`known`: there is such an environment; `lasting`: the expiry is still to come. Unless
        both are true nothing was made; the rest is the new row."""
        rows = await self._session.fetch(
            statement("tokens/create"), name, environment_id, scope, sha256, expires_at
        )
        return dict(rows[0])

    async def list(self, environment_id: str | None) -> Sequence[Mapping[str, Any]]:
        """Newest first, with those that are revoked or expired; None: of every environment."""
        rows = await self._session.fetch(statement("tokens/list"), environment_id)
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
