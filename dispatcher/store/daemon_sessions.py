"""Hold all connections of one daemon.

Each stage that an event passes has its own connection. Otherwise it would wait for the statement of
another stage. The periodic stages share `upkeep` and `statistics`; the backstop uses that of the
fan-out.
"""

import asyncio

from dispatcher.store.connection.plan_settings import plan_settings
from dispatcher.store.errors import StoreError, StoreUnavailableError
from dispatcher.store.pool import Pool
from dispatcher.store.session import Session

PEOPLE = 4
"""Connections for what people ask for: more of them would only share the same server."""
PEOPLE_LOCK_MS = "1000"
"""Shorter than the wait for a connection: requests that wait for a lock, such as one that an
application's open transaction holds on an idempotency key, must not keep all connections from
others."""
PEOPLE_TIMEOUT_SECONDS = 5.0
"""Longest statement for a request, unless database.statement_timeout is shorter.

Other requests wait for the same connection.
"""

LEASE_ANSWER_SECONDS = 2.0
"""How long to wait for the answer to a heartbeat.

After 1 s an answer no longer helps. If this session gets no answer, the whole server is silent.
"""
STAGE_STATEMENT_SECONDS = 2.0
STAGE_ANSWER_SECONDS = 3.0
"""Limits for the stages that sending depends on.

Their statements ask for little, and for less after a timeout. So a frozen server process or a dead
connection is noticed soon.
"""


class DaemonSessions:
    """The sessions of one daemon. Each opens its connection when it is first used.

    `statement_timeout` is in seconds and limits every statement.

    Some sessions turn synchronous_commit off. There, a crash of PostgreSQL loses less than a second
    of work that the daemon can do again. It never loses an event.
    """

    def __init__(self, dsn: str, *, statement_timeout: float) -> None:
        self._dsn = dsn
        self._statement_timeout = statement_timeout
        self._all: list[Session] = []
        self.lease = self._session(
            "lease",
            timeout=LEASE_ANSWER_SECONDS,
            answer_timeout=LEASE_ANSWER_SECONDS,
            synchronous_commit="off",
        )
        self.lease.on_silent = self._silent
        self.listen = self._stage("listen", synchronous_commit="off")
        self.fanout = self._stage("fanout", synchronous_commit="off")
        self.schema_check = self._session("schema_check", synchronous_commit="off")
        self.load = self._stage("load")
        self.endpoints = self._stage("endpoints")
        self.bodies = self._stage("bodies")
        self.record = self._stage("record", synchronous_commit="off")
        self.upkeep = self._session("upkeep")
        self.statistics = self._session("statistics", synchronous_commit="off")
        people = [self._request(f"people-{n}", lock_timeout=PEOPLE_LOCK_MS) for n in range(PEOPLE)]
        self.people = Pool(people)
        # Authentication has its own connection. Otherwise busy requests would hold up every login.
        authenticating = self._request("authentication")
        self.authentication = Pool([authenticating])
        self._people = frozenset([*people, authenticating])

    def _stage(self, name: str, **settings: str) -> Session:
        """Return a session for a stage that sending depends on."""
        return self._session(
            name,
            timeout=STAGE_STATEMENT_SECONDS,
            answer_timeout=STAGE_ANSWER_SECONDS,
            **settings,
        )

    def _request(self, name: str, **settings: str) -> Session:
        """Return a session for requests of people."""
        return self._session(name, timeout=PEOPLE_TIMEOUT_SECONDS, answer_timeout=None, **settings)

    def _session(
        self,
        name: str,
        *,
        timeout: float | None = None,
        answer_timeout: float | None = None,
        **settings: str,
    ) -> Session:
        """Return a new session. `timeout` in seconds can only shorten the statement timeout."""
        longest = self._statement_timeout
        session = Session(
            self._dsn,
            name,
            statement_timeout=longest if timeout is None else min(longest, timeout),
            answer_timeout=answer_timeout,
            connect_timeout=longest,
            settings={**plan_settings(name), **settings},
        )
        self._all.append(session)
        return session

    @property
    def count(self) -> int:
        """Return how many connections these are at most. The README states this number."""
        return len(self._all)

    def counted(self) -> tuple[int, int]:
        """Return how many connections run a statement, and how many are idle."""
        busy = sum(session.is_open and session.is_busy for session in self._all)
        return busy, sum(session.is_open for session in self._all) - busy

    async def open_all(self) -> None:
        """Open every connection that is not open yet.

        Raise StoreError, which says how many could be opened: a limit that only shows when
        it is reached, such as a pooler's, would otherwise be noticed by the stage that comes last.
        """
        closed = [session for session in self._all if not session.is_open]
        results = await asyncio.gather(*(s.open() for s in closed), return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException) and not isinstance(error, StoreError):
                raise error
        failures = [error for error in results if isinstance(error, StoreError)]
        if failures:
            had = self.count - len(failures)
            raise StoreUnavailableError(
                f"{had} of {self.count} connections could be opened ({failures[0]}): let the role,"
                " the database, the server and a pooler before it (pool_size) allow all of them"
            )

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(session.close() for session in self._all))

    def _silent(self) -> None:
        """Drop the other connections, because the server does not answer heartbeats.

        It is frozen or unreachable, and the other connections lead to the same server. Their stages
        then reconnect at once. Otherwise each would wait for its own timeout. A request in progress
        keeps its connection until its own timeout.
        """
        for session in self._all:
            if session is not self.lease and not (session in self._people and session.is_busy):
                session.drop()
