"""Read and write dashboard sessions."""

from datetime import datetime
from typing import TypedDict
from uuid import UUID

from dispatcher.core.model import Scope
from dispatcher.store.rows import first_row
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class DashboardSessionRow(TypedDict):
    """A dashboard session. The token's values are None if no valid token has its hash."""

    token_hash: bytes
    environment_id: str
    expires_at: datetime
    token_id: UUID | None
    name: str
    scope: Scope
    bound_to: str | None


class DashboardSessions:
    """Dashboard sessions. The SHA-256 of a session's cookie is its id."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def create(
        self, id_: bytes, token_hash: bytes, environment_id: str, seconds: float, limit: int
    ) -> None:
        """Create a session that lasts `seconds`. Only the `limit` newest of its token stay."""
        await self._session.fetch(
            statement("dashboard_sessions/create"), id_, token_hash, environment_id, seconds, limit
        )

    async def get(self, id_: bytes) -> DashboardSessionRow | None:
        """Return a session and its token, or None if the session is unknown or has expired.

        The keys are `token_hash environment_id expires_at`, and those of the token: `token_id name
        scope bound_to`. The token's values are None if no valid token has that hash.
        """
        rows = await self._session.fetch(statement("dashboard_sessions/get"), id_)
        return first_row(DashboardSessionRow, rows)

    async def set_environment(self, id_: bytes, environment_id: str) -> None:
        """Store the environment that the session shows now."""
        await self._session.fetch(
            statement("dashboard_sessions/set_environment"), id_, environment_id
        )

    async def delete(self, id_: bytes) -> None:
        """Delete a session."""
        await self._session.fetch(statement("dashboard_sessions/delete"), id_)

    async def prune(self, limit: int) -> int:
        """Delete up to `limit` expired sessions. Return how many were deleted."""
        return len(await self._session.fetch(statement("dashboard_sessions/prune"), limit))
