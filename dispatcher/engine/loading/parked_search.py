"""Search for endpoints with parked rows, as other daemons park rows too.

Usually one statement finds them all. If it takes too long, as an old snapshot keeps the rows of
ended deliveries, the endpoints are searched in pieces, by their ids.
"""

from time import monotonic
from uuid import UUID

from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.engine.loading.pieces import Pieces
from dispatcher.store.errors import StatementTimeoutError
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.telemetry import observe

RESCAN_SECONDS = 5.0
"""Time between two searches."""
RESCAN_SHARED_SECONDS = 1.0
"""The same beside other daemons, as their notifications of what they park may be lost."""
RESCAN_NOTIFIED_SECONDS = 0.1
"""The same after such a notification, or longer if the search itself takes long."""
RESCAN_PART_LIMIT = 0.1
"""Largest part of the time that a search after a notification may take."""
PASS_SECONDS = 0.2
"""A search that takes longer goes on in the next pass of the loader."""
RESCAN_PAUSE = 4.0
"""From the start of such a search to the next, at least this many times its length must pass."""
ALL_IDS = 1 << 128
"""Ids of endpoints are below this number."""
SMALLEST = ALL_IDS >> 12
"""Smallest part of the ids that is searched by itself: a smaller one hardly has fewer endpoints."""


class ParkedSearch:
    """The search for endpoints with parked rows."""

    def __init__(
        self, deliveries: Deliveries, buffer: DeliveryBuffer, endpoints: EndpointCache
    ) -> None:
        self._deliveries = deliveries
        self._buffer = buffer
        self._endpoints = endpoints
        self._pieces = Pieces(smallest=SMALLEST)
        self._began_at = float("-inf")
        self._seconds = 0.0
        self._took = 0.0
        self._is_wanted = False
        self._is_notified = False

    def note_parked(self) -> None:
        """Search soon: another daemon has parked rows."""
        self._is_notified = True

    def search_now(self) -> None:
        """Search at once: the parked rows of a new shard are not known yet."""
        self._is_wanted = True

    @property
    def interval(self) -> float:
        """Return the seconds between two searches."""
        usual = RESCAN_SECONDS if self._endpoints.sharers == 1 else RESCAN_SHARED_SECONDS
        if self._is_notified:
            usual = min(usual, max(RESCAN_NOTIFIED_SECONDS, self._took / RESCAN_PART_LIMIT))
        return max(usual, self._took * RESCAN_PAUSE if self._took > PASS_SECONDS else 0.0)

    async def run_once(self) -> bool:
        """Search for at most PASS_SECONDS, if a search is due or under way.

        Return False: the loader need not run again at once. A search that times out ends the pass.
        Raise StoreError, or StatementTimeoutError of the read of endpoints.
        """
        began = monotonic()
        if self._pieces.current is None:
            if not self._is_wanted and began - self._began_at < self.interval:
                return False
            self._is_wanted = self._is_notified = False
            self._began_at, self._seconds = began, 0.0
            self._pieces.begin(ALL_IDS)
        while (piece := self._pieces.current) and monotonic() - began < PASS_SECONDS:
            if not await self._search(*piece):
                break
        if self._pieces.current is None:
            self._took = self._seconds
        return False

    async def _search(self, begin: int, end: int) -> bool:
        """Search a piece; return False if that took too long."""
        began = monotonic()
        try:
            endpoint_ids = await self._deliveries.parked_endpoints(
                UUID(int=begin), UUID(int=end - 1)
            )
        except StatementTimeoutError as error:
            self._seconds += monotonic() - began
            self._pieces.note_timeout()
            observe.stages.database_failed("load", error, 0.0)
            return False
        seconds = monotonic() - began
        await self._endpoints.load(endpoint_ids)
        self._buffer.parked.note(endpoint_ids)
        self._seconds += seconds
        self._pieces.note_read(seconds)
        return True
