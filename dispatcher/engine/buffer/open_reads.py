"""Collect what changes in memory while a statement reads rows, so that stale rows are ignored."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID


class OpenReads:
    """The reads that are under way, each with the set of ids that became stale since it began.

    An id is that of a delivery, or of an endpoint whose ordered queue starts again.
    """

    def __init__(self) -> None:
        self._stale: list[set[int | UUID]] = []

    @contextmanager
    def begin(self) -> Iterator[set[int | UUID]]:
        """Begin a read, which ends with the context; return its set of stale ids."""
        stale: set[int | UUID] = set()
        self._stale.append(stale)
        try:
            yield stale
        finally:
            # By identity: two sets with the same content are equal, but belong to two reads.
            self._stale = [other for other in self._stale if other is not stale]

    def mark_stale(self, id_: int | UUID) -> None:
        """Add an id to the sets of all reads that are under way."""
        for stale in self._stale:
            stale.add(id_)
