"""Events of types with an enforced schema: looked at, then put into the inbox or into quarantine.

Beside the way of ordinary events, not in it: nothing of theirs waits for this stage, which is
woken whenever the fan-out has looked and gives that a head start.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic

from dispatcher import observe
from dispatcher.sandbox import Sandbox, SandboxUnavailable
from dispatcher.schemas import Refusal
from dispatcher.shards import Lease
from dispatcher.store.unexamined import Unexamined, Waiting

AT_ONCE = 100
"""Events read, and moved, by one statement; at the default limit of 256 KiB no bound of theirs."""
DATA_AT_ONCE = 2**20
"""Bytes of data read at once, but for a single event's."""
A_MOMENT = 0.1
"""Seconds after which what is decided is moved, before more is looked at."""
HEAD_START = 0.05
"""Seconds between a wake-up and the look, so that idle daemons do little for each ordinary event."""
BACKSTOP = 1.0
SPARED = 10.0
"""Seconds for which no other event of a type is compared after one that cost too much: else a few
would hold up every other type. Quarantined events can be released."""
UNAVAILABLE = 2.0


class Examine:
    """Owns the sandbox: `close` it at the end."""

    def __init__(self, unexamined: Unexamined, sandbox: Sandbox, lease: Lease) -> None:
        self._unexamined = unexamined
        self._sandbox = sandbox
        self._lease = lease
        self._busy = False
        self._spared: dict[tuple[str, str], tuple[str, float]] = {}

    async def look(self) -> float:
        """Examine what waits, for a moment; returns the seconds until the next look.

        Raises StoreUnavailable or StatementTimeout: what was not moved still waits.
        """
        if not self._busy:
            await asyncio.sleep(HEAD_START)
        waiting = await self._waiting()
        self._busy = bool(waiting)
        if not waiting:
            return BACKSTOP
        passed: list[int] = []
        refused: list[tuple[int, str, str]] = []
        wait = 0.0
        try:
            await self._examine(waiting, passed, refused)
        except SandboxUnavailable as error:
            observe.sandbox_unavailable(error)
            wait = UNAVAILABLE
        await self._move(passed, refused)
        return wait

    async def close(self) -> None:
        await self._sandbox.close()

    async def _waiting(self) -> Sequence[Waiting]:
        owned = sorted(self._lease.owned)
        return await self._unexamined.waiting(AT_ONCE, owned) if owned else ()

    async def _examine(
        self,
        waiting: Sequence[Waiting],
        passed: list[int],
        refused: list[tuple[int, str, str]],
    ) -> None:
        """As many as a moment allows, one at least."""
        passed += [event.id for event in waiting if event.schema is None]
        judged = {event.id: event for event in waiting if event.schema is not None}
        found = await self._unexamined.with_data(judged, DATA_AT_ONCE) if judged else {}
        until = monotonic() + A_MOMENT
        for event in judged.values():
            data = found.get(event.id)
            if event.id not in found:
                passed.append(event.id)  # nothing to examine: the stages behind know what to do
            elif data is not None:
                refusal = await self._judge(event, data)
                if refusal is None:
                    passed.append(event.id)
                else:
                    refused.append((event.id, refusal.reason, refusal.detail))
            if monotonic() > until:
                break

    async def _judge(self, event: Waiting, data: str) -> Refusal | None:
        key, schema = (event.environment_id, event.type), event.schema or "true"
        spared, until = self._spared.get(key, (schema, 0.0))
        if spared == schema and monotonic() < until:
            return Refusal("too_costly", "another event of this type was, just before")
        refusal = await self._sandbox.judge(schema, data)
        if refusal is not None and refusal.reason == "too_costly":
            self._spared[key] = (schema, monotonic() + SPARED)
        else:
            self._spared.pop(key, None)
        return refusal

    async def _move(self, passed: list[int], refused: list[tuple[int, str, str]]) -> None:
        if passed or refused:
            for event_id, reason in await self._unexamined.move(passed, refused):
                observe.quarantined(event_id, reason)
