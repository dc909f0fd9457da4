"""Read a file that holds one secret, and that no other user may read."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dispatcher.config.sections import ConfigError

FILE_LIMIT_BYTES = 1024
"""A longer file is refused. Otherwise a part of a secret would be used as the secret."""

Secret = TypeVar("Secret")


class SecretFileMissingError(ConfigError):
    """The file of a secret does not exist."""


def read_secret_file(setting: str, path: Path, parse: Callable[[str], Secret]) -> Secret:
    """Return the secret in a file, as `parse` makes it from the text without surrounding space.

    `setting` is the key of the configuration that the problems are reported for. `parse` raises
    ValueError, without the text, if the text cannot be the secret. Raise SecretFileMissingError
    if the file does not exist, and ConfigError if it cannot be used.
    """
    try:
        return parse(_text(path))
    except FileNotFoundError as error:
        raise SecretFileMissingError([f"{setting}: {path}: {error.strerror}"]) from None
    except OSError as error:
        raise ConfigError([f"{setting}: {path}: {error.strerror}"]) from None
    except ValueError as error:
        raise ConfigError([f"{setting}: {path} {error}"]) from None


def _text(path: Path) -> str:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise ValueError(f"is open to others (mode {mode:04o}): chmod 600 it")
        content = file.read(FILE_LIMIT_BYTES + 1)
    if len(content) > FILE_LIMIT_BYTES:
        raise ValueError(f"must have at most {FILE_LIMIT_BYTES} bytes")
    try:
        return content.decode().strip()
    except UnicodeDecodeError:  # its text would contain bytes of the secret
        raise ValueError("must be UTF-8 text") from None
