"""Turn events of the inbox into deliveries, and tell producers when they need not notify."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, NotRequired, TypedDict, Unpack
from uuid import UUID

from dispatcher.core.ids import LARGEST_ID
from dispatcher.core.model import Delivery, DeliveryRow
from dispatcher.store.queries.server import Server
from dispatcher.store.rows import all_rows, uncopied_rows
from dispatcher.store.session import Session
from dispatcher.store.statements import statement

DELIVERIES_LIMIT = 20_000
"""Most deliveries that one statement makes; it takes as many events as fit."""
READ_LIMIT = 50_000
"""Most rows that a statement with excluded environments reads; the number is in its text too."""
EVENTS_CHANNEL = "dispatcher"
"""The channel that is notified when the inbox has new rows."""
PARKED_CHANNEL = "dispatcher_parked"
"""The channel on which daemons say that they parked deliveries in shards of others."""


class SmallEvent(NamedTuple):
    """An event that came with its deliveries. `data` is the producer's text in UTF-8."""

    id: int
    type: str
    environment_id: str
    data: bytes


class FannedOutRow(DeliveryRow):
    """A delivery that was made. Of the first row only the summary counts: it is no delivery."""

    picked: int
    last_picked: int | None
    seen: int
    chosen: int
    last_waiting: int | None
    newest: int | None
    is_unordered: bool | None
    crowding: list[str] | None
    small_ids: list[int] | None
    small_types: list[str] | None
    small_environments: list[str] | None
    small_data: list[bytes] | None
    is_lost: bool | None
    is_unusual: bool | None
    parked: bool


@dataclass(frozen=True, slots=True)
class FannedOut:
    """The result of one fan-out statement: rows taken from the inbox, and the deliveries made.

    `parked` are the endpoints whose deliveries were made parked. `seen` is how many rows were
    available, up to the limit, and `chosen` how many of them make few enough deliveries. Fewer are
    picked if another session was faster. `crowding` are the environments with at least an equal
    part of the rows. `last_waiting` is the highest id that was read, of any environment, and
    `newest` the highest id in the inbox. They can differ if `up_to` or READ_LIMIT ended the read.
    Both are set only if environments were excluded. `is_unordered` is True if environments with
    ordered endpoints were passed over, as another daemon fanned out for them.
    `small_events` are the small events of the deliveries that are not parked. `is_lost` is True if
    events may wait, but another daemon owns the shard: then nothing was read. `is_unusual` is True
    if events may wait that only `Inbox.fan_out` can take: then nothing was taken.
    """

    picked: int
    last_picked: int | None
    made: int
    deliveries: list[Delivery]
    parked: set[UUID]
    seen: int = 0
    crowding: tuple[str, ...] = ()
    last_waiting: int | None = None
    small_events: list[SmallEvent] = field(default_factory=list)
    is_lost: bool = False
    chosen: int = 0
    is_unusual: bool = False
    newest: int | None = None
    is_unordered: bool = False

    @classmethod
    def from_rows(cls, rows: Sequence[FannedOutRow]) -> "FannedOut":
        """Return the result of a statement: its first row is the summary."""
        summary, *made = rows
        return cls(
            picked=summary["picked"],
            last_picked=summary["last_picked"],
            made=len(made),
            deliveries=[Delivery.from_row(row) for row in made if not row["parked"]],
            parked={row["endpoint_id"] for row in made if row["parked"]},
            seen=summary["seen"],
            crowding=tuple(summary["crowding"] or ()),
            last_waiting=summary["last_waiting"],
            small_events=_small_events(summary),
            is_lost=bool(summary["is_lost"]),
            chosen=summary["chosen"],
            is_unusual=bool(summary["is_unusual"]),
            newest=summary["newest"],
            is_unordered=bool(summary["is_unordered"]),
        )


def _small_events(summary: FannedOutRow) -> list[SmallEvent]:
    return list(
        map(
            SmallEvent,
            summary["small_ids"] or (),
            summary["small_types"] or (),
            summary["small_environments"] or (),
            summary["small_data"] or (),
        )
    )


class InboxRow(TypedDict):
    """An event that was taken out of the inbox and put into quarantine."""

    id: int
    event_id: int
    environment_id: str
    type: str


class Batch(TypedDict):
    """What one statement fans out: arguments of `Inbox.fan_out` and `Inbox.fan_out_plain`.

    - `limit`: most inbox rows. Their ids are above `after_id`.
    - `shard`, `daemon`: the shard of the deliveries, and who owns it.
    - `saturated`: endpoints without room for more, whose deliveries are made parked.
    - `deliveries_limit`: rows are taken until they make so many deliveries.
    - `small_bytes`, `small_ids`: events of at most so many bytes come with their deliveries if
      their ids are in this range. Each range has a plan of its own: let it change once a day.
    """

    limit: int
    shard: int
    daemon: int
    saturated: Sequence[UUID]
    after_id: int
    deliveries_limit: NotRequired[int]
    small_bytes: NotRequired[int]
    small_ids: NotRequired[range]


