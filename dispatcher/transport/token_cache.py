"""Keep access tokens, shared out between environments. Pure: times are arguments."""

from collections import OrderedDict
from typing import NamedTuple
from uuid import UUID

from dispatcher.core.credentials import OAuth2Client
from dispatcher.core.model import SendError
from dispatcher.transport.environment_shares import EnvironmentShares

OVERHEAD_BYTES = 1024
"""Memory for a kept result besides its text: its key with the client's credentials, and the
entry."""


class TokenKey(NamedTuple):
    """The key of a token. Changed credentials make another client, so they never share a token."""

    endpoint_id: UUID
    client: OAuth2Client


class FetchedToken(NamedTuple):
    """The result of a fetch, used until `until` (monotonic seconds)."""

    result: str | SendError
    until: float

    def __repr__(self) -> str:
        return "FetchedToken()"  # the debug mode of asyncio logs the result of a task

    @property
    def size(self) -> int:
        """Return the memory it takes, in bytes."""
        text = self.result if isinstance(self.result, str) else self.result.reason
        return OVERHEAD_BYTES + len(text)


class TokenCache:
    """At most `limit` results, of at most `limit_bytes`.

    Beyond one of these limits, the environment with the most bytes loses the result that has been
    unused for the longest time.
    """

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._kept: dict[str, OrderedDict[TokenKey, FetchedToken]] = {}
        self._bytes = EnvironmentShares()

    def __len__(self) -> int:
        """Return how many results are kept."""
        return sum(map(len, self._kept.values()))

    def get(self, environment_id: str, key: TokenKey, now: float) -> str | SendError | None:
        """Return the result if it is kept and still used, else None."""
        kept = self._find(environment_id, key)
        if kept is None or now >= kept.until:
            return None
        self._kept[environment_id].move_to_end(key)
        return kept.result

    def keep(self, environment_id: str, key: TokenKey, fetched: FetchedToken) -> None:
        """Keep a result in place of an earlier one of this key."""
        self._remove(environment_id, key)
        self._kept.setdefault(environment_id, OrderedDict())[key] = fetched
        self._bytes.add(environment_id, fetched.size)
        while len(self) > self._limit or self._bytes.total > self._limit_bytes:
            largest = self._bytes.largest()
            self._remove(largest, next(iter(self._kept[largest])))

    def discard(self, environment_id: str, key: TokenKey, token: str) -> None:
        """Remove a token, unless another result has replaced it."""
        kept = self._find(environment_id, key)
        if kept is not None and kept.result == token:
            self._remove(environment_id, key)

    def _find(self, environment_id: str, key: TokenKey) -> FetchedToken | None:
        of_environment = self._kept.get(environment_id)
        return None if of_environment is None else of_environment.get(key)

    def _remove(self, environment_id: str, key: TokenKey) -> None:
        removed = self._find(environment_id, key)
        if removed is None:
            return
        kept = self._kept[environment_id]
        del kept[key]
        self._bytes.add(environment_id, -removed.size)
        if not kept:
            del self._kept[environment_id]
