"""All connections of one daemon: one a stage, so that no stage waits for another's statement."""

import asyncio

from dispatcher.store.plan_settings import plan_settings
from dispatcher.store.pool import Pool
from dispatcher.store.session import Session

PEOPLE = 4
"""Connections for what people ask for: more of them would only share the same server."""
PEOPLE_TIMEOUT_SECONDS = 5.0
"""Longest statement of theirs, unless database.statement_timeout is shorter: others wait for it."""

LEASE_ANSWER_SECONDS = 2.0
"""An answer to a heartbeat is worth nothing after 1 s. Silence of this session is that of the server."""
STAGE_STATEMENT_SECONDS = 2.0
STAGE_ANSWER_SECONDS = 3.0
"""The stages that sending waits for ask for little at a time, and for less after a timeout. A server
process that is frozen, or a connection that leads nowhere, is noticed soon."""


class Sessions:
    """Opened when first used. `statement_timeout` is in seconds, and the most for any statement.

    Where synchronous_commit is off, a crash of PostgreSQL loses under a second of what the daemon
    can do again: never an event.
    """

    def __init__(self, dsn: str, *, statement_timeout: float) -> None:
        self._all: list[Session] = []
        stage_timeout = min(statement_timeout, STAGE_STATEMENT_SECONDS)

        def session(
            name: str,
            *,
            timeout: float = statement_timeout,
            answer: float | None = None,
            **settings: str,
        ) -> Session:
            opened = Session(
                dsn,
                name,
                statement_timeout=timeout,
                answer_timeout=answer,
                connect_timeout=statement_timeout,
                settings={**plan_settings(name), **settings},
            )
            self._all.append(opened)
            return opened

        def stage(name: str, **settings: str) -> Session:
            return session(name, timeout=stage_timeout, answer=STAGE_ANSWER_SECONDS, **settings)

        self.lease = session(
            "lease",
            timeout=min(statement_timeout, LEASE_ANSWER_SECONDS),
            answer=LEASE_ANSWER_SECONDS,
            synchronous_commit="off",
        )
        self.lease.on_silent = self._silent
        self.listen = stage("listen")
        self.fanout = stage("fanout", synchronous_commit="off")
        self.examine = session("examine", synchronous_commit="off")
        self.refill = stage("refill")
        self.endpoints = stage("endpoints")
        self.bodies = stage("bodies")
        self.record = stage("record", synchronous_commit="off")
        self.upkeep = session("upkeep")
        self.statistics = session("statistics", synchronous_commit="off")
        people_timeout = min(statement_timeout, PEOPLE_TIMEOUT_SECONDS)
        people = [session(f"people-{n}", timeout=people_timeout) for n in range(PEOPLE)]
        self.people = Pool(people)
        # Who may ask at all is found out apart: what people ask for cannot hold it up.
        authenticating = session("authentication", timeout=people_timeout)
        self.authentication = Pool([authenticating])
        self._people = frozenset([*people, authenticating])

    @property
    def count(self) -> int:
        """How many connections these are, once all are open. The README states it."""
        return len(self._all)

    def counted(self) -> tuple[int, int]:
        """Return how many connections are busy with a statement, and how many are idle."""
        busy = sum(session.is_open and session.is_busy for session in self._all)
        return busy, sum(session.is_open for session in self._all) - busy

    async def close(self) -> None:
        await asyncio.gather(*(session.close() for session in self._all))

    def _silent(self) -> None:
        """The server does not answer heartbeats: it is frozen, or unreachable without a word.

        The other connections lead to the same server. They are dropped, so that their stages look
        for another at once instead of each waiting for an answer. What a person is waiting for goes
        on to its own timeout.
        """
        for session in self._all:
            if session is not self.lease and not (session in self._people and session.is_busy):
                session.drop()
