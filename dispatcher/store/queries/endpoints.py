"""Read and write endpoints, their subscriptions and their health."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from time import time
from typing import NamedTuple, TypedDict
from uuid import UUID

from dispatcher.core.ids import LARGEST_ID, days_before
from dispatcher.core.model import ClockSetBack
from dispatcher.store.queries.history import DAYS_AT_ONCE_LIMIT
from dispatcher.store.rows import all_rows, first_row
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement

NAMED = ("name", "description", "url", "active")
SETTINGS = (
    "headers",
    "signature_schemes",
    "max_in_flight",
    "rate_limit",
    "timeout_ms",
    "retry",
    "metadata",
)
CREDENTIALS = ("authentication", "authentication_sealed", "tls", "tls_sealed")
"""Columns that are NULL if `columns` does not have them."""


class EndpointChanges(NamedTuple):
    """The current version, the changed endpoints, and if there is more than one environment."""

    version: int
    ids: list[UUID]
    has_several_environments: bool


class EndpointRow(TypedDict):
    """An endpoint's public fields. Some are JSON: `retry metadata authentication tls`.

    `headers` are encrypted.
    """

    id: UUID
    environment_id: str
    name: str
    description: str
    url: str
    active: bool
    disabled_reason: str | None
    ordered: bool
    headers: bytes | None
    signature_schemes: list[str] | None
    max_in_flight: int | None
    rate_limit: int | None
    timeout_ms: int | None
    retry: str | None
    metadata: str
    authentication: str | None
    tls: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    previous_until: datetime | None
    resting_until: datetime | None
    failing_since: datetime | None
    events: list[str]


class EndpointNameRow(TypedDict):
    """What people call an endpoint."""

    id: UUID
    name: str
    url: str
    active: bool
    deleted: bool


class UnwellEndpointRow(TypedDict):
    """An endpoint that only fails, or that was disabled by the daemon, with its last error.

    `number` is how many such endpoints there are. `pending` counts up to 1,001.
    """

    id: UUID
    environment_id: str
    name: str
    active: bool
    disabled_reason: str | None
    failing_since: datetime | None
    number: int
    pending: int
    status: int | None
    outcome: str | None
    error: str | None


class SealedEndpointRow(EndpointRow):
    """An endpoint's public fields, and its encrypted credentials, which an update writes again."""

    authentication_sealed: bytes | None
    tls_sealed: bytes | None


class SendingEndpointRow(TypedDict):
    """Everything that sending needs to know about an endpoint. Times are seconds of the epoch.

    `may_send` is False while the endpoint is disabled, and while sending is paused for it.
    `secret`, `previous_secret`, `headers` and the `_sealed` columns are encrypted.
    """

    id: UUID
    environment_id: str
    url: str
    may_send: bool
    deleted: bool
    ordered: bool
    home_shard: int
    secret: bytes
    previous_secret: bytes | None
    previous_until: float | None
    headers: bytes | None
    authentication_sealed: bytes | None
    tls_sealed: bytes | None
    signature_schemes: list[str] | None
    max_in_flight: int | None
    rate_limit: int | None
    timeout_ms: int | None
    retry: str | None
    resting_until: float | None
    is_failing: bool


class DisabledEndpointRow(TypedDict):
    """An endpoint that was just disabled."""

    environment_id: str
    url: str


