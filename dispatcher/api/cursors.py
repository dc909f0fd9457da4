"""Cursors: a position in a listing, sealed so that nobody can make one up or carry it elsewhere."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from dispatcher.api.types import Detail, Failure

TAG_BYTES = 16


class Cursors:
    """`key` is the same in all daemons of a database, so that each can go on from another's page."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, position: str, listing: str) -> str:
        sealed = self._tag(position, listing) + position.encode()
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, cursor: str, listing: str) -> str:
        """The position; a 400 for what is no cursor of this listing."""
        try:
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            sealed = base64.b64decode(padded, altchars=b"-_", validate=True)
            position = sealed[TAG_BYTES:].decode("ascii")
        except (UnicodeError, binascii.Error):
            raise _not_ours() from None
        if not hmac.compare_digest(sealed[:TAG_BYTES], self._tag(position, listing)):
            raise _not_ours()
        return position

    def _tag(self, position: str, listing: str) -> bytes:
        text = f"{listing}\n{position}".encode()
        return hmac.digest(self._key, text, hashlib.sha256)[:TAG_BYTES]


def listing(path: str, environment_id: str, filters: Mapping[str, object]) -> str:
    """What a cursor belongs to: another path, environment or filter is another listing."""
    chosen = "&".join(f"{name}={filters[name]}" for name in sorted(filters))
    return f"{environment_id} {path}?{chosen}"


def _not_ours() -> Failure:
    return Failure(
        400,
        "bad_cursor",
        "The cursor does not belong to this listing",
        Detail("is not a cursor of this listing with these filters", parameter="cursor"),
    )
