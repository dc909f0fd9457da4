"""Sums of what was sent, by endpoint and by environment, and how much is owed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement

ALL: Final = "*"
"""In place of an environment: all of them."""


class Sums(NamedTuple):
    """`durations` counts attempts as in `histogram`."""

    attempts: int
    failures: int
    delivered: int
    exhausted: int
    duration_ms: int
    durations: Sequence[int]


class Statistics:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def add_of_endpoints(self, sums: Mapping[UUID, Sums]) -> None:
        """To the half hour that it is now."""
        await self._session.fetch(
            statement("statistics/add_of_endpoints"), list(sums), *_columns(sums.values())
        )

    async def add_of_environments(self, sums: Mapping[str, Sums]) -> None:
        """To the ten seconds, and the ten minutes, that it is now."""
        await self._session.fetch(
            statement("statistics/add_of_environments"), list(sums), *_columns(sums.values())
        )

    async def prune(self, most: int) -> int:
        """Remove what is too old, so many rows of each kind at the most; of which it was most."""
        rows = await self._session.fetch(statement("statistics/prune"), most)
        removed: int = rows[0]["most"]
        return removed

    async def of_endpoints(
        self, environment_id: str, ids: Collection[UUID], half_hours: int, most: int
    ) -> Sequence[Mapping[str, Any]]:
        """`id slots attempts failures durations pending` of those that the environment has; the
        slots are half hours, the last of them now; None where nothing was sent. Of pending ones no
        more than `most` are counted."""
        rows = await self._session.fetch(
            statement("statistics/of_endpoints"), environment_id, list(ids), half_hours, most
        )
        return [dict(row) for row in rows]

    async def series(
        self, environment_id: str, span: int, width: int, points: int
    ) -> Sequence[Mapping[str, Any]]:
        """`at attempts failures delivered exhausted durations` of the last `points` times `width` seconds,
        where something was sent, from buckets of `span` seconds."""
        rows = await self._session.fetch(
            statement("statistics/series"), environment_id, span, width, points
        )
        return [dict(row) for row in rows]

    async def speed(self, environment_id: str) -> Mapping[str, Any]:
        """`delivered` in the last `seconds`, about a minute; and the time, `now`."""
        rows = await self._session.fetch(statement("statistics/speed"), environment_id)
        return dict(rows[0])

    async def backlog(self, environment_id: str, most: int) -> Mapping[str, Any]:
        """`webhooks disabled inbox pending oldest quarantined paused_at all_paused_at`; no count is
        larger than `most`."""
        rows = await self._session.fetch(statement("statistics/backlog"), environment_id, most)
        return dict(rows[0])

    async def backlog_of_all(self, most: int) -> Mapping[str, Any]:
        """As `backlog`, of all environments together."""
        rows = await self._session.fetch(statement("statistics/backlog_of_all"), most)
        return dict(rows[0])

    async def bound(self, milliseconds: int) -> None:
        """Let no further statement of this transaction take longer."""
        await self._session.fetch(statement("statistics/bound"), milliseconds)

    async def pending_by_state(self, most: int) -> Sequence[Mapping[str, Any]]:
        """Return `environment_id state deliveries oldest more` for each environment and state with
        pending deliveries; `most` of each kind are looked at, and `more` says that there are more."""
        rows = await self._session.fetch(statement("statistics/pending_by_state"), most)
        return [dict(row) for row in rows]

    async def pending_of_environment(
        self, environment_id: str, most: int
    ) -> Sequence[Mapping[str, Any]]:
        """Return the same of one environment."""
        rows = await self._session.fetch(
            statement("statistics/pending_of_environment"), environment_id, most
        )
        return [dict(row) for row in rows]

    async def figures(self, environment_id: str | None, most: int) -> Mapping[str, Any]:
        """Return `now active disabled failing inbox inbox_more inbox_oldest quarantined all_paused_at
        paused_at paused_environments`, of all environments for None; rows are counted up to `most`."""
        rows = await self._session.fetch(statement("statistics/figures"), environment_id, most)
        return dict(rows[0])


def _columns(sums: Iterable[Sums]) -> list[list[Any]]:
    *numbers, durations = ([*column] for column in zip(*sums, strict=True))
    return [*numbers, [f"{{{','.join(map(str, each))}}}" for each in durations]]
