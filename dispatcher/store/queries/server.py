"""Read what the server allows: rights, free connections, notifications."""

from dataclasses import dataclass
from datetime import datetime

from dispatcher.store.daemon_sessions import DaemonSessions
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about the server and our role. `schema_owner` is None without a schema."""

    version: str
    encoding: str
    role: str
    database: str
    clock: datetime
    may_create_schema: bool
    may_create_role: bool
    has_producer_role: bool
    schema_owner: str | None
    owns_schema: bool | None

    def missing_rights(self) -> list[str]:
        """Return a sentence with a remedy for each right that the role lacks for migrating."""
        missing = []
        if self.schema_owner is None and not self.may_create_schema:
            missing.append(
                f"the role {self.role} may not create a schema, which dispatcher migrate needs:"
                f" GRANT CREATE ON DATABASE {self.database} TO {self.role}"
            )
        if not (self.has_producer_role or self.may_create_role):
            missing.append(
                f"the role {self.role} may not create roles, and the role dispatcher_producer"
                " does not exist: let an administrator run CREATE ROLE dispatcher_producer"
                f" NOLOGIN ADMIN {self.role}"
            )
        return missing


@dataclass(frozen=True, slots=True)
class Room:
    """A limit of connections, and how many are in use. `scope` is role, database or server."""

    scope: str
    name: str
    allowed: int
    used: int

    def too_small(self, needed: int) -> str | None:
        """Return the problem if `needed` connections exceed the limit, or None if they do not."""
        if self.allowed >= needed:
            return None
        return (
            f"the daemon needs {needed} connections, and {self._whose()} may have {self.allowed}:"
            f" {self._remedy(needed)}"
        )

    def too_full(self, needed: int) -> str | None:
        """Return the problem if `needed` connections are not free now, or None if they are."""
        if self.allowed - self.used >= needed:
            return None
        return (
            f"the daemon needs {needed} connections, and of the {self.allowed} that {self._whose()}"
            f" may have {self.used} are in use: end some of them, or"
            f" {self._remedy(self.used + needed)}"
        )

    def _whose(self) -> str:
        return "the server" if self.scope == "server" else f"the {self.scope} {self.name}"

    def _remedy(self, least: int) -> str:
        if self.scope == "server":
            return "raise max_connections"
        return f"ALTER {self.scope.upper()} {self.name} CONNECTION LIMIT {least} or more"


@dataclass(frozen=True, slots=True)
class OldSnapshot:
    """A session, and for how many seconds its transaction has run; None: we may not know."""

    pid: int
    role: str
    age: float | None


class Server:
    """Reads about the server, and `notify`. The methods raise what the session raises."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def facts(self) -> Facts:
        """Return facts about the server and our role."""
        [row] = await self._session.fetch(statement("server/facts"))
        return Facts(**row)

    async def rooms(self) -> list[Room]:
        """Return the connection limits that apply. `used` does not count this session."""
        return [Room(**row) for row in await self._session.fetch(statement("server/rooms"))]

    async def old_snapshots(self, seconds: float) -> list[OldSnapshot]:
        """Return transactions that keep what was deleted for longer than so many seconds."""
        rows = await self._session.fetch(statement("server/old_snapshots"), seconds)
        return [OldSnapshot(**row) for row in rows]

    async def notify(self, channel: str) -> None:
        """Send a notification on a channel."""
        await self._session.fetch(statement("server/notify"), channel)


def connections_needed() -> int:
    """Return how many connections one daemon opens."""
    return DaemonSessions("", statement_timeout=1.0).count
