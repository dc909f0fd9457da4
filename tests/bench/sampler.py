"""Where a daemon's time goes: a profile by samples of its stack, summed up by role."""

import asyncio
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench import installed

REQUIREMENTS = Path(__file__).parent / "sampler.txt"
RATE = 200
"""Samples a second: the daemon stands still for each."""
LIMIT_SECONDS = 120
LOOP = "event loop and kernel"
"""Of a sample without a frame of any role."""
ROLES = (
    ("asyncpg/", "driver"),
    ("dispatcher/store/", "store"),
    ("dispatcher/core/signing", "signing"),
    ("dispatcher/core/request_headers", "signing"),
    ("dispatcher/transport/", "transport"),
    ("dispatcher/engine/sending/recorder", "recording"),
    ("dispatcher/engine/upkeep/statistics", "statistics"),
    ("dispatcher/telemetry/", "statistics"),
    ("dispatcher/engine/sending/attempt", "attempt"),
    ("dispatcher/core/", "attempt"),
    ("dispatcher/engine/fanout", "fan-out"),
    ("dispatcher/engine/sending/body_cache", "fan-out"),
    ("dispatcher/engine/sending/deliver", "queues"),
    ("dispatcher/engine/", "queues"),
)
"""Parts of a file's path, and the role of its frames. The first that fits counts."""


@asynccontextmanager
async def sampling(pid: int) -> AsyncIterator[list[str]]:
    """Take samples of a process. At the end the list has one line, or none if it was not possible."""
    lines: list[str] = []
    programs = installed.install("sampler", REQUIREMENTS)
    if programs is None:
        yield lines
        return
    with tempfile.NamedTemporaryFile("r", suffix=".stacks") as file:
        command = [str(programs / "py-spy"), "record", "--pid", str(pid), "--rate", str(RATE)]
        command += ["--duration", str(LIMIT_SECONDS), "--format", "raw", "--output", file.name]
        quiet = asyncio.subprocess.DEVNULL
        started = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
        await asyncio.sleep(0.3)  # it has no sign for having begun
        try:
            yield lines
        finally:
            if started.returncode is None:
                started.send_signal(signal.SIGINT)  # it writes the file
            await started.wait()
        counts = by_role(file.read())
    if counts:
        lines.append(said(counts))


def by_role(stacks: str) -> Counter[str]:
    """Return the samples of each role. A line is a stack, outermost first, and its number."""
    counts: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, number = line.rpartition(" ")
        counts[_role(stack.split(";"))] += int(number)
    return counts


def _role(frames: list[str]) -> str:
    """Return the role of the innermost frame that has one."""
    for frame in reversed(frames):
        for part, role in ROLES:
            if part in frame:
                return role
    return LOOP


def said(counts: Counter[str]) -> str:
    """Return one line: the share of each role."""
    number = counts.total()
    shares = ", ".join(f"{role} {count / number:.0%}" for role, count in counts.most_common())
    return f"the daemon's time, {number:,} samples: {shares}"
