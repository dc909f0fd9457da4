"""Environments: the tenants, each with webhooks and events of its own."""

from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

from dispatcher.config.sections import Limits
from dispatcher.core.errors import Conflict, Unknown
from dispatcher.core.pagination import DEFAULT_LIMIT, Page
from dispatcher.services.audit_log import Actor, Journal
from dispatcher.services.inputs.environments import NewEnvironment
from dispatcher.store import environments as stored
from dispatcher.store.session import Asked

RANDOM_BYTES = 12


@dataclass(frozen=True, slots=True)
class Environment:
    """`paused_at`: since when nothing is sent for it; `all_paused_at`: for all environments."""

    id: str
    name: str
    paused_at: datetime | None
    all_paused_at: datetime | None
    created_at: datetime


class Environments:
    """Raises StoreUnavailable and StatementTimeout besides what is said."""

    def __init__(self, session: Asked, actor: Actor, *, most: int = Limits().environments) -> None:
        self._stored = stored.Environments(session)
        self._journal = Journal(session, actor)
        self._most = most

    async def create(self, form: NewEnvironment) -> Environment:
        """In a transaction of the caller's. Raises Conflict when the id is taken, and when there are
        too many (about: those made at the same moment are not counted)."""
        if await self._stored.count(self._most) >= self._most:
            raise Conflict(f"there are {self._most} environments, the most (limits.environments)")
        id_ = form.id or f"env_{token_hex(RANDOM_BYTES)}"
        row = await self._stored.create(id_, form.name)
        if row is None:
            raise Conflict(f"there is an environment {id_} already")
        await self._journal.note("environment.create", id_, id_, name=form.name)
        return _environment(row)

    async def get(self, environment_id: str) -> Environment:
        """Raises Unknown."""
        row = await self._stored.get(environment_id)
        if row is None:
            raise Unknown(f"there is no environment {environment_id}")
        return _environment(row)

    async def list(
        self, *, before: int | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page[Environment]:
        """Newest first."""
        rows = await self._stored.list(before=before, limit=limit + 1)
        shown = rows[:limit]
        more = len(rows) > limit
        return Page(tuple(map(_environment, shown)), shown[-1]["position"] if more else None)


def _environment(row: dict[str, Any]) -> Environment:
    return Environment(
        row["id"], row["name"], row["paused_at"], row["all_paused_at"], row["created_at"]
    )
