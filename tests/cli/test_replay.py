"""The previews of a replay, before anything is sent."""

import pytest

from dispatcher.cli.commands.replay import Replay
from dispatcher.client import Resource

WEBHOOK = Resource({"id": "one", "name": "One", "url": "https://a.example/", "environmentId": "e"})


@pytest.mark.parametrize(
    ("failed", "missed", "more", "is_empty"),
    [(0, 0, False, True), (1, 0, False, False), (0, 2, False, False), (0, 0, True, False)],
)
def test_a_count_that_ended_early_is_not_taken_for_nothing(
    failed: int, missed: int, more: bool, is_empty: bool
) -> None:
    preview = Resource({"failed": failed, "missed": missed, "more": more})
    assert Replay(WEBHOOK, preview).is_empty == is_empty
