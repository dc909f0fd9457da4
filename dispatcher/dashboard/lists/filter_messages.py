"""Say in words for people what is wrong with the filters of a list."""

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from dispatcher.dashboard.request import field_errors

_WORDS: Final = {
    "id": "An event id is evt_ and digits, such as evt_385139639918264327.",
    "status": "Choose pending, delivered, failed or cancelled.",
    "since": "This is not a time. Write it as 2026-02-26T12:00, in UTC.",
    "until": "This is not a time. Write it as 2026-02-26T12:00, in UTC.",
    "response_status": "Write a response status such as 503, or 5xx for all from 500 to 599.",
    "error_code": "Choose one of the errors.",
    "reference": "A reference has 1 to 255 characters.",
}
_YEARS: Final = "between the years"


def in_words(error: ValidationError) -> Mapping[str, str]:
    """Return what is wrong with the filters, by field, in words for people."""
    return {
        field: reason if _YEARS in reason else _WORDS.get(field, reason)
        for field, reason in field_errors(error).items()
    }
