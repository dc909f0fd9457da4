"""Read and write sums of attempts by endpoint and by environment, and the size of the backlog."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypedDict
from uuid import UUID

from dispatcher.store.rows import all_rows, only_row
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class Sums(NamedTuple):
    """Sums over attempts. `durations` counts attempts by the bins of `core/histogram.py`."""

    attempts: int
    failed_attempts: int
    delivered: int
    failed: int
    duration_ms: int
    durations: Sequence[int]


class BacklogRow(TypedDict):
    """The backlog of one environment, or of all."""

    webhooks: int
    disabled: int
    inbox: int
    pending: int
    oldest: datetime | None
    quarantined: int
    all_paused_at: datetime | None
    paused_at: datetime | None


class FiguresRow(TypedDict):
    """Figures of one environment, or of all."""

    now: datetime
    active: int
    disabled: int
    failing: int
    inbox: int
    inbox_more: bool
    inbox_oldest: datetime | None
    quarantined: int
    all_paused_at: datetime | None
    paused_at: datetime | None


class EndpointSumsRow(TypedDict):
    """What was sent to an endpoint. The lists are None if nothing was sent.

    `attempts` and `failed_attempts` are those of the half hours `slots`. `durations` is the sum of
    all these half hours.
    """

    id: UUID
    slots: list[int] | None
    attempts: list[int] | None
    failed_attempts: list[int] | None
    durations: list[int] | None
    pending: int


class PendingRow(TypedDict):
    """How many deliveries of an environment are in a state. `more` is true if not all were read."""

    environment_id: str
    state: str
    deliveries: int
    oldest: datetime | None
    more: bool


class IntervalRow(TypedDict):
    """What was sent in the interval that begins at `at`."""

    at: datetime
    attempts: int
    failed_attempts: int
    delivered: int
    failed: int
    durations: list[int]


class BacklogSampleRow(TypedDict):
    """The largest numbers of pending deliveries in the interval that begins at `at`."""

    at: datetime
    due: int
    scheduled: int
    held: int
    lag_seconds: float


class SpeedRow(TypedDict):
    """How many were delivered in the last `seconds`, and the database's time."""

    delivered: int
    seconds: float
    now: datetime


class Statistics:
    """The statistics and the counts of what waits."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def add_of_endpoints(self, sums: Mapping[UUID, Sums]) -> None:
        """Add the sums to the current half hour."""
        await self._session.fetch(
            statement("statistics/add_of_endpoints"), list(sums), *_columns(sums.values())
        )

    async def add_of_environments(self, sums: Mapping[str, Sums]) -> None:
        """Add the sums to the current ten seconds and to the current ten minutes."""
        await self._session.fetch(
            statement("statistics/add_of_environments"), list(sums), *_columns(sums.values())
        )

    async def prune(self, limit: int) -> int:
        """Delete old rows, up to `limit` of each kind. Return the largest number of one kind."""
        rows = await self._session.fetch(statement("statistics/prune"), limit)
        removed: int = rows[0]["most"]
        return removed

    async def of_endpoints(
        self, environment_id: str, ids: Collection[UUID], half_hours: int, limit: int
    ) -> Sequence[EndpointSumsRow]:
        """Return sums and pending deliveries of the environment's endpoints.

        `slots` are numbers of half hours; the last one is now. The lists are None if nothing was
        sent. `pending` counts up to `limit` deliveries.
        """
        rows = await self._session.fetch(
            statement("statistics/of_endpoints"), environment_id, list(ids), half_hours, limit
        )
        return all_rows(EndpointSumsRow, rows)

    async def series(
        self, environment_id: str, span: int, width: int, points: int
    ) -> Sequence[IntervalRow]:
        """Return what was sent in the last `points` intervals of `width` seconds.

        The keys are `at attempts failed_attempts delivered failed durations`. Intervals without
        attempts are left out. The source is the buckets of `span` seconds.
        """
        rows = await self._session.fetch(
            statement("statistics/series"), environment_id, span, width, points
        )
        return all_rows(IntervalRow, rows)

    async def speed(self, environment_id: str) -> SpeedRow:
        """Return `delivered` in the last `seconds`, about a minute, and the current time `now`."""
        rows = await self._session.fetch(statement("statistics/speed"), environment_id)
        return only_row(SpeedRow, rows)

    async def backlog(self, environment_id: str, limit: int) -> BacklogRow:
        """Return the backlog of an environment. No count is larger than `limit`.

        The keys are `webhooks disabled inbox pending oldest quarantined paused_at all_paused_at`.
        """
        rows = await self._session.fetch(statement("statistics/backlog"), environment_id, limit)
        return only_row(BacklogRow, rows)

    async def backlog_of_all(self, limit: int) -> BacklogRow:
        """Return the backlog of all environments together, as `backlog` does."""
        rows = await self._session.fetch(statement("statistics/backlog_of_all"), limit)
        return only_row(BacklogRow, rows)

    async def pending_by_state(self, limit: int) -> Sequence[PendingRow]:
        """Return `environment_id state deliveries oldest more` for each environment and state.

        At most `limit` deliveries of each kind are read. `more` is true if there are more.
        """
        rows = await self._session.fetch(statement("statistics/pending_by_state"), limit)
        return all_rows(PendingRow, rows)

    async def pending_of_environment(self, environment_id: str, limit: int) -> Sequence[PendingRow]:
        """Return the pending deliveries of one environment, as `pending_by_state` does."""
        rows = await self._session.fetch(
            statement("statistics/pending_of_environment"), environment_id, limit
        )
        return all_rows(PendingRow, rows)

    async def figures(self, environment_id: str | None, limit: int) -> FiguresRow:
        """Return figures of one environment, or of all environments for None.

        The keys are `now active disabled failing inbox inbox_more inbox_oldest quarantined
        all_paused_at paused_at`. Rows are counted up to `limit`, endpoints up to ten times that.
        """
        rows = await self._session.fetch(statement("statistics/figures"), environment_id, limit)
        return only_row(FiguresRow, rows)

    async def sample_backlog(self, limit: int) -> None:
        """Keep how much is pending this minute, reading up to `limit` deliveries of each kind."""
        await self._session.fetch(statement("statistics/sample_backlog"), limit)

    async def backlog_series(
        self, environment_id: str, width: int, points: int
    ) -> Sequence[BacklogSampleRow]:
        """Return what was pending in the last `points` intervals of `width` seconds.

        Intervals in which no daemon ran are left out.
        """
        rows = await self._session.fetch(
            statement("statistics/backlog_series"), environment_id, width, points
        )
        return all_rows(BacklogSampleRow, rows)


def _columns(sums: Iterable[Sums]) -> list[list[object]]:
    *numbers, durations = ([*column] for column in zip(*sums, strict=True))
    return [*numbers, [f"{{{','.join(map(str, histogram))}}}" for histogram in durations]]
