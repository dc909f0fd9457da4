"""What a client gets: resources, pages of them, and errors that say what was refused and why."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, SupportsIndex, overload

from dispatcher.client import documents

NESTED = ("attemptList", "deliveries")
"""Fields that hold resources; what else is nested is JSON of your own, and stays as it is."""

_SNAKE = re.compile(r"_([a-z0-9])")
_IN_CAMEL = {"signing_secret": "secret"}


def camel(name: str) -> str:
    """`created_at` → `createdAt`, as it is on the wire."""
    return _IN_CAMEL.get(name) or _SNAKE.sub(lambda found: found[1].upper(), name)


class Resource(dict[str, Any]):
    """A resource as it came: `webhook["createdAt"]`, or `webhook.created_at` for short.

    Times are text, RFC 3339 in UTC; `datetime.fromisoformat` reads them. In data of your own, a number
    too large for Python is its text; data of over 100 levels is, as a whole, its JSON text.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        for name in NESTED:
            if isinstance(fields.get(name), list):
                self[name] = [Resource(each) for each in fields[name]]

    def __getattr__(self, name: str) -> Any:
        try:
            return self[camel(name)]
        except KeyError:
            raise AttributeError(f"there is no field {camel(name)!r}") from None

    def __repr__(self) -> str:
        shown = {name: "…" if name in ("secret", "token") else self[name] for name in self}
        return f"Resource({shown})"


@dataclass(frozen=True, slots=True)
class Page(Sequence[Resource]):
    """A page of a listing: a sequence of its items. `next_cursor` None: that was the last one.

    A page can be short, or empty, and still have a next one.
    """

    items: tuple[Resource, ...]
    next_cursor: str | None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self.items)

    @overload
    def __getitem__(self, at: SupportsIndex) -> Resource: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Resource, ...]: ...
    @overload
    def __getitem__(self, at: str) -> Any: ...
    def __getitem__(self, at: SupportsIndex | slice | str) -> Any:
        """By position; `page["items"]` and `page["nextCursor"]` as they are on the wire."""
        if isinstance(at, str):
            return {"items": self.items, "nextCursor": self.next_cursor}[at]
        return self.items[at]


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


class ClientError(Exception):
    """What was asked for was not done, or nobody knows. Holds no token."""


class ConnectionFailed(ClientError):
    """There was no answer. `sent` False: the request did not get out, so nothing was done."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class ApiError(ClientError):
    """The API said no. `code` is a stable word; `details` say what of the request is meant, each
    with a `message` and a `pointer`, `parameter` or `header`. `retry_after`: seconds, if told."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Sequence[Mapping[str, str]] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{message} ({code})")
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.request_id = request_id
        self.retry_after = retry_after


class Invalid(ApiError):
    """400, 422 and their like: the request can not be, whoever asks."""


class Unauthorized(ApiError):
    """401: no token, a wrong one, or one that is no longer valid."""


class Forbidden(ApiError):
    """403: the token does not allow it."""


class NotFound(ApiError):
    """404: there is no such thing, or not in this environment."""


class Conflict(ApiError):
    """409 and 412: it does not go with how things are."""


class RateLimited(ApiError):
    """429: too many wrong tokens from here."""


class Unavailable(ApiError):
    """502, 503, 504: not at this moment."""


_ERRORS: dict[int, type[ApiError]] = {
    **dict.fromkeys((400, 405, 406, 413, 415, 422), Invalid),
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    **dict.fromkeys((409, 412), Conflict),
    429: RateLimited,
    **dict.fromkeys((502, 503, 504), Unavailable),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API, not yet read. The headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def data(self) -> Any:
        """What stands in the envelope. Raises ApiError."""
        document = self._document()
        if self.status == HTTPStatus.NO_CONTENT:
            return None
        if not HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES:
            raise self._refusal(document.get("error"))
        if document.get("success") is not True:
            raise self._refusal(None)
        return document.get("data")

    def _document(self) -> dict[str, Any]:
        try:
            document = documents.read(self.body)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    def _refusal(self, error: Any) -> ApiError:
        """Something in between, such as a proxy, answers in its own words, or redirects."""
        kind = _ERRORS.get(self.status, ApiError)
        after = self.headers.get("retry-after", "")
        wait = float(after) if after.isascii() and after.isdigit() else None
        if not isinstance(error, dict):
            message = f"the answer with status {self.status} is not one of Dispatcher's API"
            return kind(self.status, f"http_{self.status}", message, retry_after=wait)
        return kind(
            self.status,
            str(error.get("code")),
            str(error.get("message")),
            error.get("details") or (),
            error.get("requestId"),
            wait,
        )


class JsonText(str):
    """JSON that is written already, to be sent byte for byte."""

    __slots__ = ()


def resource(data: Any) -> Resource:
    return Resource(data)


def page(data: Any) -> Page:
    """Read a page, or a listing that came whole."""
    if isinstance(data, list):
        return Page(tuple(map(Resource, data)), None)
    return Page(tuple(map(Resource, data["items"])), data["nextCursor"])


def nothing(_: Any) -> None:
    return None