@lru_cache(maxsize=4)
def _with_ids(text: str, parameter: int, small_ids: range) -> str:
    """Return a fan-out with the ids of small events instead of its last two parameters.

    `parameter` is the number of the first of the two.
    """
    text = text.replace(f"${parameter}", str(small_ids.start))
    return text.replace(f"${parameter + 1}", str(small_ids.stop))


def _first_arguments(batch: Batch) -> tuple[object, ...]:
    """Return the arguments with which every fan-out begins."""
    return (
        batch["limit"],
        batch["shard"],
        batch["daemon"],
        batch["saturated"],
        batch["after_id"],
    )


class Inbox:
    """The inbox."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def fan_out(
        self,
        *,
        excluded_environments: Sequence[str] = (),
        up_to: int = LARGEST_ID,
        **batch: Unpack[Batch],
    ) -> FannedOut:
        """Turn a batch of inbox rows into deliveries.

        Their ids are at most `up_to`, and they are of none of the `excluded_environments`. If there
        are any of these, READ_LIMIT rows are read at most: see `FannedOut.last_waiting`. An empty
        text among them stands for all environments with ordered endpoints.
        """
        rows = await self._session.fetch(
            _with_ids(statement("inbox/fan_out"), 10, batch.get("small_ids", range(0))),
            *_first_arguments(batch),
            excluded_environments,
            batch.get("deliveries_limit", DELIVERIES_LIMIT),
            up_to,
            batch.get("small_bytes", 0),
        )
        return FannedOut.from_rows(uncopied_rows(FannedOutRow, rows))

    async def fan_out_plain(self, **batch: Unpack[Batch]) -> FannedOut:
        """Do what `fan_out` does in the usual case, for all environments and less of the work.

        In any other case, nothing is taken and `is_unusual` is True. Usual is that this daemon is
        alone, no endpoint is ordered, and all rows are plain, held by no session, and make at most
        `deliveries_limit` deliveries together.
        """
        rows = await self._session.fetch(
            _with_ids(statement("inbox/fan_out_plain"), 8, batch.get("small_ids", range(0))),
            *_first_arguments(batch),
            batch.get("deliveries_limit", DELIVERIES_LIMIT),
            batch.get("small_bytes", 0),
        )
        return FannedOut.from_rows(uncopied_rows(FannedOutRow, rows))

    async def fan_out_slice(
        self,
        *,
        limit: int,
        shard: int,
        daemon: int,
        saturated: Sequence[UUID],
        after_id: int = 0,
        excluded_environments: Sequence[str] = (),
        up_to: int = LARGEST_ID,
    ) -> FannedOut:
        """Make deliveries of the oldest event, which is oversized, for its next `limit` endpoints.

        `picked` is 1 when all its deliveries are made.
        """
        rows = await self._session.fetch(
            statement("inbox/fan_out_slice"),
            limit,
            shard,
            daemon,
            saturated,
            after_id,
            excluded_environments,
            up_to,
        )
        return FannedOut.from_rows(uncopied_rows(FannedOutRow, rows))

    async def first(
        self, *, after_id: int, up_to: int = LARGEST_ID, excluded_environments: Sequence[str] = ()
    ) -> tuple[int | None, int]:
        """Return the oldest id above `after_id`, None if there is none, and where reading ended.

        Rows of the excluded environments are passed over. If any are excluded, READ_LIMIT rows are
        read at most. If fewer rows are there, reading ends at `up_to`, or at the id of a second ago
        by the database's clock if that is lower.
        """
        (row,) = await self._session.fetch(
            statement("inbox/first"), after_id, up_to, excluded_environments
        )
        return row["first"], row["up_to"]

    async def raise_mark(self, taken: int, clear: int = 0) -> int:
        """Raise the mark from which all daemons read, to `taken` at most, and return it.

        The mark passes neither a row that waits nor the id of a minute ago. Rows up to the id
        `clear` are not looked for, as the caller knows that none waits there. After the clock was
        set back, the mark is lowered.
        """
        (row,) = await self._session.fetch(statement("inbox/raise_mark"), taken, clear)
        mark: int = row["mark"]
        return mark

    async def quarantine(self, reason: str, detail: str, inbox_id: int) -> list[InboxRow]:
        """Move this row to quarantine. Otherwise it would stop the rows behind it.

        Return a list with this row, whose keys are `id event_id environment_id type`. The list is
        empty if another session holds the row or has fanned it out.
        """
        rows = await self._session.fetch(statement("inbox/quarantine"), reason, detail, inbox_id)
        return all_rows(InboxRow, rows)

    async def promise_polling(self, milliseconds: int) -> None:
        """Announce a polling window: for this time producers need not notify."""
        await self._session.fetch(statement("inbox/promise_polling"), milliseconds)

    async def announce_parked(self) -> None:
        """Notify the other daemons that parked deliveries were made in their shards."""
        await Server(self._session).notify(PARKED_CHANNEL)

    async def announce_listening(self, milliseconds: int) -> None:
        """Announce that a daemon listens for notifications for this time."""
        await self._session.fetch(statement("inbox/announce_listening"), milliseconds)
