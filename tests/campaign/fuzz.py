"""Any bytes as an answer, in any segments: no exception but the declared one, no growth, no hang.

python -m tests.campaign.fuzz [--inputs N] [--seed N]
"""

import argparse
import random
import sys
from collections import Counter
from pathlib import Path
from time import monotonic

from dispatcher.embedded_postgres.server import EmbeddedPostgres
from dispatcher.transport.answer import Answer
from dispatcher.transport.answer_head import HEADERS_LIMIT_BYTES, NotHttpError

BODY_LIMIT = 256
SLOW_SECONDS = 0.5
"""One input is a few hundred bytes: what takes so long, on whatever machine, hangs."""

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
    return bytes(data)


def feed(data: bytes, rng: random.Random) -> tuple[int, Answer]:
    """Return the verdict (-1: not HTTP) and the answer, fed in segments of any size."""
    answer = Answer(BODY_LIMIT)
    at = 0
    try:
        while at < len(data):
            size = rng.choice((1, 2, 3, 7, 40, 4096))
            if answer.feed(data[at : at + size]):
                return answer.status, answer
            at += size
        answer.end_of_input(clean=rng.random() < 0.5)
    except NotHttpError:
        return -1, answer
    return answer.status, answer


def check(data: bytes, rng: random.Random) -> int:
    began = monotonic()
    verdict, answer = feed(data, rng)
    whole, _ = feed(data, random.Random(0))
    assert verdict == whole, (verdict, whole, data)
    assert len(answer.body) <= BODY_LIMIT, data
    assert sum(len(n) + len(v) for n, v in answer.headers) <= HEADERS_LIMIT_BYTES, data
    assert not (answer.keeps_alive and answer.ended and answer.truncated), data
    assert monotonic() - began < SLOW_SECONDS, data
    return verdict


def fuzz(inputs: int, rng: random.Random) -> tuple[str, list[str]]:
    """Return the figures of so many inputs, and what went wrong."""
    verdicts: Counter[int] = Counter()
    violations: list[str] = []
    for _ in range(inputs):
        data = one(rng)
        try:
            verdicts[check(data, rng)] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            violations.append(f"{error!r} for {data!r}")
    counted = ", ".join(f"{count} of {verdict}" for verdict, count in verdicts.most_common(6))
    return f"{inputs} answers: {counted}", violations


async def play(
    directory: Path, server: EmbeddedPostgres, chance: random.Random, *, short: bool
) -> tuple[str, list[str]]:
    """Play it as one of the campaigns: it needs neither directory nor server."""
    return fuzz(5_000 if short else 1_000_000, chance)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    figures, violations = fuzz(args.inputs, random.Random(args.seed))
    print("\n".join([figures, f"unexpected {len(violations)}", *violations[:10]]))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
