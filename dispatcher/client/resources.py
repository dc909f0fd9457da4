"""The results of a client: resources, pages of them, and errors."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, SupportsIndex, overload

from dispatcher.client import documents

NESTED = ("attemptList", "deliveries")
"""Fields that hold resources. Other nested values are the user's own JSON and stay as they are."""

_SNAKE = re.compile(r"_([a-z0-9])")
_IN_CAMEL = {"signing_secret": "secret"}


def camel(name: str) -> str:
    """Return the name of a field in the API: `createdAt` for `created_at`."""
    return _IN_CAMEL.get(name) or _SNAKE.sub(lambda match: match[1].upper(), name)


class Resource(dict[str, Any]):
    """A resource as the API returned it: `webhook["createdAt"]` or `webhook.created_at`.

    Times are text, RFC 3339 in UTC; `datetime.fromisoformat` parses them. In the user's own data, a
    number too large for Python is a string of its digits, and data of more than 100 levels is a
    string of its JSON text.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        for name in NESTED:
            if isinstance(fields.get(name), list):
                self[name] = [Resource(item) for item in fields[name]]

    def __getattr__(self, name: str) -> Any:
        try:
            return self[camel(name)]
        except KeyError:
            raise AttributeError(f"the resource has no field {camel(name)!r}") from None

    def __repr__(self) -> str:
        shown = {name: "…" if name in ("secret", "token") else self[name] for name in self}
        return f"Resource({shown})"


@dataclass(frozen=True, slots=True)
class Page(Sequence[Resource]):
    """A page of a listing: a sequence of its items. `next_cursor` is None on the last page.

    A page can be short or empty and still have a next one.
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
        """Return an item by its position; `page["items"]` and `page["nextCursor"]` work too."""
        if isinstance(at, str):
            return {"items": self.items, "nextCursor": self.next_cursor}[at]
        return self.items[at]


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


class ClientError(Exception):
    """The request failed, or its result is unknown. The text holds no token."""


class ArgumentError(ValueError):
    """An argument cannot be sent, such as an id of dots only, or a value that is not JSON."""


class ConnectionFailedError(ClientError):
    """There was no response. If `sent` is False, the request was not sent, so nothing was done."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class ApiError(ClientError):
    """The API rejected the request.

    `code` is a stable word for programs. `details` name the invalid parts of the request, each with
    a `message` and a `pointer`, `parameter` or `header`. `retry_after` is in seconds, None if the
    API gave no time.
    """

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


class InvalidError(ApiError):
    """The request is invalid (400, 422 and similar)."""


class UnauthorizedError(ApiError):
    """The token is missing, wrong, expired or revoked (401)."""


class ForbiddenError(ApiError):
    """The token does not allow the request (403)."""


class NotFoundError(ApiError):
    """The object does not exist, or not in this environment (404)."""


class ConflictError(ApiError):
    """The request conflicts with the current state (409, 412)."""


class RateLimitedError(ApiError):
    """This address has sent too many wrong tokens (429)."""


class UnavailableError(ApiError):
    """The API is unavailable at present (502, 503, 504)."""


_ERRORS: dict[int, type[ApiError]] = {
    **dict.fromkeys((400, 405, 406, 413, 415, 422), InvalidError),
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    **dict.fromkeys((409, 412), ConflictError),
    429: RateLimitedError,
    **dict.fromkeys((502, 503, 504), UnavailableError),
}


@dataclass(frozen=True, slots=True)
class Response:
    """A response of the API, not parsed yet. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def data(self) -> Any:
        """Return the data in the envelope. Raise ApiError."""
        document = self._document()
        if self.status == HTTPStatus.NO_CONTENT:
            return None
        if not HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES:
            raise self._error(document.get("error"))
        if document.get("success") is not True:
            raise self._error(None)
        return document.get("data")

    def _document(self) -> dict[str, Any]:
        try:
            document = documents.read(self.body)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    def _error(self, error: Any) -> ApiError:
        """Return the error for a response that is no success.

        The response may come from a proxy in between, and then has no error of the API, or is a
        redirect.
        """
        error_type = _ERRORS.get(self.status, ApiError)
        after = self.headers.get("retry-after", "")
        wait = float(after) if after.isascii() and after.isdigit() else None
        if not isinstance(error, dict):
            message = f"the response with status {self.status} is not one of Dispatcher's API"
            return error_type(self.status, f"http_{self.status}", message, retry_after=wait)
        return error_type(
            self.status,
            str(error.get("code")),
            str(error.get("message")),
            error.get("details") or (),
            error.get("requestId"),
            wait,
        )


class JsonText(str):
    """JSON text that is sent byte for byte."""

    __slots__ = ()


def resource(data: Any) -> Resource:
    """Return the resource in the data."""
    return Resource(data)


def page(data: Any) -> Page:
    """Return the page in the data, which may also be a listing without pages."""
    if isinstance(data, list):
        return Page(tuple(map(Resource, data)), None)
    return Page(tuple(map(Resource, data["items"])), data["nextCursor"])


def nothing(_: Any) -> None:
    """Return None: the response has no data."""
