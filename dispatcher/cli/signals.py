"""Until somebody says that it is enough: Ctrl-C, SIGTERM, a terminal that was closed."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heard() -> Iterator[asyncio.Event]:
    """Set by the first signal; the second one is as if nobody listened."""
    loop = asyncio.get_running_loop()
    enough = asyncio.Event()

    def hear() -> None:
        enough.set()
        forget()

    def forget() -> None:
        for number in _NUMBERS:
            loop.remove_signal_handler(number)

    for number in _NUMBERS:
        loop.add_signal_handler(number, hear)
    try:
        yield enough
    finally:
        forget()


_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
