"""Remember which endpoints have parked rows that are not in memory."""

from collections.abc import Iterable
from uuid import UUID


class ParkedEndpoints(dict[UUID, int]):
    """The endpoints that may have parked rows in the table only, each with its newest note.

    Notes are numbered. A read that finds no more rows clears its endpoint up to the note that was
    the newest when the read began: a row that was parked since is not in its answer.
    """

    newest = 0

    def note(self, endpoint_ids: Iterable[UUID]) -> None:
        """Note that these endpoints have parked rows."""
        self.newest += 1
        self.update(dict.fromkeys(endpoint_ids, self.newest))

    def forget(self, endpoint_id: UUID, note: int) -> None:
        """Forget the endpoint, unless it was noted after this note."""
        if self.get(endpoint_id, note + 1) <= note:
            del self[endpoint_id]
