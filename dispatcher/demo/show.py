"""What the demo shows: samples without end, or a number of them and a result."""

import asyncio
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from statistics import median
from time import monotonic
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import click

from dispatcher.demo.application import Application, example_insert
from dispatcher.demo.cast import ROLES
from dispatcher.demo.receiver import Arrival, Receiver
from dispatcher.demo.samples import Sample, samples
from dispatcher.embedded_postgres import binaries
from dispatcher.engine.stages.loop import wait_for_event
from dispatcher.store.errors import StatementTimeoutError, StoreError

PERIOD_SECONDS = 1.0
"""The time between two samples."""
SINGLES_LIMIT = 500
"""Most events with their own INSERT in one run; the rest are one statement."""
QUIET_LIMIT_SECONDS = 20.0
"""The time without an arrival after which the demo stops waiting."""
RECORD_LIMIT_SECONDS = 10.0
"""The time from the last arrival until it must be recorded."""
PROBLEMS_LIMIT = 5
"""Most lines about problems."""


@dataclass(slots=True)
class Tally:
    """The demo's own events that have arrived."""

    expected: int
    bar: "click._termui_impl.ProgressBar[int]"
    latencies: dict[str, float] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    last: float = field(default_factory=monotonic)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    def seconds_left(self) -> float:
        """Return for how many more seconds to wait."""
        return self.last + QUIET_LIMIT_SECONDS - monotonic()

    def note(self, arrival: Arrival) -> None:
        """Count an arrival, and set `complete` when the last sample is there."""
        self.last = monotonic()
        if arrival.fault:
            self.faults[arrival.fault] += 1
        elif arrival.sample and arrival.event not in self.latencies:
            self.latencies[arrival.event] = arrival.latency
            self.bar.update(1)
        if len(self.latencies) == self.expected:
            self.complete.set()


