"""The password file of PostgreSQL's programs, by libpq's rules.

The driver has a reader of its own, which leaves the backslashes of `a\\:b` in the password.
"""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

LARGEST_FILE_BYTES = 1024 * 1024

_FIELD = re.compile(r"((?:\\.|[^\\:]|\\$)*)(:|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Passwords:
    """The lines of a password file: host, port, database, user and password of each."""

    lines: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()

    def find(self, host: str, port: int, database: str, user: str) -> str | None:
        """Return the password of the first line that fits; None if none does.

        A socket is known by its directory, and by `localhost`.
        """
        hosts = {host, "localhost"} if host.startswith("/") else {host}
        for line in self.lines:
            fits = line[0] == "*" or line[0] in hosts
            rest = zip(line[1:4], (str(port), database, user), strict=True)
            if fits and all(wanted in ("*", given) for wanted, given in rest):
                return line[4]
        return None


def read(path: Path | None) -> Passwords:
    """Return the passwords in a file; none, with a warning, from one that others may read.

    A file that is not there, or not for us to read, has no passwords in it.
    """
    if path is None:
        return Passwords()
    try:
        status = os.stat(path)
        if message := _distrusted(status.st_mode):
            return Passwords(warnings=(f"the password file {path} is ignored: {message}",))
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST_FILE_BYTES)
    except OSError:
        return Passwords()
    except UnicodeDecodeError:
        return Passwords(warnings=(f"the password file {path} is ignored: it is not UTF-8 text",))
    return Passwords(tuple(filter(None, map(_line, text.splitlines()))))


def _distrusted(mode: int) -> str | None:
    if not stat.S_ISREG(mode):
        return "it is not a plain file"
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "others may read or write it; run chmod 0600 on it"
    return None


def _line(text: str) -> tuple[str, ...] | None:
    """Return the five fields of a line, without the backslash before a : or a backslash."""
    if text.startswith("#"):
        return None
    fields = [re.sub(r"\\(.)", r"\1", found[1]) for found in _FIELD.finditer(text)]
    return tuple(fields[:5]) if len(fields) >= 5 else None
