"""Find out which queues have work that is due."""

from typing import TypedDict

from dispatcher.store.rows import only_row
from dispatcher.store.session import Session
from dispatcher.store.statements import statement


class WaitingRow(TypedDict):
    """For each queue, whether it has work that is due."""

    inbox: bool
    unvalidated_events: bool
    replays: bool
    bulk_actions: bool


class Queues:
    """The queues whose work may come without a notification."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def waiting(self, *, after_id: int) -> WaitingRow:
        """Return which queues have work; only ids above `after_id` count in the inbox."""
        return only_row(
            WaitingRow, await self._session.fetch(statement("queues/waiting"), after_id)
        )
