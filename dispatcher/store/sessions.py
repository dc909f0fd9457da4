"""All connections of one daemon: one a stage, so that no stage waits for another's statement."""

import asyncio

from dispatcher.store.pool import Pool
from dispatcher.store.session import Session

PEOPLE = 4
"""Connections for what people ask for: more of them would only share the same server."""
PEOPLE_TIMEOUT_SECONDS = 5.0
"""Longest statement of theirs, unless database.statement_timeout is shorter: others wait for it."""


class Sessions:
    """Opened when first used. `statement_timeout` is in seconds.

    Where synchronous_commit is off, a crash of PostgreSQL loses under a second of what the daemon
    can do again: never an event.
    """

    def __init__(self, dsn: str, *, statement_timeout: float) -> None:
        self._all: list[Session] = []

        def session(name: str, timeout: float = statement_timeout, **settings: str) -> Session:
            opened = Session(dsn, name, statement_timeout=timeout, settings=settings)
            self._all.append(opened)
            return opened

        def person(name: str) -> Session:
            timeout = min(statement_timeout, PEOPLE_TIMEOUT_SECONDS)
            return session(name, timeout, plan_cache_mode="force_custom_plan")

        self.lease = session("lease", synchronous_commit="off")
        self.listen = session("listen")
        self.fanout = session("fanout", synchronous_commit="off")
        self.examine = session(
            "examine", synchronous_commit="off", plan_cache_mode="force_custom_plan"
        )
        self.refill = session("refill")
        self.endpoints = session("endpoints")
        self.bodies = session("bodies", plan_cache_mode="force_custom_plan")  # prunes partitions
        self.record = session("record", synchronous_commit="off")
        self.upkeep = session("upkeep", plan_cache_mode="force_custom_plan")
        self.statistics = session("statistics", synchronous_commit="off")
        self.people = Pool([person(f"people-{n}") for n in range(PEOPLE)])
        # Whoever may ask at all is found out apart: what people ask for cannot hold it up.
        self.authentication = Pool([person("authentication")])

    async def close(self) -> None:
        await asyncio.gather(*(session.close() for session in self._all))
