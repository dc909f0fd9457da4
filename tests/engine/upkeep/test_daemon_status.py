"""The status that a daemon publishes about itself."""

import orjson

from dispatcher.engine.upkeep.daemon_status import StatusPublisher, daemon_status


class Published:
    """Stands for the table of daemons."""

    def __init__(self) -> None:
        self.statuses: list[tuple[int, str]] = []

    async def publish_status(self, daemon: int, status: str) -> None:
        self.statuses.append((daemon, status))


async def test_the_status_is_published_once_the_daemon_has_joined_and_until_it_leaves() -> None:
    published = Published()
    joined: list[int] = []
    publisher = StatusPublisher(
        published,  # type: ignore[arg-type] # as much of it as the publisher uses
        daemon=lambda: joined[0] if joined else None,
        status=lambda: {"in_flight": 3},
    )
    assert await publisher.run_once() == 2.0
    assert published.statuses == []
    joined.append(7)
    await publisher.run_once()
    assert [(daemon, orjson.loads(text)) for daemon, text in published.statuses] == [
        (7, {"in_flight": 3})
    ]
    joined.clear()
    await publisher.run_once()
    assert len(published.statuses) == 1


def test_deliveries_in_memory_are_counted_once() -> None:
    status = daemon_status(
        admin_port=8400, up=1.0, in_memory=10, in_flight=3, scheduled=4, unrecorded=1
    )
    assert (status["in_queues"], status["in_flight"], status["scheduled"]) == (2, 3, 4)
