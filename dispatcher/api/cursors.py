"""Cursors: signed positions in a listing, so that a client cannot forge or transfer them."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from dispatcher.api.types import Detail, HttpError

TAG_BYTES = 16
"""Bytes of the signature in a cursor: half of a SHA-256, which keeps cursors short."""


class Cursors:
    """The signing of cursors.

    `key` must be the same in all daemons of a database, so that each accepts the cursors of the
    others.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, position: str, listing: str) -> str:
        """Return the cursor for a position in a listing."""
        sealed = self._tag(position, listing) + position.encode()
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, cursor: str, listing: str) -> str:
        """Return the position in a cursor.

        Raise an HttpError (400) if the cursor does not belong to this listing.
        """
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


def listing(path: str, environment_id: str, parameters: Mapping[str, object]) -> str:
    """Return the identity of a listing, to which its cursors are bound.

    `parameters` are those of the query. Another path, environment or filter makes another listing.
    """
    filters = parameters.keys() - {"cursor", "limit"}
    text = "&".join(f"{name}={parameters[name]}" for name in sorted(filters))
    return f"{environment_id} {path}?{text}"


def _not_ours() -> HttpError:
    return HttpError(
        400,
        "bad_cursor",
        "The cursor does not belong to this listing",
        Detail("is not a cursor of this listing with these filters", parameter="cursor"),
    )
