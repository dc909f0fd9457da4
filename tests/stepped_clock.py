"""A clock of a database server that can be set: libfaketime stands before it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from dispatcher.embedded_postgres import process

LIBRARIES = [
    *Path("/usr/lib").glob("*/faketime/libfaketime.so.1"),
    *Path("/usr/lib/faketime").glob("libfaketime.so.1"),
    *Path("/usr/lib64/faketime").glob("libfaketime.so.1"),
]


class SteppedClock:
    """The clock of a server's processes, some seconds ahead of this machine's or behind it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, seconds: int) -> None:
        """Set the clock `seconds` ahead of this machine's, or behind if they are negative.

        Each process reads the file whenever it asks for the time, so all see the step at once.
        """
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.replace(self._file)


@contextmanager
def stepped_clock(directory: Path) -> Iterator[SteppedClock]:
    """Set the clock of servers that are started in this context.

    This process, and servers that were started before, keep the machine's.
    """
    file = directory / "offset"
    environment = {
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    kept = (*process.KEPT_ENVIRONMENT, *environment)
    with (
        patch.object(process, "KEPT_ENVIRONMENT", kept),
        patch.dict(os.environ, {**environment, "LD_PRELOAD": str(LIBRARIES[0])}),
    ):
        yield SteppedClock(file)
