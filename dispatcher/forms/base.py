"""What all forms have in common, and the kinds of value in them.

A form is written in snake_case; over the wire it is also read in camelCase (the alias). Forms are
strict: what the published schema forbids is refused, and what it does not know as well.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from dispatcher import patterns
from dispatcher.refusals import Invalid, Problem


class Form(BaseModel):
    """Read from JSON by `model_validate_json`, or built by keyword in Python."""

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

    def given(self) -> dict[str, Any]:
        """What was said, by field name: a field not mentioned is not in it."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def problems(error: ValidationError) -> Invalid:
    """What is wrong with a form, without the values: one may be a secret."""
    return Invalid(*(Problem(p["loc"], _sentence(p)) for p in error.errors()))


def _sentence(problem: ErrorDetails) -> str:
    if problem["type"] in _SAID:
        return _SAID[problem["type"]]
    return _SHOULD.sub("must", problem["msg"].removeprefix("Value error, "))


_SAID = {"missing": "is required", "extra_forbidden": "is not known here"}
_SHOULD = re.compile(r"^(Input|String|Value|List|Dictionary|Object) should")


def _printable(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must be printable characters, and not only spaces")
    return text


def _moment(value: datetime) -> datetime:
    if not datetime(2000, 1, 1, tzinfo=UTC) <= value <= datetime(2200, 1, 1, tzinfo=UTC):
        raise ValueError("must be between the years 2000 and 2200")
    return value


Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
"""What people call a thing."""

EventType = Annotated[
    str,
    StringConstraints(min_length=1, max_length=patterns.LONGEST),
    AfterValidator(patterns.parse_type),
    Field(json_schema_extra={"pattern": r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$"}),
]
EnvironmentId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Moment = Annotated[AwareDatetime, Field(strict=False), AfterValidator(_moment)]
"""RFC 3339, with an offset."""
Limit = Annotated[int, Field(ge=1, le=100, strict=False)]
"""Items on a page."""
