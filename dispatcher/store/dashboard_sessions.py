"""Who is signed in to the dashboard."""

from collections.abc import Mapping
from typing import Any

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class SignIns:
    """Each is known by the SHA-256 of its cookie."""

    def __init__(self, session: Asked) -> None:
        self._session = session

    async def create(
        self, id_: bytes, token_hash: bytes, environment_id: str, seconds: float
    ) -> None:
        await self._session.fetch(
            statement("dashboard_sessions/create"), id_, token_hash, environment_id, seconds
        )

    async def get(self, id_: bytes) -> Mapping[str, Any] | None:
        """`token_hash environment_id expires_at`, and of its token `token_id name scope bound_to`,
        None where no token of the table has that hash."""
        rows = await self._session.fetch(statement("dashboard_sessions/get"), id_)
        return dict(rows[0]) if rows else None

    async def look_at(self, id_: bytes, environment_id: str) -> None:
        await self._session.fetch(statement("dashboard_sessions/look_at"), id_, environment_id)

    async def delete(self, id_: bytes) -> None:
        await self._session.fetch(statement("dashboard_sessions/delete"), id_)

    async def prune(self, most: int) -> int:
        """Remove up to `most` that have expired; return how many."""
        return len(await self._session.fetch(statement("dashboard_sessions/prune"), most))
