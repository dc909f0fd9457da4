"""The pages of a listing: how many items they have, and how a handler answers with one."""

from typing import Protocol, TypeVar

from dispatcher.api.types import Call, HandlerResult
from dispatcher.core.pagination import DEFAULT_LIMIT, Page

T = TypeVar("T")
Key = TypeVar("Key")


class PageQuery(Protocol):
    """The query parameters of a listing. `limit` is None if the client sets none."""

    @property
    def limit(self) -> int | None: ...


def page_limit(query: PageQuery) -> int:
    """Return the requested number of items on a page, or the default."""
    return query.limit or DEFAULT_LIMIT


def list_limit(call: Call, query: PageQuery) -> int:
    """Return the largest number of items in an answer: of a page, or of the whole list.

    For listings that are answered whole unless the client asks for a page. A client that goes on
    from a cursor without a limit gets pages of the default size.
    """
    if call.position is not None or query.limit is not None:
        return page_limit(query)
    return call.settings.limits.page


def page_result(page: Page[T, Key]) -> HandlerResult[tuple[T, ...]]:
    """Return the answer for one page."""
    return HandlerResult(
        page.items, is_page=True, next=None if page.next is None else str(page.next)
    )


def list_result(call: Call, query: PageQuery, page: Page[T, Key]) -> HandlerResult[tuple[T, ...]]:
    """Return the answer for a listing that is a page only if the client asks for one.

    A list that is too long to be answered whole becomes a page as well.
    """
    is_page = call.position is not None or query.limit is not None
    return HandlerResult(
        page.items, is_page=is_page, next=None if page.next is None else str(page.next)
    )
