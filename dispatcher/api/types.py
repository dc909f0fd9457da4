"""The request and the response of a handler, independent of the dialect."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Generic, TypeVar
from uuid import UUID

from dispatcher.core.errors import NotFoundError
from dispatcher.core.model import RawJson
from dispatcher.core.pagination import CreationPosition
from dispatcher.services.access.token_authentication import Principal
from dispatcher.services.services import Services, ServiceSettings
from dispatcher.services.webhooks.certificate_checks import NOTHING_CHECKED, CheckedTls
from dispatcher.store.pool import PoolShare
from dispatcher.store.queries.events import NewEventRow
from dispatcher.store.session import Queryable

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Shape:
    """The kind of a resource: its JSON:API type, and the name of the field that is its id."""

    type: str
    id: str = "id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that is parsed and authorized.

    - `services` are bound to a transaction if the route has one.
    - `pool` reads after the commit.
    - `path` holds the parameters of the path.
    - `position` is where the requested page begins, None for the first page.
    - `revision` is the one in If-Match.
    - `verbatim` is the JSON text of the route's `verbatim_field`.
    - `events` are those of a batch.
    - `checked_tls` is the result of checking the certificates of the form.
    """

    services: Services
    pool: PoolShare
    principal: Principal
    environment_id: str
    path: Mapping[str, str]
    position: str | None = None
    revision: int | None = None
    idempotency_key: str | None = None
    verbatim: RawJson | None = None
    events: Sequence[NewEventRow] = ()
    checked_tls: CheckedTls = NOTHING_CHECKED

    @property
    def settings(self) -> ServiceSettings:
        """Return the settings of the services."""
        return self.services.settings

    @property
    def before(self) -> int | None:
        """Return the position as a number, for listings whose positions are numbers."""
        return None if self.position is None else int(self.position)

    @property
    def after_id(self) -> UUID | None:
        """Return the position as an id, for listings whose positions are ids."""
        return None if self.position is None else UUID(self.position)

    @property
    def after_creation(self) -> CreationPosition | None:
        """Return the position as a time and an id, for listings by the time of creation."""
        return None if self.position is None else CreationPosition.parse(self.position)

    def uuid(self, name: str) -> UUID:
        """Return the id in a parameter of the path.

        Raise NotFoundError unless it is a UUID in its usual form, with hyphens.
        """
        text = self.path[name]
        try:
            id_ = UUID(text)
        except ValueError:
            id_ = None
        if id_ is None or str(id_) != text.lower():
            raise NotFoundError(f"no resource has the id {text[:100]!r}")
        return id_


@dataclass(frozen=True, slots=True)
class HandlerResult(Generic[T_co]):
    """The result of a handler.

    - `body` is a resource, a tuple of them, or None.
    - `is_page` means that the tuple is a page; `next` is where the next page begins.
    - `shape` replaces the route's shape.
    - `location` is the path of the created resource under /api. The response names the same under
      /apps if the client needs that.
    - `is_replayed` means that an earlier request with the same key made the resource.
    - `wait_until_applied` runs after the commit and before the response is sent. It takes a second
      or two at most and returns True if every daemon has applied the change. It must not raise,
      because the change is already committed.
    """

    body: T_co
    status: int = HTTPStatus.OK
    is_page: bool = False
    next: str | None = None
    revision: int | None = None
    location: str | None = None
    shape: Shape | None = None
    is_replayed: bool = False
    wait_until_applied: Callable[[Queryable], Awaitable[bool]] | None = None


NO_CONTENT: HandlerResult[None] = HandlerResult(None, HTTPStatus.NO_CONTENT)
"""The result of a handler that returns no resource."""


@dataclass(frozen=True, slots=True)
class Detail:
    """One problem and its place: a JSON pointer, a query parameter or a header."""

    text: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None


class HttpError(Exception):
    """An error response.

    `code` is a stable word for programs. `title` says what happened, and may differ for one code.
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
