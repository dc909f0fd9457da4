"""The progress of work that a daemon does, on a terminal."""

import sys
from collections.abc import Awaitable, Callable

import click

POLL_SECONDS = 0.3
"""The pause between two requests for the progress."""


async def show_progress(
    label: str, total: int, update: Callable[[], Awaitable[tuple[int, bool]]]
) -> None:
    """Show the progress until the work ends.

    `update` reads it, and returns how much of `total` is done, and True while the work goes on.
    """
    import asyncio

    bar = click.progressbar(
        length=total, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    )
    is_running = True
    with bar:
        while is_running:
            await asyncio.sleep(POLL_SECONDS)
            done, is_running = await update()
            bar.update(done - bar.pos)
