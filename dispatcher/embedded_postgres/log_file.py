"""The server's log file."""

from pathlib import Path

FILE_LIMIT_BYTES = 8 * 1024 * 1024
"""A larger log file is renamed at the next start."""
TAIL_LINES = 4
TAIL_CHARACTERS = 800


class LogFile:
    """A log file, and the position in it at which this start of the server begins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0

    def open(self) -> None:
        """Create the file. Rename it first if it is too large."""
        if self.path.exists() and self.path.stat().st_size > FILE_LIMIT_BYTES:
            self.path.replace(self.path.with_suffix(".log.1"))
        self.path.touch(mode=0o600)
        self._start = self.path.stat().st_size

    def tail(self) -> str:
        """Return the last lines that were written since `open`, as one line."""
        with self.path.open("rb") as log:
            log.seek(self._start)
            lines = log.read().decode(errors="replace").split("\n")
        written = [line.strip() for line in lines if line.strip()]
        return " / ".join(written[-TAIL_LINES:])[-TAIL_CHARACTERS:]
