r"""Read the password file of PostgreSQL's programs, by libpq's rules.

The driver's own reader keeps the backslash of `a\:b` in the password.
"""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

FILE_LIMIT_BYTES = 1024 * 1024
"""Most that is read of a password file, or of a file with services."""

_FIELD = re.compile(r"((?:\\.|[^\\:]|\\$)*)(:|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Passwords:
    """The lines of a password file: host, port, database, user and password of each."""

    lines: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()

    def find(self, host: str, port: int, database: str, user: str) -> str | None:
        """Return the password of the first matching line, or None if no line matches.

        A socket matches by its directory and by `localhost`.
        """
        hosts = {host, "localhost"} if host.startswith("/") else {host}
        for line in self.lines:
            fits = line[0] == "*" or line[0] in hosts
            rest = zip(line[1:4], (str(port), database, user), strict=True)
            if fits and all(pattern in ("*", value) for pattern, value in rest):
                return line[4]
        return None


def read(path: Path | None) -> Passwords:
    """Return the passwords in a file.

    Return no passwords, but a warning, if other users may read the file. Return no passwords if the
    file is missing or unreadable.
    """
    if path is None:
        return Passwords()
    try:
        status = os.stat(path)
        if message := _distrusted(status.st_mode):
            return Passwords(warnings=(f"the password file {path} is ignored: {message}",))
        with path.open(encoding="utf-8") as file:
            text = file.read(FILE_LIMIT_BYTES)
    except OSError:
        return Passwords()
    except UnicodeDecodeError:
        return Passwords(warnings=(f"the password file {path} is ignored: it is not UTF-8 text",))
    # Only line feeds end a line. A password may have other separators, such as U+2028.
    return Passwords(tuple(filter(None, map(_line, text.split("\n")))))


def _distrusted(mode: int) -> str | None:
    if not stat.S_ISREG(mode):
        return "it is not a plain file"
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "others may read or write it; run chmod 0600 on it"
    return None


def _line(text: str) -> tuple[str, ...] | None:
    """Return the five fields of a line, or None. Remove backslashes that escape a character."""
    if text.startswith("#"):
        return None
    fields = [re.sub(r"\\(.)", r"\1", match[1]) for match in _FIELD.finditer(text)]
    return tuple(fields[:5]) if len(fields) >= 5 else None
