"""Read and write replays: jobs that send deliveries of one endpoint again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict
from uuid import UUID

from dispatcher.store.rows import all_rows, first_row
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


@dataclass(frozen=True, slots=True)
class Counted:
    """The result of counting what a replay would send.

    The count covers ids up to `position`. `complete` is true if that is everything up to `until`.
    `active` is the endpoint's. `forwards` is true if the time span ends after it begins.
    """

    active: bool
    forwards: bool
    until: datetime
    position: int
    complete: bool
    failed: int
    missed: int


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one step: how many inbox rows it made, and the replay's state after it."""

    id: int
    state: Literal["RUNNING", "DONE", "CANCELLED", "FAILED"]
    made: int


class ClaimedReplayRow(TypedDict):
    """A replay whose next step is due. `has_room` is false if that step can only wait."""

    id: int
    environment_id: str
    has_room: bool


class ReplayRow(TypedDict):
    """A replay. `reached` is the time of `position`; `rate` is in deliveries a second."""

    id: int
    environment_id: str
    endpoint_id: UUID
    since: datetime
    until: datetime
    missed: bool
    rate: int | None
    state: Literal["RUNNING", "DONE", "CANCELLED", "FAILED"]
    total: int | None
    made: int
    position: int
    next_at: datetime
    created_at: datetime
    finished_at: datetime | None
    failures: int
    error: str | None
    reached: datetime


class Replays:
    """The table of replays.

    Rows are dicts of its columns and of `reached`, the time of the position.
    """

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def count(
        self,
        environment_id: str,
        endpoint_id: UUID,
        *,
        since: datetime,
        until: datetime | None,
        position: int | None,
        missed: bool,
        look: int,
    ) -> Counted | None:
        """Count what a replay would send above `position`. Return None if the endpoint is unknown.

        At most `look` ended deliveries and events are read.
        """
        rows = await self._session.fetch(
            statement("replays/count"),
            environment_id,
            endpoint_id,
            since,
            until,
            position,
            missed,
            look,
        )
        return Counted(**rows[0]) if rows else None

    async def start(
        self,
        environment_id: str,
        endpoint_id: UUID,
        *,
        since: datetime,
        until: datetime,
        missed: bool,
        rate: int | None,
        total: int | None,
    ) -> ReplayRow | None:
        """Start a replay. Return its row, or None if one of the endpoint is already running."""
        rows = await self._session.fetch(
            statement("replays/start"),
            environment_id,
            endpoint_id,
            since,
            until,
            missed,
            rate,
            total,
        )
        return first_row(ReplayRow, rows)

    async def list(
        self, environment_id: str, endpoint_id: UUID, *, before: int | None, limit: int
    ) -> list[ReplayRow]:
        """Return at most `limit` replays with ids below `before`, newest first."""
        rows = await self._session.fetch(
            statement("replays/list"), environment_id, endpoint_id, before, limit
        )
        return all_rows(ReplayRow, rows)

    async def get(self, environment_id: str, endpoint_id: UUID, replay_id: int) -> ReplayRow | None:
        """Return one replay, or None if there is none."""
        rows = await self._session.fetch(
            statement("replays/get"), environment_id, endpoint_id, replay_id
        )
        return first_row(ReplayRow, rows)

    async def cancel(
        self, environment_id: str, endpoint_id: UUID, replay_id: int
    ) -> ReplayRow | None:
        """Cancel a running replay. Return its row, or None if it is not running."""
        rows = await self._session.fetch(
            statement("replays/cancel"), environment_id, endpoint_id, replay_id
        )
        return first_row(ReplayRow, rows)

    async def claim(
        self, *, waiting: int, pending: int, last_environment: str = ""
    ) -> ClaimedReplayRow | None:
        """Lock a replay that is due, until the transaction ends.

        Environments take turns in the order of their ids: the replay is of the first one after
        `last_environment` that has a due replay. Of its replays, it is the one that has been due
        longest. A replay has no room while its endpoint is disabled or deleted, or has `waiting`
        rows in the inbox or `pending` deliveries. Return None if no replay is due, or if other
        daemons hold all that are due.
        """
        looked_at: set[str] = set()
        environment_id = await self.next_environment(last_environment)
        while environment_id is not None and environment_id not in looked_at:
            rows = await self._session.fetch(
                statement("replays/claim"), waiting, pending, environment_id
            )
            if rows:
                return first_row(ClaimedReplayRow, rows)
            looked_at.add(environment_id)
            environment_id = await self.next_environment(environment_id)
        return None

    async def next_environment(self, last_environment: str) -> str | None:
        """Return the environment that is next after another; None if no replay is due."""
        rows = await self._session.fetch(statement("replays/next_environment"), last_environment)
        environment_id: str | None = rows[0]["environment_id"]
        return environment_id

    async def step(
        self, claimed: ClaimedReplayRow, *, look: int, make: int, waiting: int, pending: int
    ) -> Step:
        """Run one step of a replay. Call this in the transaction that has claimed it.

        If the replay has room, lock all deliveries before. Then the step reads up to `look` ended
        deliveries and events, and makes up to `make` inbox rows. It makes none while the endpoint
        has `waiting` rows in the inbox or `pending` deliveries.
        """
        rows = await self._session.fetch(
            statement("replays/step"),
            look,
            make,
            waiting,
            pending,
            claimed["id"],
            claimed["has_room"],
        )
        return Step(claimed["id"], rows[0]["state"], rows[0]["made"])

    async def bring_forward(self) -> None:
        """Make the next step of each running replay due now, after the clock was set back."""
        await self._session.fetch(statement("replays/bring_forward"))

    async def note_failure(
        self, environment_id: str, replay_id: int, error: str, limit: int
    ) -> str | None:
        """Postpone a replay whose step failed. After `limit` failures in a row it has failed.

        Return its state, or None if it is not running any more.
        """
        rows = await self._session.fetch(
            statement("replays/note_failure"), replay_id, error, limit, environment_id
        )
        return rows[0]["state"] if rows else None

    async def next(self) -> float | None:
        """Return the seconds until a replay is due, below 0 if one is due now.

        Return None if none is running.
        """
        rows = await self._session.fetch(statement("replays/next"))
        wait: float | None = rows[0]["wait"]
        return wait

    async def prune(self, keep: float, limit: int) -> int:
        """Delete up to `limit` replays that ended `keep` seconds ago. Return how many."""
        return len(await self._session.fetch(statement("replays/prune"), keep, limit))

    async def skip_dropped_events(self, below: int) -> Sequence[int]:
        """Move running replays forward to the id `below`, because older rows will be dropped.

        Return the ids of the replays that were moved.
        """
        rows = await self._session.fetch(statement("replays/skip_dropped_events"), below)
        return [row["id"] for row in rows]
