"""The listener wakes those who wait after each new LISTEN, once it has announced itself."""

import pytest

from dispatcher.engine.fanout.listener import Listener
from dispatcher.store.errors import StatementTimeoutError
from dispatcher.store.queries.inbox import Inbox
from dispatcher.store.session import Session


async def test_what_came_before_an_announcement_that_failed_is_looked_for_after_the_next(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    listener = Listener(
        session,
        on_events=lambda: calls.append("events"),
        on_parked=lambda: calls.append("parked"),
    )

    async def fail(inbox: Inbox, milliseconds: int) -> None:
        raise StatementTimeoutError("too slow")

    with monkeypatch.context() as failing:
        failing.setattr(Inbox, "announce_listening", fail)
        with pytest.raises(StatementTimeoutError):
            await listener.run_once()
    assert (listener.is_listening, calls) == (True, [])
    await listener.run_once()
    await listener.run_once()
    assert calls == ["events", "parked"]
