"""What is measured after a campaign, and what it must be."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median

from dispatcher.engine.sending.recorder import WAITING_LIMIT
from tests.campaign.oracle import Findings
from tests.campaign.servers import Server, embedded
from tests.campaign.stage import CONCURRENCY, Stage

RESUMED_WITHIN = 2.0
"""Seconds from a kill to the next attempt of a delivery that was under way, as a rule: where a new
process must start, it needs the machine's time as well, and gets it beside producers and receiver."""
RESUMED_LIMIT = 6.0
SENDING_WITHIN_SECONDS = 6.0
"""From a silence to the arrival of an event emitted right after it, beside everything else here."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured, and whether it is what was promised."""

    text: str
    kept: bool = True

    def __str__(self) -> str:
        return self.text if self.kept else f"NOT {self.text}"


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign: `play` does it, `weigh` looks at the result.

    `frozen` and `stepped`: see `oracle.judge`. `serves` makes the server in a directory; `lacking`
    says what it needs and is not here.
    """

    play: Callable[[Stage], Awaitable[None]]
    weigh: Callable[[Stage, Findings], list[Figure]]
    frozen: bool = False
    stepped: bool = False
    serves: Callable[[Path], AbstractContextManager[Server]] = embedded
    lacking: Callable[[], str] = str


def resumed(stage: Stage) -> Figure:
    """From each kill to the next attempt of a delivery that was under way and had no answer."""
    firsts: list[float] = []
    limit = RESUMED_LIMIT if stage.short else RESUMED_WITHIN
    for fault in (f for f in stage.faults if f.kind == "kill"):
        latest = {p.delivery: p for p in stage.posts if p.at < fault.at}
        cut = {delivery for delivery, p in latest.items() if p.answered_at is None}
        again = [p.at - fault.at for p in stage.posts if p.delivery in cut and p.at > fault.at]
        firsts += [min(again)] if again else []
    kept = not firsts or (median(firsts) <= limit and max(firsts) <= RESUMED_LIMIT)
    return Figure(f"resumed after {spread(firsts)}", kept)


def bounded(stage: Stage, findings: Findings) -> Figure:
    """One fault repeats no more than what was in flight and one batch of results."""
    per_fault = Counter(_fault_before(stage, post.at) for post in findings.duplicated)
    worst = max(per_fault.values(), default=0)
    return Figure(f"at most {worst} duplicated by one", worst <= CONCURRENCY + WAITING_LIMIT)


def _fault_before(stage: Stage, at: float) -> float:
    return max((fault.at for fault in stage.faults if fault.at <= at), default=0.0)


def number_of(stage: Stage, kind: str) -> int:
    return sum(fault.kind == kind for fault in stage.faults)


def spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "nothing to measure"
    return f"p50 {median(seconds):.2f} s, at most {max(seconds):.2f} s"


def sending_again(stage: Stage, what: str, limit: float = SENDING_WITHIN_SECONDS) -> Figure:
    """From each `stage.mark()` to the arrival of its event."""
    first: dict[int, float] = {}
    for post in stage.posts:
        if post.endpoint == "/all":
            first.setdefault(post.n, post.at)
    waits = [first.get(n, inf) - at for n, at in stage.marks]
    return Figure(
        f"{len(waits)} {what}, sending again after {spread(waits)}",
        max(waits, default=inf) <= limit * stage.patience,
    )