class Show:
    """The output of the demo.

    `emit_each_second` and `emit_and_wait` return True if everything went well.
    """

    def __init__(self, application: Application, receiver: Receiver, webhook_id: UUID) -> None:
        self._application = application
        self._receiver = receiver
        self._webhook_id = webhook_id

    def print_addresses(self, dsn: str, admin: str, link: str) -> None:
        """Print all addresses, how to emit an event by hand, and last the one-time login link."""
        sql = example_insert(self._application.environment).replace('"', '\\"')
        click.echo(f"API         {admin}/api/webhooks (needs a token: dispatcher token create)")
        click.echo(f"            {admin}/openapi.json describes it")
        click.echo(f"receivers   {self._receiver.url}, which verify every signature and byte:")
        for role in ROLES:
            click.echo(f"              {role.name:<11} {role.behaviour}")
        click.echo(f'\nEmit an event yourself:\n\n  {_psql(dsn)} \\\n    -c "{sql}"\n')
        click.echo("The dashboard, by a login link that works once, within ten minutes:\n")
        click.echo(f"  {click.style(link, bold=True)}\n")

    async def emit_each_second(self, events: int | None) -> bool:
        """Emit a sample every second, at most `events`, and show arrivals until cancelled."""
        self._receiver.arrived = self._show
        for sample in islice(samples(), events):
            try:
                await self._emit_one(sample)
            except (StoreError, StatementTimeoutError) as error:
                click.echo(f"The sample was not emitted: {error}", err=True)
            await asyncio.sleep(PERIOD_SECONDS)
        await asyncio.Event().wait()
        return True

    async def emit_and_wait(self, events: int) -> bool:
        """Emit `events` samples, wait until all are delivered and verified, and print a result."""
        with _progress(events) as bar:
            tally = Tally(events, bar)
            self._receiver.arrived = tally.note
            await self._emit(list(islice(samples(), events)))
            tally.last = monotonic()
            while not tally.complete.is_set() and (left := tally.seconds_left()) > 0:
                await wait_for_event(tally.complete, left)
        delivered = await self._recorded(list(tally.latencies))
        verified = len(tally.latencies)
        succeeded = delivered == verified == events and not tally.faults
        if not succeeded:
            await self._print_problems(tally)
        p50 = f"{median(tally.latencies.values()) * 1000:.1f}" if verified else "-"
        click.echo(f"{delivered} delivered, {verified} verified, p50 {p50} ms")
        return succeeded

    async def _emit(self, events: Sequence[Sample]) -> None:
        singles = min(SINGLES_LIMIT, (len(events) + 1) // 2)
        for sample in events[:singles]:
            await self._emit_one(sample)
        if rest := events[singles:]:
            self._receiver.emitted.add(*rest)
            await self._application.emit_many(rest)

    async def _emit_one(self, sample: Sample) -> None:
        self._receiver.emitted.add(sample)
        await self._application.emit(sample)

    async def _recorded(self, events: Sequence[str]) -> int:
        """Return how many are recorded as delivered; wait for the last ones for some seconds."""
        deadline = monotonic() + RECORD_LIMIT_SECONDS
        while True:
            recorded = await self._application.recorded(self._webhook_id, events)
            if recorded >= len(events) or monotonic() > deadline:
                return recorded
            await asyncio.sleep(0.05)

    async def _print_problems(self, tally: Tally) -> None:
        for fault, count in tally.faults.most_common(PROBLEMS_LIMIT):
            requests = "1 request was" if count == 1 else f"{count:,} requests were"
            click.echo(f"{requests} not verified: {fault}", err=True)
        missing = tally.expected - len(tally.latencies)
        if missing > 0:
            click.echo(f"{missing} of {tally.expected} events did not arrive.", err=True)
        for line in await self._application.unfinished(self._webhook_id, PROBLEMS_LIMIT):
            click.echo(f"  {line}", err=True)

    def _show(self, arrival: Arrival) -> None:
        if arrival.sample:
            self._receiver.emitted.forget(arrival.sample)
        click.echo(_arrival_line(arrival, shown_columns()))


def _arrival_line(arrival: Arrival, limit: int | None) -> str:
    """Return the line about a request, a shorter one unless `limit` is None.

    The text of a fault is cut to fit into `limit` columns, but keeps 12 characters.
    """
    now = datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]
    latency = f"{arrival.latency * 1000:7.1f} ms"
    verdict = f"NOT VERIFIED: {arrival.fault}" if arrival.fault else "verified"
    answer = click.style(f"{arrival.status} {arrival.role}", fg=_colour(arrival))
    if limit is None:
        event = f"{arrival.type:<24} {arrival.event:<23}"
        return f"{now}  {event}  attempt {arrival.attempt}  {latency}  {verdict}, {answer}"
    type_ = arrival.type if len(arrival.type) <= 24 else f"{arrival.type[:23]}…"
    head = f"{now[:8]}  {type_:<24}  attempt {arrival.attempt}  {latency}"
    # Behind the answer there is room for the role, and for the beginning of a fault.
    if arrival.fault:
        return f"{head}  {click.style(verdict[: max(12, limit - len(head) - 2)], fg='red')}"
    return f"{head}  {answer}"


def _colour(arrival: Arrival) -> str:
    return "green" if arrival.status < HTTPStatus.BAD_REQUEST else "red"


def shown_columns() -> int | None:
    """Return the width of the terminal, None if standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _psql(dsn: str) -> str:
    """Return the psql command for this database, without the password: psql asks for it."""
    url = urlsplit(dsn)
    query = parse_qs(url.query)
    hosts, _, port = url.netloc.rpartition("@")[2].partition(":")
    options = {
        "-h": query.get("host", [hosts])[0],
        "-p": query.get("port", [port])[0],
        "-U": unquote(url.username or ""),
        "-d": unquote(url.path[1:]),
    }
    words = [word for option, value in options.items() if value for word in (option, value)]
    return shlex.join([_psql_program(), *words])


def _psql_program() -> str:
    if shutil.which("psql"):
        return "psql"
    try:
        beside = binaries.find().directory / "psql"
    except binaries.PostgresUnavailableError:
        return "psql"
    return str(beside) if beside.exists() else "psql"


def _progress(events: int) -> "AbstractContextManager[click._termui_impl.ProgressBar[int]]":
    return click.progressbar(
        length=events, label="delivering", file=sys.stderr, hidden=not sys.stderr.isatty()
    )
