"""Events of types with an enforced schema: looked at, then put into the inbox or into quarantine.

Beside the way of ordinary events, not in it: nothing of theirs waits for this stage, which is
woken whenever the fan-out has looked and gives that a head start.
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


Verdict: TypeAlias = tuple[int, tuple[int, str, str] | None]
"""An event and, if it is to be put aside, `(id, reason, detail)`."""


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
        found = await self._with_data(list(judged), refused)
        unreadable = {event_id for event_id, _, _ in refused}
        until = monotonic() + A_MOMENT
        for event in judged.values():
            if event.id in unreadable:
                continue
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

    async def _with_data(
        self, ids: Sequence[int], refused: list[tuple[int, str, str]]
    ) -> Mapping[int, str | None]:
        """Read data; what cannot be read is refused."""
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
        except Exception as error:  # noqa: BLE001 - whatever it is, it must hold up no other event
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
