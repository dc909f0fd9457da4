"""The audit: who changed what, when, from where."""

from typing import Any

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class Audit:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def write(
        self,
        *,
        environment_id: str | None,
        actor: str,
        action: str,
        subject: str,
        detail: str,
        request_id: str | None,
        address: str | None,
    ) -> None:
        """In the transaction of the change, so that neither is without the other."""
        await self._session.fetch(
            statement("audit/write"),
            environment_id,
            actor,
            action,
            subject,
            detail,
            request_id,
            address,
        )

    async def list(
        self,
        environment_id: str | None,
        *,
        actor: str | None,
        action: str | None,
        subject: str | None,
        before: int | None,
        limit: int,
        look: int,
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Rows newest first, of the next `look`; and the id looked down to, None: to the end."""
        rows = await self._session.fetch(
            statement("audit/list"), environment_id, actor, action, subject, before, limit, look
        )
        return [dict(row) for row in rows if row["id"] is not None], rows[0]["looked"]

    async def prune(self, below: int, most: int) -> int:
        """Remove up to `most` entries with ids below one; return how many."""
        return len(await self._session.fetch(statement("audit/prune"), below, most))
