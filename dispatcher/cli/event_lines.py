"""The reading of many events from a file: NDJSON, one event a line, as the API takes it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from dispatcher.cli.errors import MisuseError

if TYPE_CHECKING:
    from dispatcher.store.queries.events import NewEventRow

LINES_LIMIT_BYTES = 4 * 2**20
"""Most bytes of a batch with several lines: half of the API's limit, because the client may write
an event longer than its line."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The events that are emitted in one request, all or none, with the line number of each."""

    events: Sequence["NewEventRow"]
    lines: Sequence[int]

    @property
    def place(self) -> str:
        """Return the lines of the batch, in words."""
        return f"lines {self.lines[0]} to {self.lines[-1]}"


def batches(file: BinaryIO, *, most_data: int) -> Iterator[Batch]:
    """Yield the events of a file, as many at a time as one request may have.

    `most_data` limits the data of each, in bytes. Raise MisuseError for the first wrong line.
    """
    from dispatcher.api.requests.event_batch import EVENTS_LIMIT

    texts: list[bytes] = []
    numbers: list[int] = []
    size = 0
    for number, text in _numbered(file):
        if texts and (len(texts) == EVENTS_LIMIT or size + len(text) > LINES_LIMIT_BYTES):
            yield _read(texts, numbers, most_data)
            texts, numbers, size = [], [], 0
        texts.append(text)
        numbers.append(number)
        size += len(text)
    if texts:
        yield _read(texts, numbers, most_data)


def explain(problems: Iterable[Mapping[str, str]], lines: Sequence[int], otherwise: str) -> str:
    """Return the problems of a batch, each with its line; `otherwise` if there are none.

    A pointer such as `/3/type` names the event by its index, counted from 0.
    """
    return "\n".join(_sentence(problem, lines) for problem in problems) or otherwise


def _sentence(problem: Mapping[str, str], lines: Sequence[int]) -> str:
    index, _, field = problem.get("pointer", "").strip("/").partition("/")
    message = problem["message"]
    if not index.isdecimal() or int(index) >= len(lines):
        return message
    place = f"line {lines[int(index)]}"
    return f"{place}, {field.replace('/', '.')}: {message}" if field else f"{place}: {message}"


def _numbered(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each line that is not empty."""
    from dispatcher.api.requests.event_batch import BATCH_LIMIT_BYTES

    number = 0
    while text := file.readline(BATCH_LIMIT_BYTES + 1):
        number += 1
        if len(text) > BATCH_LIMIT_BYTES:
            raise MisuseError(f"line {number} is longer than {BATCH_LIMIT_BYTES} bytes")
        if text.strip():
            yield number, text


def _read(texts: Sequence[bytes], numbers: Sequence[int], most_data: int) -> Batch:
    """Return the events of some lines. Raise MisuseError for the first wrong one."""
    from dispatcher.api.all_routes import ROUTES
    from dispatcher.api.representations import envelope
    from dispatcher.api.requests import event_batch
    from dispatcher.api.types import HttpError

    route = next(route for route in ROUTES if route.name == "emit_event")
    assert route.batch is not None  # noqa: S101 - it is the route that emits batches
    format_ = event_batch.BatchFormat(envelope, is_ndjson=True)
    body = b"\n".join(text.rstrip(b"\n") for text in texts)
    try:
        rows = event_batch.read(format_, route.batch, route.shape, body, most_data=most_data)
    except HttpError as error:
        details = [{"message": d.text, "pointer": d.pointer or ""} for d in error.details]
        raise MisuseError(explain(details, numbers, error.title)) from None
    return Batch(rows, tuple(numbers))
