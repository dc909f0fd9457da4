"""Reading of many events in one body: a JSON array, a JSON:API document with an array, or NDJSON.

The JSON text of each event's data is kept as it is.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, ValidationError

from dispatcher.api.representations import Dialect, envelope, jsonapi
from dispatcher.api.requests import json_body
from dispatcher.api.routes import Batch
from dispatcher.api.types import Detail, HttpError, Shape
from dispatcher.schema_validation.validate import NESTING_LIMIT
from dispatcher.services.inputs.base import problems
from dispatcher.services.inputs.event_inputs import BatchEvent
from dispatcher.store.queries.events import NewEventRow

NDJSON = "application/x-ndjson"
EVENTS_LIMIT = 1_000
BATCH_LIMIT_BYTES = 8 * 2**20
"""Limits of one request, so that its statement takes less than a second."""
NO_JSON = "The body is not JSON"
DUPLICATE = "An object has a key twice"
"""Titles of responses."""
FORM_LIMIT_CHARACTERS = 16 * 1024
"""Most characters of an event without its data. Validation holds the interpreter lock, and takes
long for many unknown fields."""

_DECODER = json.JSONDecoder(
    object_pairs_hook=json_body.unique,
    parse_constant=json_body.no_number,
    parse_int=json_body.integer,
)
_SPACE = re.compile(r"[ \t\n\r]*")
_SPACES = b" \t\n\r"
_ARRAY = re.compile(rb"[ \t\n\r]*\[")
_DOCUMENT = re.compile(rb'[ \t\n\r]*\{[ \t\n\r]*"data"[ \t\n\r]*:[ \t\n\r]*\[')
_DOCUMENT_END = re.compile(r"[ \t\n\r]*\}[ \t\n\r]*")


class BatchFormat(NamedTuple):
    """The format of the events of a body. `data` is the path of an event's data.

    A problem of event 3 has the pointer `before` + `/3` and the place in the event. With
    `names_lines`, its message begins with the event's line in the body of NDJSON.
    """

    dialect: Dialect
    is_ndjson: bool = False
    names_lines: bool = False

    @property
    def before(self) -> str:
        """Return the JSON pointer to the array."""
        return "/data" if self.dialect is jsonapi else ""

    @property
    def data(self) -> tuple[str, ...]:
        """Return the path of the data in an event."""
        return ("attributes", "data") if self.dialect is jsonapi else ("data",)

    def pointer(self, index: int, *place: str | int) -> str:
        """Return the JSON pointer to a place in an event."""
        return "".join([self.before, *(f"/{part}" for part in (index, *place))])


def is_ndjson(content_type: str | None) -> bool:
    """Return True if the media type is that of NDJSON."""
    return content_type is not None and content_type.partition(";")[0].strip().lower() == NDJSON


def format_of(content_type: str | None, dialect: Dialect, body: bytes) -> BatchFormat | None:
    """Return the format of the events in a body, None if it is not a batch."""
    if is_ndjson(content_type):
        return BatchFormat(envelope, is_ndjson=True, names_lines=True)
    start = _DOCUMENT if dialect is jsonapi else _ARRAY
    return BatchFormat(dialect) if start.match(body) else None


def read(
    format_: BatchFormat, batch: Batch, shape: Shape, body: bytes, *, most_data: int
) -> tuple[NewEventRow, ...]:
    """Return the events in a body. `most_data` limits the data of each, in bytes.

    Raise an HttpError that names the first wrong event: 400 if it is not JSON, 422 if it is not
    valid. Raise one (413) if there are too many events, or more than BATCH_LIMIT_BYTES.
    """
    if len(body) > BATCH_LIMIT_BYTES:
        raise _too_large(f"must be at most {BATCH_LIMIT_BYTES} bytes")
    try:
        return _rows(format_, batch, shape, body, most_data)
    except HttpError as error:
        if format_.names_lines:
            error.details = tuple(_with_line(detail, body) for detail in error.details)
        raise


def _with_line(detail: Detail, body: bytes) -> Detail:
    """Return a detail about an event with the number of its line, counted from 1."""
    if not detail.pointer:  # it is about no single event
        return detail
    lines = (number for number, line in enumerate(body.split(b"\n"), 1) if line.strip(_SPACES))
    number = next(islice(lines, int(detail.pointer.split("/")[1]), None))
    return replace(detail, text=f"line {number}: {detail.text}")


def _rows(
    format_: BatchFormat, batch: Batch, shape: Shape, body: bytes, most_data: int
) -> tuple[NewEventRow, ...]:
    model = format_.dialect.model(batch.form, shape, has_id=False)
    texts = _lines(format_, body) if format_.is_ndjson else _elements(format_, body)
    rows: list[NewEventRow] = []
    for index, (value, text) in enumerate(texts):
        if index >= EVENTS_LIMIT:
            raise _too_large(f"must be at most {EVENTS_LIMIT} events")
        row = _row(format_, model, index, value, text)
        if len(row.data) * 4 > most_data and (size := len(row.data.encode())) > most_data:
            pointer = format_.pointer(index, *format_.data)
            raise _invalid(Detail(f"data is {size} bytes, the limit is {most_data}", pointer))
        rows.append(row)
    if not rows:
        raise _invalid(Detail("must have at least one event", format_.before))
    return tuple(rows)


def _row(
    format_: BatchFormat, model: type[BaseModel], index: int, value: object, text: str
) -> NewEventRow:
    """Return the event of a JSON value, whose text is `text`."""
    span = json_body.span_of(text, format_.data)
    data = "null" if span is None else text[span[0] : span[1]]
    if len(text) - len(data) > FORM_LIMIT_CHARACTERS:
        reason = f"must have at most {FORM_LIMIT_CHARACTERS} characters, not counting its data"
        raise _invalid(Detail(reason, format_.pointer(index)))
    if span is not None:
        value = _without(value, format_.data)  # data is passed on as text, and not validated
    try:
        document = {"data": value} if format_.dialect is jsonapi else value
        read: Any = model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        skipped = 1 if format_.dialect is jsonapi else 0
        raise _invalid(
            *(
                Detail(p.reason, format_.pointer(index, *p.place[skipped:]))
                for p in problems(error).problems
            )
        ) from None
    event: BatchEvent = read.data.attributes if format_.dialect is jsonapi else read
    return NewEventRow(event.type, data, event.idempotency_key, event.reference)


def _without(value: object, path: Sequence[str]) -> object:
    """Return a copy of a JSON object with null at `path`, where it has a value."""
    if not path:
        return None
    fields = cast("Mapping[str, object]", value)
    return {**fields, path[0]: _without(fields[path[0]], path[1:])}


def _lines(format_: BatchFormat, body: bytes) -> Iterator[tuple[Any, str]]:
    """Yield the value of each line that is not empty, and its text."""
    index = 0
    for line in body.split(b"\n"):
        text = _decoded(format_, index, line)
        start = _after_space(text, 0)
        if start == len(text):
            continue
        value, end = _value(format_, index, text, start)
        if _after_space(text, end) != len(text):
            raise _bad(format_, index, f"has more than one value in its line, at character {end}")
        yield value, text[start:end]
        index += 1


def _elements(format_: BatchFormat, body: bytes) -> Iterator[tuple[Any, str]]:
    """Yield the value of each element of the array, and its text."""
    text = _decoded(format_, None, body)
    at = _after_space(text, text.index("[") + 1)
    index = 0
    is_at_end = text[at : at + 1] == "]"
    while not is_at_end:
        value, end = _value(format_, index, text, at)
        yield value, text[at:end]
        at = _after_space(text, end)
        is_at_end = text[at : at + 1] == "]"
        if not is_at_end:
            if text[at : at + 1] != ",":
                raise _bad(format_, index, f"is not followed by a comma or ], at character {at}")
            at = _after_space(text, at + 1)
        index += 1
    end_of_body = _DOCUMENT_END if format_.dialect is jsonapi else _SPACE
    if not end_of_body.fullmatch(text, at + 1):
        raise _bad(format_, None, f"The body goes on after the array, at character {at + 1}")


def _value(format_: BatchFormat, index: int, text: str, start: int) -> tuple[Any, int]:
    """Return the JSON value at `start`, and where it ends."""
    try:
        value, end = _DECODER.raw_decode(text, start)
        is_too_deep = json_body.is_too_deep(text[start:end])
    except RecursionError:
        value, end, is_too_deep = None, start, True
    except json_body.DuplicateKeyError as error:
        name = json_body.one_line(str(error))
        raise _bad(format_, index, f"A key stands twice in one object: {name}", DUPLICATE) from None
    except ValueError as error:
        reason = str(error)
        if format_.is_ndjson and isinstance(
            error, json.JSONDecodeError
        ):  # it counts lines from here
            reason = f"{error.msg}, at character {error.pos}"
        raise _bad(format_, index, f"is not JSON: {json_body.one_line(reason)}") from None
    if is_too_deep:
        raise _bad(format_, index, f"is nested more than {NESTING_LIMIT} deep")
    return value, end


def _decoded(format_: BatchFormat, index: int | None, body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        text = (
            "is not UTF-8" if index is not None else f"The body is not UTF-8, at byte {error.start}"
        )
        raise _bad(format_, index, text) from None


def _after_space(text: str, start: int) -> int:
    return _SPACE.match(text, start).end()  # type: ignore[union-attr] # it always matches


def _bad(format_: BatchFormat, index: int | None, text: str, title: str = NO_JSON) -> HttpError:
    """Return the failure for what is not JSON. `index` is None if it concerns no single event."""
    pointer = None if index is None else format_.pointer(index)
    return HttpError(400, "bad_json", title, Detail(text, pointer))


def _invalid(*details: Detail) -> HttpError:
    return HttpError(422, "invalid", "The input is not valid", *details)


def _too_large(text: str) -> HttpError:
    return HttpError(413, "too_large", "The request's body is too large", Detail(f"A batch {text}"))
