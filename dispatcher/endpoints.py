"""The endpoints this daemon sends to, as they were at most a second ago."""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

import orjson

from dispatcher import observe
from dispatcher.crypto import Cipher, WrongKey
from dispatcher.model import Endpoint, RetryPolicy
from dispatcher.pending import Pending
from dispatcher.store.deliveries import Deliveries
from dispatcher.store.endpoints import Endpoints


class KnownEndpoints:
    """Read when first needed, read again when changed; opens and changes their lanes.

    `sharers` is the number of daemons that send: each takes its part of an endpoint's in-flight
    limit, except for an ordered endpoint, which has one owner.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        deliveries: Deliveries,
        pending: Pending,
        cipher: Cipher,
        *,
        max_in_flight: int,
        retry: RetryPolicy,
    ) -> None:
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._pending = pending
        self._cipher = cipher
        self._max_in_flight = max_in_flight
        self._retry = retry
        self._known: dict[UUID, Endpoint] = {}
        self._homes: dict[UUID, int] = {}
        self.version = 0
        self.sharers = 1

    def __getitem__(self, endpoint_id: UUID) -> Endpoint:
        return self._known[endpoint_id]

    def __len__(self) -> int:
        return len(self._known)

    def home(self, endpoint_id: UUID) -> int:
        """The shard of an ordered endpoint's deliveries."""
        return self._homes[endpoint_id]

    def policy(self, endpoint: Endpoint) -> RetryPolicy:
        return endpoint.retry or self._retry

    def longest_timeout(self, default: float) -> float:
        """Of all attempts that may be under way; `default` is that of endpoints without their own."""
        return max((e.timeout or default for e in self._known.values()), default=default)

    async def know(self, ids: Iterable[UUID]) -> None:
        """Read those of `ids` that are not known yet."""
        missing = [i for i in dict.fromkeys(ids) if i not in self._known]
        if missing:
            await self._read(missing)

    async def refresh(self) -> None:
        """Act on every change committed so far; `version` tells afterwards which was the last."""
        version, changed = await self._endpoints.changed_since(self.version)
        changed = [i for i in changed if i in self._known]
        if changed:
            await self._read(changed)
        self.version = version

    async def share_with(self, others: int) -> None:
        if self.sharers != others + 1:
            self.sharers = others + 1
            # What is known of a pause may be older than what the lane itself was told.
            await self._configure(self._known, keep_pauses=True)

    async def _read(self, ids: Collection[UUID]) -> None:
        for row in await self._endpoints.with_ids(ids):
            endpoint = self._endpoint(row)
            self._known[endpoint.id] = endpoint
            self._homes[endpoint.id] = row["home_shard"]
        await self._configure(ids)

    async def _configure(self, ids: Iterable[UUID], *, keep_pauses: bool = False) -> None:
        evicted = []
        for endpoint in (self._known[i] for i in ids):
            evicted += self._pending.configure(
                endpoint.id,
                limit=self._limit(endpoint),
                holding=not endpoint.active,
                ordered=endpoint.ordered,
                paused_until=None if keep_pauses else endpoint.paused_until or 0.0,
            )
        if evicted:
            try:
                await self._deliveries.park([d.id for d in evicted], self._pending.owned)
            except BaseException:
                self._pending.leave(evicted)
                raise

    def _limit(self, endpoint: Endpoint) -> int:
        if endpoint.ordered:
            return 1
        return max(1, (endpoint.max_in_flight or self._max_in_flight) // self.sharers)

    def _endpoint(self, row: dict[str, Any]) -> Endpoint:
        context = row["id"].bytes
        try:
            secret = self._cipher.decrypt(row["secret"], context=context).decode()
            previous = row["previous_secret"] and self._cipher.decrypt(
                row["previous_secret"], context=context
            )
            headers = row["headers"] and self._cipher.decrypt(row["headers"], context=context)
            readable = True
        except WrongKey:
            # Never an unsigned POST: its deliveries are held until the row is put right.
            observe.secret_unreadable(row["id"])
            secret, previous, headers, readable = "", None, None, False
        timeout_ms, retry = row["timeout_ms"], row["retry"]
        return Endpoint(
            id=row["id"],
            environment_id=row["environment_id"],
            url=row["url"],
            active=row["active"] and not row["deleted"] and readable,
            deleted=row["deleted"],
            ordered=row["ordered"],
            secret=secret,
            previous_secret=previous.decode() if previous else None,
            previous_until=row["previous_until"],
            headers=orjson.loads(headers) if headers else {},
            schemes=tuple(row["signature_schemes"]) if row["signature_schemes"] else None,
            max_in_flight=row["max_in_flight"],
            timeout=timeout_ms / 1000 if timeout_ms else None,
            retry=RetryPolicy(**orjson.loads(retry)) if retry else None,
            paused_until=row["paused_until"],
            failing=row["failing"],
        )
