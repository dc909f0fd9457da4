"""Cache the endpoints this daemon sends to; an entry is at most a second behind its row."""

from collections.abc import Callable, Collection, Iterable, Sequence
from uuid import UUID

from dispatcher.core.model import Delivery, Endpoint, RetryPolicy
from dispatcher.encryption.cipher import Cipher, WrongKeyError
from dispatcher.encryption.endpoint_secrets import decrypt_endpoint
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queue import QueueSettings
from dispatcher.engine.loading.parking import park
from dispatcher.store.bisection import bisect
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.endpoints import Endpoints, SendingEndpointRow
from dispatcher.telemetry import observe

ENDPOINTS_LIMIT = 500
"""Endpoints read in one step: more would block the event loop, and so the heartbeats."""


class EndpointCache:
    """The endpoints in memory. The cache also opens and configures the endpoint queues.

    An endpoint is read when it is first needed, and again when it has changed. `sharers` is the
    number of daemons that send: each takes its part of an endpoint's limits. Only one daemon sends
    to an ordered endpoint, so its limits are not divided. `share_slots` is called when changes are
    read, with True if there are several environments: their endpoints may not be known here yet.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        deliveries: Deliveries,
        buffer: DeliveryBuffer,
        cipher: Cipher,
        *,
        max_in_flight: int,
        retry: RetryPolicy,
        share_slots: Callable[[bool], None],
    ) -> None:
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._buffer = buffer
        self._cipher = cipher
        self._max_in_flight = max_in_flight
        self._retry = retry
        self._share_slots = share_slots
        self._known: dict[UUID, Endpoint] = {}
        self._home_shards: dict[UUID, int] = {}
        self._deleted: set[UUID] = set()
        self._changed: list[UUID] = []
        self._next_version = 0
        self.version = 0
        self.sharers = 1

    def __getitem__(self, endpoint_id: UUID) -> Endpoint:
        return self._known[endpoint_id]

    def __len__(self) -> int:
        return len(self._known)

    def home_shard(self, endpoint_id: UUID) -> int:
        """Return the home shard of an endpoint, -1 if none is known."""
        return self._home_shards.get(endpoint_id, -1)

    def policy(self, endpoint: Endpoint) -> RetryPolicy:
        """Return the endpoint's own retry schedule, or the configured one."""
        return endpoint.retry or self._retry

    def longest_timeout(self, default: float) -> float:
        """Return the longest timeout in seconds of all known endpoints.

        `default` is the timeout of endpoints without their own.
        """
        return max((e.timeout or default for e in self._known.values()), default=default)

    async def load(self, ids: Iterable[UUID]) -> None:
        """Read the endpoints of `ids` that are not in the cache yet."""
        requested = dict.fromkeys(ids)
        while missing := [i for i in requested if i not in self._known]:
            await self._read(missing[:ENDPOINTS_LIMIT])

    async def refresh(self) -> bool:
        """Apply the next committed changes, at most ENDPOINTS_LIMIT.

        Return True if none are left; then `version` is the version of the last change.
        """
        if not self._changed:
            changes = await self._endpoints.changed_since(self.version)
            self._share_slots(changes.has_several_environments)
            self._next_version = changes.version
            self._changed = [i for i in changes.ids if i in self._known]
        batch, self._changed = self._changed[:ENDPOINTS_LIMIT], self._changed[ENDPOINTS_LIMIT:]
        try:
            if batch:
                await self._read(batch)
        except BaseException:
            self._changed = []  # the next call starts with all changes again
            raise
        if self._changed:
            return False
        if self._deleted:
            self._forget()
        self.version = self._next_version
        return True

    async def share_limits(self, others: int) -> None:
        """Divide the limits of endpoints by the number of daemons that send: `others` + 1."""
        if self.sharers != others + 1:
            self.sharers = others + 1
            await self._configure(self._known)

    async def _read(self, ids: Collection[UUID]) -> None:
        rows, unreadable = await self._rows(list(ids))
        for endpoint_id in ids:
            if endpoint_id in rows:
                self._store(rows[endpoint_id])
                continue
            if endpoint_id not in unreadable:
                observe.endpoints.missing(endpoint_id)
            self._known[endpoint_id] = _unusable(endpoint_id)
        await self._configure(ids)

    def _store(self, row: SendingEndpointRow) -> None:
        self._known[row["id"]] = self._endpoint(row)
        self._home_shards[row["id"]] = row["home_shard"]
        if row["deleted"]:
            self._deleted.add(row["id"])

    async def _rows(self, ids: Sequence[UUID]) -> tuple[dict[UUID, SendingEndpointRow], set[UUID]]:
        """Return the existing rows by id, and the ids of rows that cannot be read."""
        rows: dict[UUID, SendingEndpointRow] = {}
        unreadable: set[UUID] = set()

        async def read(batch: Sequence[UUID]) -> None:
            rows.update({row["id"]: row for row in await self._endpoints.for_sending(batch)})

        def refuse(endpoint_id: UUID, error: Exception) -> None:
            observe.endpoints.malformed(endpoint_id, error)
            unreadable.add(endpoint_id)

        await bisect(ids, read, refuse)
        return rows, unreadable

    def _forget(self) -> None:
        """Remove deleted endpoints without deliveries in memory. Otherwise the cache only grows."""
        for endpoint_id in self._buffer.forget(self._deleted):
            self._deleted.discard(endpoint_id)
            del self._known[endpoint_id]
            self._home_shards.pop(endpoint_id, None)

    async def _configure(self, ids: Iterable[UUID]) -> None:
        to_park: list[Delivery] = []
        for endpoint in (self._known[i] for i in ids):
            settings = QueueSettings(
                limit=self._limit(endpoint),
                environment_id=endpoint.environment_id,
                is_stopped=not endpoint.may_send,
                is_ordered=endpoint.ordered,
                is_failing=endpoint.is_failing,
                stored_rest=endpoint.resting_until or 0.0,
                interval=self._interval(endpoint),
            )
            to_park += self._buffer.configure(endpoint.id, settings)
        await park(self._deliveries, self._buffer, to_park)

    def _limit(self, endpoint: Endpoint) -> int:
        if endpoint.ordered:
            return 1
        return max(1, (endpoint.max_in_flight or self._max_in_flight) // self.sharers)

    def _interval(self, endpoint: Endpoint) -> float:
        if endpoint.rate_limit is None:
            return 0.0
        return (1 if endpoint.ordered else self.sharers) / endpoint.rate_limit

    def _endpoint(self, row: SendingEndpointRow) -> Endpoint:
        """Return the endpoint of a row, or an inactive one if the row cannot be understood.

        Otherwise deliveries could be sent unsigned, or to a wrong place. They wait for a repair.
        """
        try:
            return decrypt_endpoint(row, self._cipher, self._retry)
        except WrongKeyError:
            observe.endpoints.secret_unreadable(row["id"])
        except (TypeError, ValueError) as error:
            observe.endpoints.malformed(row["id"], error)
        return _unusable(row["id"], row["environment_id"], ordered=row["ordered"])


def _unusable(endpoint_id: UUID, environment_id: str = "", *, ordered: bool = False) -> Endpoint:
    """Return an inactive endpoint, in place of one that is missing or unreadable."""
    return Endpoint(
        id=endpoint_id,
        environment_id=environment_id,
        url="",
        may_send=False,
        ordered=ordered,
        secret="",
        previous_secret=None,
        previous_until=None,
        headers={},
        schemes=None,
        max_in_flight=None,
        timeout=None,
        retry=None,
        resting_until=None,
    )
