"""Define the base class of all inputs, and their kinds of values.

Code names the fields in snake_case. A body names them in camelCase (the alias) in the envelope,
and in snake_case in JSON:API. Inputs are strict: they refuse what the published schema forbids,
and unknown fields.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from dispatcher.core import event_patterns
from dispatcher.core.errors import InvalidError, Problem
from dispatcher.core.pagination import DEFAULT_LIMIT
from dispatcher.services.inputs import text_patterns
from dispatcher.services.inputs.text_patterns import ENVIRONMENT_ID, NO_NUL


class Form(BaseModel):
    """An input, read from JSON by `model_validate_json` or built from keyword arguments."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    @classmethod
    def may_be_empty(cls) -> bool:
        """Return True if the form is valid without any field."""
        try:
            cls.model_validate({})
        except ValidationError:
            return False
        return True

    def given(self) -> dict[str, Any]:
        """Return the fields that the request mentions, by field name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


PROBLEMS_LIMIT = 20
"""Most problems in one response. More would only make the answer to nonsense longer."""


def problems(error: ValidationError) -> InvalidError:
    """Return the problems of an input without its values, because one may be a secret.

    Only a value that fails a pattern of `text_patterns.QUOTED` is quoted.
    """
    errors = error.errors(include_url=False)
    form = error.title.removesuffix("Document")  # as JSON:API wraps it
    return InvalidError(
        *(Problem(_place(p["loc"]), _sentence(p, form)) for p in errors[:PROBLEMS_LIMIT])
    )


def _place(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return the location without pydantic's marker for a problem of a key."""
    return location[:-1] if location[-1:] == ("[key]",) else location


def _sentence(problem: ErrorDetails, form: str) -> str:
    """Return the reason of a problem. `form` is the name of the input's class."""
    if problem["type"] == "extra_forbidden":
        if problem["loc"][-1:] in _KEY_FIELDS:
            return "is not known here. Send the key in the header Idempotency-Key"
        if (form, problem["loc"][-1]) in _FINAL:
            return _FINAL[form, problem["loc"][-1]]
    if problem["type"] == "string_pattern_mismatch":
        reason = text_patterns.reason(problem["ctx"]["pattern"], problem["input"])
        if reason is not None:
            return reason
    if problem["type"] in _SAID:
        return _SAID[problem["type"]]
    text = problem["msg"].removeprefix("Value error, ").replace(" after validation", "")
    return _SHOULD.sub("must", text)


_SAID = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    # Otherwise the messages would have words of Python and names of classes.
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type", "dataclass_type"), "must be an object"
    ),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "must be an array"),
    **dict.fromkeys(("uuid_type", "uuid_parsing"), "must be a UUID"),
}
_KEY_FIELDS = (("idempotencyKey",), ("idempotency_key",))
"""Fields in which people send the key of a request, although it is a header."""
_FINAL: Mapping[tuple[str, int | str], str] = {
    ("WebhookChanges", "ordered"): (
        "is chosen when the webhook is made, and cannot be changed. Create another webhook"
    )
}
"""The reason why a form has no such field, although people may see it in the resource."""
_SHOULD = re.compile(r"^(Input|String|Value|List|Tuple|Dictionary|Object) should")


def _printable(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must be printable characters, and not only spaces")
    return text


_RFC_3339 = re.compile(
    r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$", re.ASCII
)


def _rfc_3339(value: object) -> object:
    """Refuse a number: it could be seconds or milliseconds."""
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC_3339.match(value)):
        return value
    raise ValueError("must be a time with an offset, such as 2026-02-26T12:00:00Z")


def _moment(value: datetime) -> datetime:
    if not datetime(2000, 1, 1, tzinfo=UTC) <= value <= datetime(2200, 1, 1, tzinfo=UTC):
        raise ValueError("must be between the years 2000 and 2200")
    return value


Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
"""A name for people."""

Description = Annotated[str, StringConstraints(max_length=1000, pattern=NO_NUL)]

EventType = Annotated[
    str,
    StringConstraints(min_length=1, max_length=event_patterns.LIMIT_CHARACTERS),
    AfterValidator(event_patterns.parse_type),
    Field(json_schema_extra={"pattern": rf"^{event_patterns.TYPE_PATTERN}$"}),
]
EnvironmentId = Annotated[str, StringConstraints(pattern=ENVIRONMENT_ID)]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_rfc_3339),
    Field(strict=False, json_schema_extra={"pattern": _RFC_3339.pattern}),
    AfterValidator(_moment),
]
"""A time in RFC 3339, with an offset."""
Reference = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=NO_NUL)]
"""A producer's name for what an event is about."""
Limit = Annotated[int, Field(ge=1, le=100, strict=False)]
"""The number of items on a page."""


class ListQuery(Form):
    """Select a page of a list, newest first."""

    cursor: str | None = None
    limit: Limit = DEFAULT_LIMIT
