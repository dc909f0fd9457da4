"""Check events of types with an enforced schema; move them to the inbox or to quarantine.

Ordinary events do not pass this stage and never wait for it. Each fan-out pass wakes it, and it
starts a little later, so that the fan-out goes first.
"""

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TypeAlias

from dispatcher.engine.bisection import apart
from dispatcher.engine.lease import Lease
from dispatcher.schema_validation.validate import Refusal
from dispatcher.schema_validation.worker import Sandbox, SandboxUnavailable
from dispatcher.store.data_errors import describe
from dispatcher.store.unvalidated_events import Unexamined, Waiting
from dispatcher.telemetry import observe

AT_ONCE = 100
"""Events that one statement reads, or moves; DATA_AT_ONCE bounds the bytes of their data."""
DATA_AT_ONCE = 2**20
"""Bytes of data read at once; a single event may be larger."""
A_MOMENT = 0.1
"""Longest pass in seconds, after which checked events are moved."""
HEAD_START = 0.05
"""Seconds between a wake-up and the read. Otherwise an idle daemon would run a statement for each
ordinary event."""
BACKSTOP = 1.0
"""Seconds between two reads without a wake-up."""
SPARED = 10.0
"""Seconds without a check of a type after a check of it was too expensive: its events go to
quarantine, where they can be released. Otherwise a few of them would delay all other types."""
UNAVAILABLE = 2.0
"""Seconds until the next pass if the process that checks schemas cannot be started."""


Verdict: TypeAlias = tuple[int, tuple[int, str, str] | None]
"""An event id and, if the event goes to quarantine, `(id, reason, detail)`."""


class Examine:
    """The stage that checks events. It owns the sandbox, which `close` ends."""

    def __init__(self, unexamined: Unexamined, sandbox: Sandbox, lease: Lease) -> None:
        self._unexamined = unexamined
        self._sandbox = sandbox
        self._lease = lease
        self._busy = False
        self._spared: dict[tuple[str, str], tuple[str, float]] = {}

    async def look(self) -> float:
        """Check waiting events for one pass, and return the seconds to the next.

        Raises StoreUnavailable or StatementTimeout; events that were not moved are checked again.
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
        """Check events for at most A_MOMENT, but at least one.

        Add each to `passed` or to `refused`.
        """
        passed += [event.id for event in waiting if event.schema is None]
        judged = {event.id: event for event in waiting if event.schema is not None}
        found = await self._with_data(list(judged), refused)
        unreadable = {event_id for event_id, _, _ in refused}
        until = monotonic() + A_MOMENT
        for event in judged.values():
            if event.id in unreadable:
                continue
            data = found.get(event.id)
            if event.id not in found:
                passed.append(event.id)  # the event is gone: the next stages record that
            elif data is not None:
                refusal = await self._judge(event, data)
                if refusal is None:
                    passed.append(event.id)
                else:
                    refused.append((event.id, refusal.reason, refusal.detail))
            if monotonic() > until:
                break

    async def _with_data(
        self, ids: Sequence[int], refused: list[tuple[int, str, str]]
    ) -> Mapping[int, str | None]:
        """Return the data by event id, None if it was left for the next pass.

        Events whose data cannot be read are added to `refused`. A missing event has no key.
        """
        found: dict[int, str | None] = {}

        async def read(some: Sequence[int]) -> None:
            found.update(await self._unexamined.with_data(some, DATA_AT_ONCE))

        def unreadable(event_id: int, error: Exception) -> None:
            refused.append((event_id, "unreadable", describe(error)))

        await apart(ids, read, unreadable)
        return found

    async def _judge(self, event: Waiting, data: str) -> Refusal | None:
        key, schema = (event.environment_id, event.type), event.schema or "true"
        spared, until = self._spared.get(key, (schema, 0.0))
        if spared == schema and monotonic() < until:
            return Refusal("too_costly", "another event of this type was, just before")
        try:
            refusal = await self._sandbox.judge(schema, data)
        except SandboxUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one broken check must not block other events
            observe.schema_check_broke(event.id, error)
            refusal = Refusal("check_failed", f"the check broke: {type(error).__name__}")
        if refusal is not None and refusal.reason == "too_costly":
            self._spared[key] = (schema, monotonic() + SPARED)
        else:
            self._spared.pop(key, None)
        return refusal

    async def _move(self, passed: list[int], refused: list[tuple[int, str, str]]) -> None:
        verdicts: list[Verdict] = [(event_id, None) for event_id in passed]
        verdicts += [(refusal[0], refusal) for refusal in refused]

        async def move(some: Sequence[Verdict]) -> None:
            these = [event_id for event_id, refusal in some if refusal is None]
            those = [refusal for _, refusal in some if refusal is not None]
            for event_id, reason in await self._unexamined.move(these, those):
                observe.quarantined(event_id, reason)

        stuck: list[tuple[int, str, str]] = []

        def put_aside(verdict: Verdict, error: Exception) -> None:
            stuck.append((verdict[0], "fan_out_failed", describe(error)))

        await apart(verdicts, move, put_aside)
        for refusal in stuck:
            await move([(refusal[0], refusal)])
