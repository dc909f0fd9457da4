"""Run replays step by step: each step turns ended deliveries and events into inbox rows.

A replay sends many deliveries of one endpoint again, chosen by time.
"""

from functools import partial
from typing import Final

from dispatcher.engine.batch_size import BatchSize
from dispatcher.engine.bulk.step_loop import Step, StepLoop
from dispatcher.store.queries.delivery_actions import DeliveryActions
from dispatcher.store.queries.replays import ClaimedReplayRow, Replays
from dispatcher.store.queries.settings import Settings
from dispatcher.store.session import Session, Transaction
from dispatcher.telemetry import observe

READ_LIMIT: Final = 2_000
"""Ended deliveries and events that one step reads, at most."""
ROWS_LIMIT: Final = 1_000
"""Most inbox rows that one step makes. It waits while the endpoint has this many in the inbox."""
PENDING_LIMIT: Final = 5_000
"""A step waits while the endpoint has this many pending deliveries. Otherwise new events would wait
behind the whole replay."""
WAITS_LIMIT: Final = 20
"""Most steps of one turn that can only wait: each takes some milliseconds."""
STEP_LIMIT_MS: Final = 500
"""Longest time of a step, once it has locked all deliveries against changes by people. If one takes
longer, the next step is smaller. The smallest may take as long as any other statement."""


class Replayer(StepLoop):
    """The stage that runs replays. Environments take turns, however many replays each of them has.

    A turn ends with a step that has room, or after WAITS_LIMIT steps that can only wait. Otherwise
    replays that wait for room would take the turns from the others of their environment.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(
            session,
            Replays(session),
            claim=self._claim_next,
            on_failure=observe.replays.step_failed,
        )
        self._last_environment = ""
        self._waits = 0

    async def _claim_next(self, session: Transaction) -> Step | None:
        row = await Replays(session).claim(
            waiting=ROWS_LIMIT, pending=PENDING_LIMIT, last_environment=self._last_environment
        )
        if row is None:
            return None
        self._note_step(row)
        return Step(row["environment_id"], row["id"], partial(_step, session, row))

    def _note_step(self, row: ClaimedReplayRow) -> None:
        """End the turn of the environment, unless this step can only wait and more may follow."""
        self._waits = 0 if row["has_room"] else self._waits + 1
        if self._waits in (0, WAITS_LIMIT):
            self._waits = 0
            self._last_environment = row["environment_id"]


async def _step(session: Transaction, row: ClaimedReplayRow, size: BatchSize) -> None:
    if row["has_room"]:
        await DeliveryActions(session).lock_all()
        if not size.is_smallest:
            await Settings(session).limit_statement_time(STEP_LIMIT_MS)
    await Replays(session).step(
        row,
        look=size.scale(READ_LIMIT),
        make=ROWS_LIMIT,
        waiting=ROWS_LIMIT,
        pending=PENDING_LIMIT,
    )
