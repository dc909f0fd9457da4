"""Read how the deliveries of events went, for a list of events."""

from collections.abc import Collection, Sequence
from typing import TypedDict

from dispatcher.store.queries.history import History, Place
from dispatcher.store.rows import all_rows
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class EventOutcomeRow(TypedDict):
    """The deliveries of one event, counted by how they went.

    `place` is where the event waits for its fan-out. `retrying` are pending deliveries that were
    tried before, `waiting` those that were not. `failed_id` is the newest failed delivery.
    `is_partial` is true if not all rows were counted. Attempts with ids below `kept_from` are no
    longer kept.
    """

    id: int
    place: Place | None
    delivered: int
    failed: int
    cancelled: int
    retrying: int
    waiting: int
    failed_id: int | None
    is_partial: bool
    kept_from: int | None


class EventOutcomes:
    """The outcomes of events."""

    def __init__(self, session: Queryable) -> None:
        self._session = session
        self._history = History(session)

    async def of_events(
        self, environment_id: str, event_ids: Collection[int], rows: int
    ) -> Sequence[EventOutcomeRow]:
        """Return the outcome of each event, counting up to `rows` rows of each event and kind.

        One statement is enough, unless the events are of more days than one statement may read. An
        end is looked for in the span of days of its event, and in the next one.
        """
        outcomes: list[EventOutcomeRow] = []
        later: int | None = None
        for above, until in await self._history.spans(min(event_ids) - 1):
            of_span = [id_ for id_ in event_ids if id_ > above and (until is None or id_ <= until)]
            if of_span:
                records = await self._session.fetch(
                    statement("event_outcomes/of_events"),
                    environment_id,
                    of_span,
                    rows,
                    above,
                    later,
                )
                outcomes += all_rows(EventOutcomeRow, records)
            later = until
        return outcomes
