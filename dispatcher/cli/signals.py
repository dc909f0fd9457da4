"""Waiting for a signal to stop: Ctrl-C, SIGTERM, or a closed terminal."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_signal() -> Iterator[asyncio.Event]:
    """Yield an event that the first signal sets. A second signal has its default effect."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def set_stop() -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number in _NUMBERS:
            loop.remove_signal_handler(number)

    for number in _NUMBERS:
        loop.add_signal_handler(number, set_stop)
    try:
        yield stop
    finally:
        restore()


_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
