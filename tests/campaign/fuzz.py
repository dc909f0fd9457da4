"""Any bytes as an answer, in any segments: no exception but the declared one, no growth, no hang.

python -m tests.campaign.fuzz [--inputs N] [--seed N]
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from dispatcher.embedded_postgres.server import EmbeddedPostgres
from dispatcher.transport.deadlines import Deadlines
from dispatcher.transport.exchanging.answer import Answer
from dispatcher.transport.exchanging.answer_head import HEADERS_LIMIT_BYTES, Head, NotHttpError
from dispatcher.transport.exchanging.body_turns import BodyTurns
from dispatcher.transport.exchanging.exchange import Connection, EndedError
from tests.campaign.receivers import resident_mib

BODY_LIMIT = 256
ANSWER_LIMIT_SECONDS = 2.0
"""Most inputs are a few hundred bytes: what takes so long, on whatever machine, hangs."""
LARGE_PART = 0.001
LARGE_BYTES = 100_000
"""A thousandth of the inputs is longer than a head may be."""
INPUTS_A_TURN = 1000
GROWTH_MIB = 8.0
VIOLATION_CHARACTERS = 2000

PIECES = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 ", b"HTTP/1.0 200\n", b"http/2 204\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switch\r\n", b"HTTP/1.1 410 Gone\r\n", b"HTTP/1.1 304\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n",
    b" ", b"\t", b":", b",", b"\x00", b"\xff", b"0\r\n\r\n", b"5\r\nhello\r\n", b"1;a=b\r\nx\r\n", b"fffffffff\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 300\r\n", b"Content-Length: x\r\n", b"content-length : 1\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Connection: close\r\n",
    b"Keep-Alive: timeout=5\r\n", b"X-A: b\r\n", b" folded\r\n", b"hello" * 30, b"X: " + b" " * 300 + b"\r\n",
]  # fmt: skip


def one(rng: random.Random) -> bytes:
    """Return an input: pieces of answers and noise, sometimes an answer with some bytes changed."""
    data = bytearray(b"HTTP/1.1 200 OK\r\n" if rng.random() < 0.7 else b"")
    for _ in range(rng.randrange(12)):
        data += rng.choice(PIECES) if rng.random() < 0.9 else rng.randbytes(rng.randrange(12))
    for _ in range(rng.choice((0, 0, 0, 1, 3))):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    if data and rng.random() < LARGE_PART:
        data *= LARGE_BYTES // len(data) + 1
    return bytes(data)


def segments(data: bytes, rng: random.Random) -> Iterator[bytes]:
    """Yield the bytes in segments of any size."""
    at = 0
    while at < len(data):
        size = rng.choice((1, 2, 3, 7, 40, 4096, LARGE_BYTES))
        if len(data) > LARGE_BYTES:
            size *= 100  # a byte at a time would take seconds
        yield data[at : at + size]
        at += size


def feed(data: bytes, rng: random.Random) -> tuple[int, Answer]:
    """Return the verdict (-1: not HTTP) and the answer, fed in segments of any size."""
    answer = Answer(BODY_LIMIT)
    try:
        for segment in segments(data, rng):
            if answer.feed(segment):
                return answer.status, answer
        answer.end_of_input(clean=rng.random() < 0.5)
    except NotHttpError:
        return -1, answer
    return answer.status, answer


class Wire(asyncio.Transport):
    """A transport that sends nothing, and knows whether it was aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send nothing."""

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Have no limits."""


class Exchanges:
    """Exchanges on connections whose bytes come from here."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines()
        self._turns = BodyTurns(self._loop)
        self._lost = 0
        self._kept = 0

    def run(self, data: bytes, rng: random.Random) -> int:
        """Return the verdict (-1: not HTTP) of one exchange, whose connection then ends."""
        wire = Wire()
        connection = Connection(
            self._loop, self._turns, self._deadlines, on_idle=self._keep, on_lost=self._note
        )
        connection.connection_made(wire)
        done = connection.post(b"", b"", BODY_LIMIT, 60.0, monotonic())
        kept = self._kept
        for segment in segments(data, rng):
            if wire.is_aborted:
                break
            connection.data_received(segment)
        is_kept = self._kept > kept
        assert not is_kept or (done.done() and not done.result().truncated), data
        lost = self._lost
        connection.connection_lost(ConnectionResetError() if rng.random() < 0.5 else None)
        assert self._lost == lost + 1
        assert done.done(), data
        error = done.exception()
        assert error is None or isinstance(error, (EndedError, NotHttpError)), data
        if error is None:
            response = done.result()
            assert response.status, data
            assert len(response.body) <= BODY_LIMIT, data
            return response.status
        return -1 if isinstance(error, NotHttpError) else 0

    def _keep(self, _: Connection, head: Head) -> None:
        assert head.is_reusable
        self._kept += 1

    def _note(self, _: Connection) -> None:
        self._lost += 1


def check(data: bytes, rng: random.Random, exchanges: Exchanges) -> int:
    began = monotonic()
    verdict, answer = feed(data, rng)
    whole, _ = feed(data, random.Random(0))
    assert verdict == whole, (verdict, whole, data)
    exchanged = exchanges.run(data, rng)
    assert verdict == exchanged, (verdict, exchanged, data)
    assert len(answer.body) <= BODY_LIMIT, data
    assert sum(len(n) + len(v) for n, v in answer.headers) <= HEADERS_LIMIT_BYTES, data
    assert not (answer.is_reusable and answer.has_ended and answer.truncated), data
    assert monotonic() - began < ANSWER_LIMIT_SECONDS, data
    return verdict


async def fuzz(inputs: int, rng: random.Random) -> tuple[str, list[str]]:
    """Return the figures of so many inputs, and what went wrong."""
    verdicts: Counter[int] = Counter()
    violations: list[str] = []
    exchanges, warm = Exchanges(), 0.0
    for number in range(inputs):
        if number == inputs // 10:
            warm = resident_mib()
        if number % INPUTS_A_TURN == 0:
            await asyncio.sleep(0)  # so that the loop forgets what was written
        data = one(rng)
        try:
            verdicts[check(data, rng, exchanges)] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            violations.append(f"{error!r} for {data!r}"[:VIOLATION_CHARACTERS])
    grown = resident_mib() - warm
    if grown > GROWTH_MIB:
        violations.append(f"memory grew by {grown:.1f} MiB")
    counted = ", ".join(f"{count} of {verdict}" for verdict, count in verdicts.most_common(6))
    return f"{inputs} answers: {counted}, memory {grown:+.1f} MiB", violations


async def play(
    directory: Path, server: EmbeddedPostgres, chance: random.Random, *, short: bool
) -> tuple[str, list[str]]:
    """Play it as one of the campaigns: it needs neither directory nor server."""
    return await fuzz(5_000 if short else 1_000_000, chance)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    figures, violations = asyncio.run(fuzz(args.inputs, random.Random(args.seed)))
    print("\n".join([figures, f"unexpected {len(violations)}", *violations[:10]]))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
