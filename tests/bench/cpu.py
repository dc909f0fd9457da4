"""Who spends CPU: sessions of PostgreSQL by name, processes, and what the machine has left."""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg

from tests.bench import stage

SESSIONS = """
SELECT pid, CASE WHEN backend_type = 'client backend' THEN replace(application_name, 'dispatcher/', '') ELSE backend_type END AS name
FROM pg_stat_activity WHERE pid <> pg_backend_pid() OR application_name = 'producer'
"""
LEAST = 0.5
"""Of the last digit: a session that takes less is not named."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Microseconds so far, or between two looks: of processes, their kernel part, and sessions."""

    at: float
    processes: Mapping[str, float]
    kernel: Mapping[str, float]
    sessions: Mapping[str, float]
    idle: float

    def since(self, before: "Spent") -> "Spent":
        """Return what was spent since `before`; `at` is how many seconds that took."""
        return Spent(
            self.at - before.at,
            _less(self.processes, before.processes),
            _less(self.kernel, before.kernel),
            _less(self.sessions, before.sessions),
            self.idle - before.idle,
        )

    @property
    def microseconds(self) -> float:
        """All of them."""
        return sum(self.processes.values()) + sum(self.sessions.values())

    def of_each(self, number: int) -> str:
        """Return what each of so many deliveries cost, in words."""
        parts = [
            f"{name} {us / number:.0f} ({self.kernel[name] / number:.0f} in the kernel)"
            for name, us in _largest(self.processes)
        ]
        server = sum(self.sessions.values()) / number
        parts.append(f"PostgreSQL {server:.0f} ({named(self.sessions, number)})")
        return f"{', '.join(parts)}: {self.microseconds / number:.0f} µs in all"

    def of_machine(self) -> str:
        """Return how many cores were used, in words."""
        cores, seconds = os.cpu_count() or 1, self.at
        used, idle = self.microseconds / 1e6 / seconds, self.idle / 1e6 / seconds
        return f"{used:.2f} of {cores} cores; {idle:.2f} were idle"


def _less(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: us - before.get(name, 0.0) for name, us in after.items()}


def _largest(spent: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(spent.items(), key=lambda part: -part[1])


def named(sessions: Mapping[str, float], number: float, digits: int = 1) -> str:
    """Return the sessions that took most, and what each took of one delivery."""
    shown = [
        f"{name} {us / number:.{digits}f}"
        for name, us in _largest(sessions)
        if us / number >= LEAST / 10**digits
    ]
    return ", ".join(shown)


async def look(connection: "asyncpg.Connection[Any]", pids: Mapping[str, int]) -> Spent:
    """Return what was spent so far by the sessions of the server and by these processes."""
    return Spent(
        monotonic(),
        {name: stage.cpu_seconds(pid) * 1e6 for name, pid in pids.items()},
        {name: stage.kernel_seconds(pid) * 1e6 for name, pid in pids.items()},
        await by_session(connection),
        _idle_seconds() * 1e6,
    )


async def by_session(connection: "asyncpg.Connection[Any]") -> dict[str, float]:
    """Return microseconds of CPU of the sessions of the server, by their names."""
    spent: dict[str, float] = defaultdict(float)
    for row in await connection.fetch(SESSIONS):
        try:
            spent[row["name"]] += stage.microseconds_on_cpu(row["pid"])
        except OSError:  # it has ended since
            continue
    return dict(spent)


def _idle_seconds() -> float:
    """Return for how long the cores of this machine had nothing to do, summed up."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
