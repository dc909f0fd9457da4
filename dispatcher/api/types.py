"""The request and the response of a handler, independent of the dialect."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from dispatcher.core.model import RawJson
from dispatcher.core.pagination import DEFAULT_LIMIT, Page
from dispatcher.services.services import Services, ServiceSettings
from dispatcher.services.tokens import Principal
from dispatcher.store.pool import PoolShare
from dispatcher.store.session import Queryable


@dataclass(frozen=True, slots=True)
class Shape:
    """The kind of a resource: its JSON:API type, and the name of the field that is its id."""

    type: str
    id: str = "id"


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is parsed and authorized.

    - `services` are bound to a transaction if the route changes something.
    - `position` is where the requested page begins.
    - `revision` is the one in If-Match.
    - `raw` is the JSON text of the route's `raw` field.
    """

    services: Services
    pool: PoolShare
    principal: Principal
    environment_id: str
    path: Mapping[str, str]
    form: Any
    query: Any
    position: str | None
    revision: int | None
    idempotency_key: str | None
    raw: RawJson | None

    @property
    def settings(self) -> ServiceSettings:
        """Return the settings of the services."""
        return self.services.settings

    @property
    def is_paged(self) -> bool:
        """Return True if the client asks for a page, for listings that also answer without one."""
        return self.position is not None or self.query.limit is not None

    @property
    def limit(self) -> int:
        """Return the limit on items: the requested one, else that of a page or of a whole list."""
        if self.query.limit is not None:
            asked: int = self.query.limit
            return asked
        return DEFAULT_LIMIT if self.is_paged else self.settings.limits.page

    @property
    def before(self) -> int | None:
        """Return the position as a number, for listings whose positions are numbers."""
        return None if self.position is None else int(self.position)


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a handler.

    - `body` is a resource, a tuple of them, or None.
    - `paged` means that the tuple is a page; `next` is where the next page begins.
    - `shape` replaces the route's shape.
    - `awaits` runs after the commit and before the response is sent. It takes a second or two at
      most and returns True if every daemon has applied the change. It must not raise, because the
      change is already committed.
    """

    body: Any = None
    status: int = HTTPStatus.OK
    paged: bool = False
    next: str | None = None
    revision: int | None = None
    location: str | None = None
    shape: Shape | None = None
    awaits: Callable[[Queryable], Awaitable[bool]] | None = None

    @classmethod
    def of(cls, page: Page[Any]) -> "Answer":
        """Return the response for a page whose positions are numbers."""
        return cls(page.items, paged=True, next=None if page.next is None else str(page.next))


@dataclass(frozen=True, slots=True)
class Detail:
    """One problem and its place: a JSON pointer, a query parameter or a header."""

    text: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None


class Failure(Exception):
    """An error response.

    `code` is a stable word for programs. All errors with one code have the same `title`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        *details: Detail,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.title = title
        self.details: Sequence[Detail] = details or (Detail(title),)
        self.headers = dict(headers or {})
        super().__init__(title)
