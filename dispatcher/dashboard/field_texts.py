"""The texts of a form's fields: compared with what the page had shown, and read as JSON. Pure.

Texts are compared, and not the values that a JSON reader makes of them. Otherwise a value that the
reader changes could differ from itself, and Python would find `1` equal to `true`.
"""

from pydantic_core import from_json

from dispatcher.api.requests import json_body
from dispatcher.api.types import HttpError
from dispatcher.core.errors import InvalidError
from dispatcher.dashboard.template_filters import editable


def one_line(text: str) -> str:
    """Return a text as a field of one line holds it, without spaces around it.

    A browser takes line ends out of such a field.
    """
    return text.replace("\r", "").replace("\n", "").strip()


def is_same_json(typed: str, stored: str) -> bool:
    """Return True if a field has the JSON that is stored, in other spaces at most."""
    return _set_out(typed) == _set_out(stored)


def read_json(field: str, text: str) -> object:
    """Return the value of a field with JSON, None if it is empty.

    Read it like the body of a request to the API. Raise InvalidError if the API would refuse it.
    """
    if not text.strip():
        return None
    try:
        json_body.check(text.encode())
        return from_json(text)
    except HttpError as failure:
        raise InvalidError.field(field, failure.title.removeprefix("The body ")) from None
    except ValueError as error:
        raise InvalidError.field(field, f"is not JSON: {json_body.one_line(str(error))}") from None


def _set_out(text: str) -> str:
    return editable(text.replace("\r\n", "\n").strip())
