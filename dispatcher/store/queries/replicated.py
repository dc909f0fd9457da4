"""Adopt events that were inserted without the ordinary triggers."""

from collections.abc import Sequence

from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class Replicated:
    """The events that arrived in the replica role."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def adopt(
        self, *, after_seconds: float, limit: int, too_old_below: int
    ) -> Sequence[tuple[int, str]]:
        """Decide about up to `limit` events of the replica role that came over `after_seconds` ago.

        Return the ids and what became of them: their place, `inbox`, `schema_check` (the type has
        an enforced schema) or `quarantine`; `known` (its deliveries were replicated too) or
        `too_old` (the id is below `too_old_below`).
        """
        rows = await self._session.fetch(
            statement("replicated/adopt"), after_seconds, limit, too_old_below
        )
        return [(row["event_id"], row["fate"]) for row in rows]