class Endpoints:
    """The endpoints."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def for_sending(self, ids: Collection[UUID]) -> list[SendingEndpointRow]:
        """Return everything that sending needs to know about each endpoint.

        `secret`, `previous_secret`, `headers`, `authentication_sealed` and `tls_sealed` are
        encrypted.
        """
        rows = await self._session.fetch(statement("endpoints/for_sending"), list(ids))
        return all_rows(SendingEndpointRow, rows)

    async def changed_since(self, version: int) -> EndpointChanges:
        """Return the endpoints that changed after `version`."""
        rows = await self._session.fetch(statement("endpoints/changed_since"), version)
        return EndpointChanges(*rows[0])

    async def count(self, environment_id: str, limit: int) -> int:
        """Return how many endpoints an environment has, counting up to `limit`.

        Call `next_version` first. Otherwise endpoints created at the same time are not counted.
        """
        rows = await self._session.fetch(statement("endpoints/count"), environment_id, limit)
        count: int = rows[0]["count"]
        return count

    async def next_version(self) -> int:
        """Draw the version for a change that follows in the same transaction."""
        rows = await self._session.fetch(statement("endpoints/next_version"))
        version: int = rows[0]["version"]
        return version

    async def create(
        self, endpoint_id: UUID, environment_id: str, version: int, columns: Mapping[str, object]
    ) -> bool:
        """Create an endpoint. Return False if there is no such environment.

        `columns` are those of NAMED, SETTINGS and CREDENTIALS, `ordered` and `secret`.
        """
        rows = await self._session.fetch(
            statement("endpoints/create"),
            endpoint_id,
            environment_id,
            version,
            *map(columns.__getitem__, (*NAMED, "ordered", "secret", *SETTINGS)),
            *map(columns.get, CREDENTIALS),
        )
        return bool(rows)

    async def subscribe(self, endpoint_id: UUID, patterns: Sequence[str]) -> None:
        """Replace the subscriptions of an endpoint with these patterns."""
        await self._session.fetch(statement("endpoints/subscribe"), endpoint_id, patterns)

    async def update(self, endpoint_id: UUID, version: int, columns: Mapping[str, object]) -> None:
        """Write all `columns` of `create`, except `ordered` and `secret`."""
        await self._session.fetch(
            statement("endpoints/update"),
            endpoint_id,
            version,
            *map(columns.__getitem__, (*NAMED, *SETTINGS)),
            *map(columns.get, CREDENTIALS),
        )

    async def rotate(
        self, endpoint_id: UUID, version: int, secret: bytes, overlap_seconds: float
    ) -> None:
        """Replace the secret. The old one signs too for `overlap_seconds`."""
        await self._session.fetch(
            statement("endpoints/rotate"), endpoint_id, version, secret, overlap_seconds
        )

    async def get(self, endpoint_id: UUID, environment_id: str | None) -> SealedEndpointRow | None:
        """Return an endpoint's public fields, or None if unknown.

        `headers`, `authentication_sealed` and `tls_sealed` are encrypted.
        """
        rows = await self._session.fetch(statement("endpoints/get"), endpoint_id, environment_id)
        return first_row(SealedEndpointRow, rows)

    async def unwell(self, environment_id: str | None, limit: int) -> Sequence[UnwellEndpointRow]:
        """Return active endpoints that only fail, then endpoints that the daemon disabled.

        In each of the two groups, those that have failed longest come first.
        """
        rows = await self._session.fetch(
            statement("endpoints/unwell"),
            environment_id,
            limit,
            days_before(LARGEST_ID, time(), DAYS_AT_ONCE_LIMIT),
        )
        return all_rows(UnwellEndpointRow, rows)

    async def names(
        self, environment_id: str, endpoint_ids: Collection[UUID]
    ) -> Sequence[EndpointNameRow]:
        """Return the names of endpoints of the environment, also of deleted ones."""
        rows = await self._session.fetch(
            statement("endpoints/names"), environment_id, list(endpoint_ids)
        )
        return all_rows(EndpointNameRow, rows)

    async def search(
        self, environment_id: str, text: str, *, look: int, limit: int
    ) -> Sequence[EndpointNameRow]:
        """Return endpoints whose name or URL contains the text, ignoring case.

        Read up to `look` endpoints, and return up to `limit`.
        """
        rows = await self._session.fetch(
            statement("endpoints/search"), environment_id, text, look, limit
        )
        return all_rows(EndpointNameRow, rows)

    async def list(
        self, environment_id: str | None, *, after: UUID | None = None, limit: int | None = None
    ) -> Sequence[EndpointRow]:
        """Return endpoints of an environment, None for all, as `get` does, oldest first."""
        rows = await self._session.fetch(statement("endpoints/list"), environment_id, after, limit)
        return all_rows(EndpointRow, rows)

    async def for_people(self, environment_id: str, ids: Sequence[UUID]) -> Sequence[EndpointRow]:
        """Return endpoints of an environment as `list` does, in the order of `ids`."""
        rows = await self._session.fetch(
            statement("endpoints/for_people"), environment_id, list(ids)
        )
        return all_rows(EndpointRow, rows)

    async def lock(self, endpoint_id: UUID) -> None:
        """Lock an endpoint for `delete` until the transaction ends."""
        await self._session.fetch(statement("endpoints/lock"), endpoint_id)

    async def delete(self, endpoint_id: UUID, version: int) -> None:
        """Mark an endpoint as deleted, and delete its subscriptions and credentials.

        Retries and replays to it that wait in the inbox are cancelled. Its history stays.
        """
        await self._session.fetch(statement("endpoints/delete"), endpoint_id, version)

    async def disable(
        self, endpoint_id: UUID, reason: str, url: str | None = None
    ) -> DisabledEndpointRow | None:
        """Disable an endpoint, and emit `endpoint.disabled` if a webhook subscribes to it by name.

        With `url`, only if it still has this one. Return `environment_id url` if this call disabled
        it, or None.
        """
        rows = await self._session.fetch(statement("endpoints/disable"), endpoint_id, reason, url)
        return first_row(DisabledEndpointRow, rows)

    async def bring_forward(self, step: ClockSetBack) -> None:
        """Move the ends of rests earlier, after the database's clock was set back.

        Only rests of endpoints whose home is in the step's shards are moved.
        """
        await self._session.fetch(
            statement("endpoints/bring_forward"), list(step.shards), step.seconds, step.horizon
        )

    async def rest(self, endpoint_id: UUID, seconds: float) -> None:
        """Let an endpoint rest for `seconds` from now, unless it rests for longer."""
        await self._session.fetch(statement("endpoints/rest"), endpoint_id, seconds)

    async def note_failures(self, counts: Mapping[UUID, int], disable_after: float) -> set[UUID]:
        """Add failures. Return the endpoints that have only failed for `disable_after` seconds.

        They have failed at least 5 times, and not on one day (UTC) alone.
        """
        rows = await self._session.fetch(
            statement("endpoints/note_failures"), list(counts), list(counts.values()), disable_after
        )
        return {row["endpoint_id"] for row in rows if row["hopeless"]}

    async def note_successes(self, ids: Collection[UUID]) -> None:
        """Clear the failures of endpoints that were failing."""
        await self._session.fetch(statement("endpoints/note_successes"), list(ids))
