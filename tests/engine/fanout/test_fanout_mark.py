"""When the mark of the inbox is moved: before the first events, and after all later ones."""

from dispatcher.store.queries.inbox import FannedOut
from tests.engine.fanout.test_fanout_lost_shard import NOTHING, Late, fanout


class Ordered(Late):
    """An inbox without events, which notes the order of the statements."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def fan_out(self, **_: object) -> FannedOut:
        self.asked.append("fan out")
        return NOTHING

    async def raise_mark(self, taken: int, clear: int = 0) -> int:
        self.asked.append("mark")
        return 0


async def test_events_wait_for_the_mark_only_at_the_start() -> None:
    inbox = Ordered()
    stage = fanout(inbox)
    await stage.run_once()
    stage._slices._mark._asked_at -= 60.0  # it is due again
    await stage.run_once()
    assert inbox.asked == ["mark", "fan out", "fan out", "mark"]


async def test_events_wait_for_the_mark_when_the_clock_was_set_back() -> None:
    inbox = Ordered()
    stage = fanout(inbox)
    await stage.run_once()
    inbox.asked.clear()
    stage.note_set_back()
    await stage.run_once()
    assert inbox.asked == ["mark", "fan out"]
