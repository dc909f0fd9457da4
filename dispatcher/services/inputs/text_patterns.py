"""The patterns that texts must match, and the words that say so to people."""

from collections.abc import Mapping
from typing import Final

from dispatcher.core.environment_ids import ID_PATTERN

RESPONSE_STATUS: Final = r"^[1-5](\d\d|xx)$"
DELIVERY_NAME: Final = r"^dlv_(0|[1-9][0-9]{0,18})$"
EVENT_NAME: Final = r"^evt_(0|[1-9][0-9]{0,18})$"
ENVIRONMENT_ID: Final = rf"^{ID_PATTERN}$"
ENVIRONMENT_ID_OR_ALL: Final = rf"^(\*|{ID_PATTERN})$"
IDEMPOTENCY_KEY: Final = r"^[!-~]{1,255}$"
NO_NUL: Final = r"^[^\x00]*$"
ASCII_OR_EMPTY: Final = r"^[ -~]*$"
ASCII: Final = r"^[ -~]+$"
USERNAME: Final = r"^[^:\x00-\x1f\x7f]*$"
NO_CONTROLS: Final = r"^[^\x00-\x1f\x7f]*$"
HEADER_NAME: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"
HEADER_VALUE: Final = r"^[!-~]([ \t!-~]*[!-~])?$"

WORDS: Final[Mapping[str, str]] = {
    RESPONSE_STATUS: "must be a status such as 503, or 5xx for all from 500 to 599",
    DELIVERY_NAME: "must be the id of a delivery, dlv_ and digits",
    EVENT_NAME: "must be the id of an event, evt_ and digits",
    ENVIRONMENT_ID: "must be 1 to 64 of the characters A-Z a-z 0-9 _ -",
    ENVIRONMENT_ID_OR_ALL: "must be the id of an environment, or * for all",
    IDEMPOTENCY_KEY: "must be 1 to 255 printable ASCII characters without spaces",
    NO_NUL: "must be without the character NUL",
    ASCII_OR_EMPTY: "must be printable ASCII characters",
    ASCII: "must be printable ASCII characters",
    USERNAME: "must be without colons and control characters",
    NO_CONTROLS: "must be without control characters",
    HEADER_NAME: "must be a name of 1 to 100 letters, digits and !#$%&'*+.^_`|~-",
    HEADER_VALUE: "must be printable ASCII characters that neither begin nor end with a space",
}
"""What a text must be, by the pattern that it does not match."""
QUOTED: Final = frozenset(
    {RESPONSE_STATUS, DELIVERY_NAME, EVENT_NAME, ENVIRONMENT_ID, ENVIRONMENT_ID_OR_ALL}
)
"""Patterns of values that are no secret, so that the message may quote a wrong one."""
QUOTE_LIMIT_CHARACTERS: Final = 80
"""How much of a wrong value is quoted."""


def reason(pattern: str, text: object) -> str | None:
    """Return why a text that does not match is refused, or None if the pattern has no words."""
    words = WORDS.get(pattern)
    if words is None or pattern not in QUOTED or not isinstance(text, str):
        return words
    return f"{words}, not {text[:QUOTE_LIMIT_CHARACTERS]!r}"
