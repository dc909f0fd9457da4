"""Check events of types with an enforced schema; move them to the inbox or to quarantine.

Ordinary events do not pass this stage and never wait for it. Each fan-out pass wakes it, and it
starts a little later, so that the fan-out goes first.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeAlias

from dispatcher.engine.bisection import apart
from dispatcher.engine.fanout_fairness import Turn, Turns
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
"""Seconds after which what is decided is moved, before more is looked at."""
ITS_PART = 0.05
"""Seconds of it after which an environment's other events wait for everybody else's."""
MOST_COSTS = 1_000
"""Environments whose cost is remembered."""
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


@dataclass(slots=True)
class Decided:
    """Events that pass, and those put aside as `(id, reason, detail)`."""

    passed: list[int] = field(default_factory=list)
    refused: list[tuple[int, str, str]] = field(default_factory=list)

    @property
    def ids(self) -> set[int]:
        return {*self.passed, *(event_id for event_id, _, _ in self.refused)}


class Examine:
    """The stage that checks events. It owns the sandbox, which `close` ends."""

    def __init__(self, unexamined: Unexamined, sandbox: Sandbox, lease: Lease) -> None:
        self._unexamined = unexamined
        self._sandbox = sandbox
        self._lease = lease
        self._busy = False
        self._turns = Turns()
        self._cost: dict[str, float] = {}  # seconds of an environment's latest event
        self._spared: dict[tuple[str, str], tuple[str, float]] = {}

    async def look(self) -> float:
        """Check waiting events for one pass, and return the seconds to the next.

        Raises StoreUnavailable or StatementTimeout; events that were not moved are checked again.
        """
        if not self._busy:
            await asyncio.sleep(HEAD_START)
        turn = self._turns.next(monotonic())
        waiting = await self._waiting(turn)
        self._busy = bool(waiting or turn.without)
        decided = Decided()
        wait = 0.0 if self._busy else BACKSTOP
        try:
            if waiting:
                await self._examine(waiting, decided)
        except SandboxUnavailable as error:
            observe.sandbox_unavailable(error)
            wait = UNAVAILABLE
        if waiting:
            await self._move(decided.passed, decided.refused)
        self._took(turn, waiting, decided.ids)
        return wait

    def _took(self, turn: Turn, waiting: Sequence[Waiting], decided: set[int]) -> None:
        """If more waits, it is next the turn of environments that had none decided just now."""
        left = [event.id for event in waiting if event.id not in decided]
        last = left[0] - 1 if left else waiting[-1].id if waiting else None
        self._turns.took(
            turn,
            last=last,
            more=bool(left) or len(waiting) == AT_ONCE,
            crowding={event.environment_id for event in waiting if event.id in decided},
            now=monotonic(),
        )

    async def close(self) -> None:
        await self._sandbox.close()

    async def _waiting(self, turn: Turn) -> Sequence[Waiting]:
        owned = sorted(self._lease.owned)
        if not owned:
            return ()
        return await self._unexamined.waiting(
            AT_ONCE, owned, above=turn.above, without=turn.without
        )

    async def _examine(self, waiting: Sequence[Waiting], decided: Decided) -> None:
        """As many as a moment allows, one at least; environments that cost little come first, and
        none takes more than its part of the moment."""
        decided.passed += [event.id for event in waiting if event.schema is None]
        judged = [event for event in waiting if event.schema is not None]
        found = await self._with_data([event.id for event in judged], decided.refused)
        unreadable = {event_id for event_id, _, _ in decided.refused}
        began, spent = monotonic(), dict[str, float]()
        for event in sorted(judged, key=lambda event: self._cost.get(event.environment_id, 0.0)):
            if event.id in unreadable or spent.get(event.environment_id, 0.0) > ITS_PART:
                continue
            data = found.get(event.id)
            if event.id not in found:
                decided.passed.append(
                    event.id
                )  # nothing to examine: the stages behind know what to do
            elif data is not None:
                await self._decide(event, data, decided, spent)
            if monotonic() - began > A_MOMENT:
                break

    async def _decide(
        self, event: Waiting, data: str, decided: Decided, spent: dict[str, float]
    ) -> None:
        """Judge an event, and remember what that cost its environment."""
        began = monotonic()
        refusal = await self._judge(event, data)
        if refusal is None:
            decided.passed.append(event.id)
        else:
            decided.refused.append((event.id, refusal.reason, refusal.detail))
        environment, cost = event.environment_id, monotonic() - began
        spent[environment] = spent.get(environment, 0.0) + cost
        self._cost.pop(environment, None)
        self._cost[environment] = cost
        if len(self._cost) > MOST_COSTS:
            del self._cost[next(iter(self._cost))]

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
