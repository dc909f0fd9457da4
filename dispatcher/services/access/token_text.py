"""The text of a token for the API, which is shown once. Only its SHA-256 is stored."""

import hashlib
import re
from secrets import token_urlsafe
from typing import Final

PREFIX: Final = "dsp_"
"""A prefix by which people, and programs that look for leaked secrets, recognize a token."""
RANDOM_BYTES: Final = 32

# 43 characters hold 258 bits, and a token has 256. The last two bits are always 0.
_TEXT: Final = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")


def new() -> str:
    """Return the text of a new token, which cannot be guessed."""
    return PREFIX + token_urlsafe(RANDOM_BYTES)


def is_well_formed(text: str) -> bool:
    """Return True if the text has the form of a generated token."""
    return _TEXT.fullmatch(text) is not None


def sha256(text: str) -> bytes:
    """Return the SHA-256 of a token, of ASCII characters."""
    return hashlib.sha256(text.encode("ascii")).digest()
