"""The demo's application: it uses only the events table and the views, like any application."""

from collections.abc import Sequence
from uuid import UUID

from dispatcher.demo.samples import Sample
from dispatcher.store.session import Session

LOCK = int.from_bytes(b"demo")
"""The key of an advisory lock: only one demo at a time runs in a database."""

ENVIRONMENT = "env_demo"
"""The demo's environment in a shared database. Otherwise other receivers would get its samples."""

_ENTER = "SELECT pg_try_advisory_lock($1)"
_MAKE_ENVIRONMENT = """
    INSERT INTO dispatcher.environments (id, name) VALUES ($1, 'Demo') ON CONFLICT DO NOTHING
"""
_DAEMONS = "SELECT count(*) FROM dispatcher.daemons WHERE renewed_at > now() - interval '2 s'"
_EMIT = "INSERT INTO dispatcher.events (type, data, environment_id) VALUES ($1, $2, $3)"
_EMIT_MANY = """
    INSERT INTO dispatcher.events (type, data, environment_id)
    SELECT type, data::json, $3 FROM unnest($1::text[], $2::text[]) AS sample (type, data)
"""
_RECORDED = """
    SELECT count(*) FROM dispatcher.delivery_status
    WHERE endpoint_id = $1 AND state = 'DELIVERED' AND event = ANY ($2::text[])
"""
_UNFINISHED = """
    SELECT event, state, attempts, coalesce(last_error, 'not tried yet') AS error
    FROM dispatcher.delivery_status WHERE endpoint_id = $1 AND state <> 'DELIVERED'
    ORDER BY created_at LIMIT $2
"""
_EXAMPLE = (
    "INSERT INTO dispatcher.events (type, data) VALUES ('user.created', '{\"id\":\"usr_1\"}')"
)
_EXAMPLE_ELSEWHERE = (
    "INSERT INTO dispatcher.events (type, data, environment_id)"
    " VALUES ('user.created', '{\"id\":\"usr_1\"}', 'env_demo')"
)


class Application:
    """The producer of one environment. Its methods raise the errors of `Session.fetch`."""

    def __init__(self, session: Session, environment: str) -> None:
        self.environment = environment
        self._session = session

    async def enter(self) -> bool:
        """Return True if no other demo runs in the database, after creating the environment."""
        if not (await self._session.fetch(_ENTER, LOCK))[0][0]:
            return False
        if self.environment == ENVIRONMENT:
            await self._session.fetch(_MAKE_ENVIRONMENT, ENVIRONMENT)
        return True

    async def daemons(self) -> int:
        """Return how many daemons work on this database."""
        count: int = (await self._session.fetch(_DAEMONS))[0][0]
        return count

    async def emit(self, sample: Sample) -> None:
        """Emit one sample."""
        await self._session.fetch(_EMIT, sample.type, sample.data, self.environment)

    async def emit_many(self, samples: Sequence[Sample]) -> None:
        """Emit all samples in one statement."""
        await self._session.fetch(
            _EMIT_MANY, [s.type for s in samples], [s.data for s in samples], self.environment
        )

    async def recorded(self, webhook_id: UUID, events: Sequence[str]) -> int:
        """Return how many of the events are recorded as delivered to the webhook."""
        count: int = (await self._session.fetch(_RECORDED, webhook_id, events))[0][0]
        return count

    async def unfinished(self, webhook_id: UUID, limit: int) -> list[str]:
        """Return one line for each delivery that has not succeeded, at most `limit` lines."""
        rows = await self._session.fetch(_UNFINISHED, webhook_id, limit)
        return [
            f"{row['event']} {row['state']} after {row['attempts']} attempts: {row['error']}"
            for row in rows
        ]


def example_insert(environment: str) -> str:
    """Return the SQL with which the user can emit an event."""
    return _EXAMPLE_ELSEWHERE if environment == ENVIRONMENT else _EXAMPLE
