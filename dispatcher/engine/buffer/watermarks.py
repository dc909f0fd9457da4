"""Remember up to which time the rows of each owned shard were read. Pure."""

from collections.abc import KeysView

NEVER_READ = float("-inf")


class Watermarks:
    """The watermark of each owned shard, in epoch seconds by the database's clock.

    Pending rows of a shard that are due before its watermark were read. Those due later are still
    to be read.
    """

    def __init__(self) -> None:
        self._times: dict[int, float] = {}

    @property
    def shards(self) -> KeysView[int]:
        """Return the owned shards."""
        return self._times.keys()

    def get(self, shard: int) -> float:
        """Return the watermark of a shard, NEVER_READ if the shard is not owned."""
        return self._times.get(shard, NEVER_READ)

    def own(self, shards: frozenset[int]) -> None:
        """Own exactly these shards from now on; the new ones are unread."""
        self._times = {shard: self.get(shard) for shard in shards}

    def set(self, shard: int, time: float) -> None:
        """Set the watermark of a shard, earlier or later; ignore a shard that is not owned."""
        if shard in self._times:
            self._times[shard] = time

    def lower_to(self, shard: int, time: float) -> None:
        """Lower the watermark of an owned shard, so that rows due from `time` on are read again."""
        if self._times.get(shard, time) > time:
            self._times[shard] = time

    def reset(self) -> None:
        """Reset all watermarks, so that all rows are read again."""
        self._times = dict.fromkeys(self._times, NEVER_READ)
