"""What a handler is asked and what it answers, whatever the dialect."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from dispatcher.core.model import RawJson
from dispatcher.core.pagination import DEFAULT_LIMIT, Page
from dispatcher.services.audit_log import Actor
from dispatcher.services.services import Office
from dispatcher.services.tokens import Principal
from dispatcher.store.pool import PoolShare
from dispatcher.store.session import Asked

ALL = "*"


@dataclass(frozen=True, slots=True)
class Shape:
    """What kind of resource is dealt with: its JSON:API type, and which field is its id."""

    type: str
    id: str = "id"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, understood and allowed.

    `session` is a transaction where the route changes something. `position` is where the page that
    was asked for begins, `revision` what If-Match named, `raw` the text of the field that the route
    wants unread.
    """

    office: Office
    pool: PoolShare
    session: Asked
    principal: Principal
    actor: Actor
    environment_id: str
    path: Mapping[str, str]
    form: Any
    query: Any
    position: str | None
    revision: int | None
    idempotency_key: str | None
    raw: RawJson | None

    @property
    def is_paged(self) -> bool:
        """Whether a page was asked for, where a listing also answers all at once."""
        return self.position is not None or self.query.limit is not None

    @property
    def limit(self) -> int:
        """How many items the answer may have: what was asked for, a page, or the limit for all."""
        if self.query.limit is not None:
            asked: int = self.query.limit
            return asked
        return DEFAULT_LIMIT if self.is_paged else self.office.limits.page

    @property
    def before(self) -> int | None:
        """The position, for listings whose positions are numbers."""
        return None if self.position is None else int(self.position)


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is a resource, several, or nothing. `next` is where the next page begins.

    `paged` says that a list is a page of one. `shape` is what it is, if not what the route says.
    `awaits` is to be done after the commit, before the answer is given, and takes a second or two
    at most; it says whether every daemon acts on the change. It raises nothing: the change is done.
    """

    body: Any = None
    status: int = HTTPStatus.OK
    paged: bool = False
    next: str | None = None
    revision: int | None = None
    location: str | None = None
    shape: Shape | None = None
    awaits: Callable[[Asked], Awaitable[bool]] | None = None

    @classmethod
    def of(cls, page: Page[Any]) -> "Answer":
        """A page whose positions are numbers."""
        return cls(page.items, paged=True, next=None if page.next is None else str(page.next))


@dataclass(frozen=True, slots=True)
class Detail:
    """One thing that is wrong, and where: a JSON pointer, a query parameter or a header."""

    text: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None


class Failure(Exception):
    """An answer that is an error. `code` is a stable word, `title` is the same for all of a code."""

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
