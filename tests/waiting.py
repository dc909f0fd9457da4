"""Waiting for what no event announces: rows of a table, counts, other processes."""

import asyncio
import time
from collections.abc import Awaitable, Callable

FIRST_PAUSE_SECONDS = 0.005
PAUSE_LIMIT_SECONDS = 0.05
"""Between two looks. The pause grows up to the longest one, as most conditions ask the database."""


async def until(
    condition: Callable[[], Awaitable[object] | object],
    what: str,
    *,
    within: float = 60.0,
    every: float | None = None,
) -> None:
    """Return once `condition()`, or what awaiting it returns, is true.

    `what` says in words what should happen. After `within` seconds, raise TimeoutError with these
    words. `every` is a fixed number of seconds between two looks, for those who measure.
    """
    deadline = time.monotonic() + within
    pause = every or FIRST_PAUSE_SECONDS
    while True:
        answer = condition()
        if await answer if isinstance(answer, Awaitable) else answer:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within} s: {what}")
        await asyncio.sleep(pause)
        pause = every or min(pause * 1.25, PAUSE_LIMIT_SECONDS)


def block_until(condition: Callable[[], object], what: str, *, within: float = 60.0) -> None:
    """Do the same without an event loop: block this thread until `condition()` is true."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within} s: {what}")
        time.sleep(FIRST_PAUSE_SECONDS)
