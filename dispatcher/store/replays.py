"""Recoveries: what one endpoint is owed again, and how far each of them got."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


@dataclass(frozen=True, slots=True)
class Counted:
    """What was found up to the id `position`; `complete`: that was all, up to `until`.

    `active` is the endpoint's, `forwards` whether the time asked for ends after it begins.
    """

    active: bool
    forwards: bool
    until: datetime
    position: int
    complete: bool
    failed: int
    missed: int


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did: how many inbox rows it made, and the recovery's state after it."""

    id: int
    state: Literal["RUNNING", "DONE", "CANCELLED", "FAILED"]
    made: int


class Recoveries:
    """Rows are dicts of the table's columns and `reached`, the time of the position."""

    def __init__(self, session: Asked) -> None:
        self._session = session

    async def count(
        self,
        environment_id: str,
        endpoint_id: UUID,
        *,
        since: datetime,
        until: datetime | None,
        position: int | None,
        missed: bool,
        look: int,
    ) -> Counted | None:
        """Above `position`, as far as `look` ended deliveries and events; None: no such endpoint."""
        rows = await self._session.fetch(
            statement("replays/count"),
            environment_id,
            endpoint_id,
            since,
            until,
            position,
            missed,
            look,
        )
        return Counted(**rows[0]) if rows else None

    async def start(
        self,
        environment_id: str,
        endpoint_id: UUID,
        *,
        since: datetime,
        until: datetime,
        missed: bool,
        rate: int | None,
        total: int | None,
    ) -> dict[str, Any] | None:
        """None: one is running for the endpoint."""
        rows = await self._session.fetch(
            statement("replays/start"),
            environment_id,
            endpoint_id,
            since,
            until,
            missed,
            rate,
            total,
        )
        return dict(rows[0]) if rows else None

    async def list(
        self, environment_id: str, endpoint_id: UUID, *, before: int | None, limit: int
    ) -> list[dict[str, Any]]:
        rows = await self._session.fetch(
            statement("replays/list"), environment_id, endpoint_id, before, limit
        )
        return [dict(row) for row in rows]

    async def get(
        self, environment_id: str, endpoint_id: UUID, recovery_id: int
    ) -> dict[str, Any] | None:
        rows = await self._session.fetch(
            statement("replays/get"), environment_id, endpoint_id, recovery_id
        )
        return dict(rows[0]) if rows else None

    async def cancel(
        self, environment_id: str, endpoint_id: UUID, recovery_id: int
    ) -> dict[str, Any] | None:
        """None: no such one is running."""
        rows = await self._session.fetch(
            statement("replays/cancel"), environment_id, endpoint_id, recovery_id
        )
        return dict(rows[0]) if rows else None

    async def step(self, *, look: int, make: int, waiting: int, pending: int) -> Step | None:
        """Go on with the recovery that is due longest; None: none is, or others are at it.

        Looks at up to `look` ended deliveries and events, makes up to `make` inbox rows, and none
        while the endpoint has `waiting` in the inbox or `pending` deliveries.
        """
        rows = await self._session.fetch(statement("replays/step"), look, make, waiting, pending)
        return Step(rows[0]["id"], rows[0]["state"], rows[0]["made"]) if rows else None

    async def note_failure(self, error: str, most: int) -> tuple[int, str] | None:
        """Put off the recovery that a step would go on with, as its step failed.

        After `most` failures in succession it is FAILED. Returns its id and state, or None if none
        is due any more.
        """
        rows = await self._session.fetch(statement("replays/note_failure"), error, most)
        return (rows[0]["id"], rows[0]["state"]) if rows else None

    async def next(self) -> float | None:
        """Seconds until one is due, below 0 for one that is; None: none is running."""
        rows = await self._session.fetch(statement("replays/next"))
        wait: float | None = rows[0]["wait"]
        return wait

    async def prune(self, keep: float, most: int) -> int:
        """Remove up to `most` that were over `keep` seconds ago; return how many."""
        return len(await self._session.fetch(statement("replays/prune"), keep, most))

    async def pass_over(self, below: int) -> Sequence[int]:
        """Let running ones go on from an id, as what is below is about to be dropped; return which."""
        rows = await self._session.fetch(statement("replays/pass_over"), below)
        return [row["id"] for row in rows]
