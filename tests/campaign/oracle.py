"""What was emitted, what arrived and what is on record, joined: the classes of `total-queue`.

lost         committed, and an endpoint that wants it never answered 2xx to it
unexpected   arrived although it was not committed, or where it was not asked for
duplicated   arrived again after the whole of a 2xx had been sent
unrecorded   arrived, and no row of the attempts table accounts for it
phantom      a row of an answer that no receiver gave
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.campaign.producer import Emitted

STALE = 3.0
"""Seconds by which a signature's time may differ from the arrival's: whole seconds on a busy machine."""
EARLY = 0.02
"""Seconds by which two clocks may differ."""
LAG = 1.0
"""Seconds that a request may lie in the receiver's socket before it is noted as arrived."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something done to the system.

    `cuts`: requests under way then may stay without a record. `forgets`: the database may have
    lost the last records made before, so that what they told of is done again.
    """

    at: float
    kind: str
    cuts: bool
    forgets: bool


@dataclass(frozen=True, slots=True)
class Post:
    """A request as its receiver saw it; `answered_at` and `status` None: not answered whole."""

    at: float
    endpoint: str
    event: str
    delivery: str
    attempt: int
    timestamp: int
    n: int
    type: str
    body: str
    fault: str
    answered_at: float | None
    status: int | None


@dataclass(slots=True)
class Findings:
    """Each entry says what was found, so that it can be looked for."""

    events: int = 0
    posts: int = 0
    lost: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    duplicated: list[Post] = field(default_factory=list)
    unrecorded: list[Post] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        return (
            [f"lost: {what}" for what in self.lost]
            + [f"unexpected: {what}" for what in self.unexpected]
            + self.wrong
        )

    def __str__(self) -> str:
        return (
            f"{self.events} events, {self.posts} POSTs: lost {len(self.lost)}, "
            f"unexpected {len(self.unexpected)}, duplicated {len(self.duplicated)}, "
            f"unrecorded {len(self.unrecorded)}, wrong {len(self.wrong)}"
        )


def read_ledger(path: Path) -> list[Post]:
    """The receivers' ledger, in order of arrival."""
    arrivals: dict[int, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        serial = entry.pop("serial")
        if "status" in entry:
            arrivals[serial] |= {"answered_at": entry["at"], "status": entry["status"]}
        else:
            arrivals[serial] = {**entry, "answered_at": None, "status": None}
    return [Post(**arrivals[serial]) for serial in sorted(arrivals)]


def judge(
    emitted: Emitted,
    stored: set[int],
    subscriptions: Mapping[str, Sequence[str]],
    posts: Sequence[Post],
    attempts: Sequence[Mapping[str, Any]],
    faults: Sequence[Fault],
    *,
    longest: float,
    frozen: bool = False,
    stepped: bool = False,
) -> Findings:
    """Compare what was committed with what arrived.

    `stored`: the numbers in the events table; `subscriptions`: the types for each endpoint;
    `attempts`: `delivery attempt outcome started next_at state`, times in epoch seconds;
    `longest`: seconds an attempt and its recording may take; `frozen`: daemons were stopped in the
    middle, so the times in signatures say nothing; `stepped`: the database's clock was set, so its
    times say nothing of whether an attempt was made too early.
    """
    expected = emitted.committed | (emitted.unknown & stored)
    findings = Findings(events=len(expected), posts=len(posts))
    findings.wrong += [f"committed event {n} is not in the table" for n in expected - stored]
    _classify(findings, emitted, expected, subscriptions, posts)
    _hold_to_contract(findings, posts, frozen=frozen)
    _account(findings, posts, attempts, faults, longest)
    forgotten = {
        post.delivery
        for post in posts
        if any(f.at - longest < post.at < f.at + LAG for f in faults if f.forgets)
    }
    histories = [row for row in attempts if row["delivery"] not in forgotten]
    _follow_histories(findings, histories, stepped=stepped)
    return findings


def _classify(
    findings: Findings,
    emitted: Emitted,
    expected: set[int],
    subscriptions: Mapping[str, Sequence[str]],
    posts: Sequence[Post],
) -> None:
    pairs = {
        (e, n) for e, types in subscriptions.items() for n in expected if emitted.types[n] in types
    }
    succeeded: dict[tuple[str, int], float] = {}
    for post in posts:
        pair = (post.endpoint, post.n)
        if pair not in pairs:
            findings.unexpected.append(f"{post.n} ({post.type}) at {post.endpoint}")
        if post.at > succeeded.get(pair, post.at):
            findings.duplicated.append(post)
        if post.status == 200 and post.answered_at is not None:
            succeeded[pair] = min(post.answered_at, succeeded.get(pair, post.answered_at))
    findings.lost += [
        f"{n} ({emitted.types[n]}) for {e}" for e, n in sorted(pairs - succeeded.keys())
    ]


def _hold_to_contract(findings: Findings, posts: Sequence[Post], *, frozen: bool) -> None:
    bodies: dict[int, set[tuple[str, str]]] = defaultdict(set)
    for post in posts:
        bodies[post.n].add((post.event, post.body))
        if post.fault:
            findings.wrong.append(f"signature of {post.delivery}: {post.fault}")
        if not frozen and abs(post.timestamp - post.at) > STALE:
            findings.wrong.append(
                f"{post.delivery} was signed {post.at - post.timestamp:.1f} s ago"
            )
    findings.wrong += [f"event {n} has {len(of)} bodies" for n, of in bodies.items() if len(of) > 1]


def _account(
    findings: Findings,
    posts: Sequence[Post],
    attempts: Sequence[Mapping[str, Any]],
    faults: Sequence[Fault],
    longest: float,
) -> None:
    """A POST without a row must have been under way when something was cut off."""
    rows = Counter((row["delivery"], row["attempt"]) for row in attempts)
    answered = Counter(
        (row["delivery"], row["attempt"]) for row in attempts if row["outcome"] in ("ok", "http")
    )
    arrived: dict[tuple[str, int], list[Post]] = defaultdict(list)
    for post in posts:
        arrived[post.delivery, post.attempt].append(post)
    for attempt, answers in answered.items():
        if answers > len(arrived[attempt]):
            findings.wrong.append(f"phantom: {attempt} has {answers} answers on record")
    cuts = [fault.at for fault in faults if fault.cuts]
    for attempt, of in arrived.items():
        missing = len(of) - rows[attempt]
        if missing <= 0:
            continue
        cut = [p for p in of if any(at - longest < p.at < at + LAG for at in cuts)]
        findings.unrecorded += cut[:missing]
        if missing > len(cut):
            findings.wrong.append(
                f"{attempt}: {missing} POSTs without a row, {len(cut)} were cut off"
            )


def _follow_histories(
    findings: Findings, attempts: Sequence[Mapping[str, Any]], *, stepped: bool
) -> None:
    histories: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in attempts:
        histories[row["delivery"]].append(row)
    for delivery, history in histories.items():
        numbers = {row["attempt"] for row in history}
        if numbers != set(range(1, max(numbers) + 1)):
            findings.wrong.append(f"{delivery} has attempts {sorted(numbers)}")
        ends = Counter(row["state"] for row in history if row["state"])
        if ends.total() > 1:
            findings.wrong.append(f"{delivery} ended more than once: {dict(ends)}")
        due = {row["attempt"]: row["next_at"] for row in history if row["next_at"]}
        for row in history:
            if row["started"] < due.get(row["attempt"] - 1, 0.0) - EARLY and not stepped:
                early = due[row["attempt"] - 1] - row["started"]
                findings.wrong.append(
                    f"{delivery}: attempt {row['attempt']} was made {early:.3f} s too early"
                )
