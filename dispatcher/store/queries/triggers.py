"""Check that the triggers of the events table are enabled."""

from collections.abc import Sequence

from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class Triggers:
    """The triggers of the events table."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def silent(self) -> Sequence[str]:
        """Return the triggers that do not fire when they should; normally none.

        Each is a `trigger` of the table of events, a `trigger on table` of one of its partitions,
        or a `trigger (dropped)`.
        """
        return [row["name"] for row in await self._session.fetch(statement("triggers/silent"))]
