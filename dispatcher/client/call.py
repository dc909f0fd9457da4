"""One call of the API: what to send, how to read the response, when to repeat the request.

This module sends nothing. Its descriptors turn a method that describes a call into a method that
makes the call.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload
from urllib.parse import urlencode

from dispatcher.client.resources import (
    ConnectionFailedError,
    Page,
    Resource,
    UnavailableError,
)

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", "SyncCaller", "AsyncCaller")

DEFAULT_LIMIT = "100"
"""The `limit` of the second page and those after it, if an iteration sets none: few large pages
instead of many small ones."""
PAUSES_SECONDS = (0.2, 1.0)
"""The pause before each repetition of a request; there are no further repetitions."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """The description of one request.

    `path` is relative to the address of the API. `key` is an Idempotency-Key. `repeatable` is True
    if the API does a repeated request only once.
    """

    method: str
    path: str
    read: Callable[[Any], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    key: str | None = None
    repeatable: bool = True

    @property
    def target(self) -> str:
        """Return the path with the query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    def pause(
        self, repeated: int, failure: ConnectionFailedError | UnavailableError
    ) -> float | None:
        """Return the seconds until the next repetition, after `repeated` repetitions.

        Return None if the request must not be repeated again.
        """
        is_unsent = isinstance(failure, ConnectionFailedError) and not failure.sent
        if repeated >= len(PAUSES_SECONDS) or not (self.repeatable or is_unsent):
            return None
        return PAUSES_SECONDS[repeated]


def next_page_call(call: Call[Page], page: Page) -> Call[Page] | None:
    """Return the call for the page after this one, None if this is the last page."""
    if page.next_cursor is None:
        return None
    query = {"limit": DEFAULT_LIMIT, **call.query, "cursor": page.next_cursor}
    return replace(call, query=query)


class Caller(ABC):
    """A caller of the API, bound to one environment.

    Without one, it is bound to the token's own environment, or env_default.
    """

    environment: str | None

    def within(self, environment: str | None) -> Self:
        """Return the same caller for another environment."""
        other = copy(self)
        other.environment = environment
        return other


class SyncCaller(Caller):
    """A caller whose methods return when the response is there."""

    @abstractmethod
    def send(self, call: Call[T]) -> T: ...

    def iterate(self, call: Call[Page] | None) -> Iterator[Resource]:
        """Yield every item of a listing; the next page is requested when it is needed."""
        while call is not None:
            page = self.send(call)
            yield from page
            call = next_page_call(call, page)

    def collect(self, call: Call[Page]) -> list[Resource]:
        """Return every item of a listing."""
        return list(self.iterate(call))


class AsyncCaller(Caller):
    """A caller whose methods are coroutines."""

    @abstractmethod
    async def send(self, call: Call[T]) -> T: ...

    async def iterate(self, call: Call[Page] | None) -> AsyncIterator[Resource]:
        """Yield every item of a listing; the next page is requested when it is needed."""
        while call is not None:
            page = await self.send(call)
            for item in page:
                yield item
            call = next_page_call(call, page)

    async def collect(self, call: Call[Page]) -> list[Resource]:
        """Return every item of a listing."""
        return [item async for item in self.iterate(call)]


class MethodGroup(Generic[C]):
    """The methods for one kind of resource."""

    def __init__(self, caller: C) -> None:
        self.caller: C = caller


class ApiMethod(Generic[P, T]):
    """A descriptor for a method that describes a call. The program gets or awaits its result."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self.describe = describe

    @overload
    def __get__(self, group: MethodGroup[SyncCaller], owner: object) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, group: MethodGroup[AsyncCaller], owner: object
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, group: Any, owner: object) -> Any:
        def send(*args: Any, **kwargs: Any) -> Any:
            return group.caller.send(self.describe(group, *args, **kwargs))

        return update_wrapper(send, self.describe) if group else self


class ItemIterator(Generic[P]):
    """A descriptor for an iterator over every item of a listing that another method describes."""

    def __init__(self, listing: ApiMethod[P, Page]) -> None:
        self.describe = listing.describe

    @overload
    def __get__(
        self, group: MethodGroup[SyncCaller], owner: object
    ) -> Callable[P, Iterator[Resource]]: ...
    @overload
    def __get__(
        self, group: MethodGroup[AsyncCaller], owner: object
    ) -> Callable[P, AsyncIterator[Resource]]: ...
    def __get__(self, group: Any, owner: object) -> Any:
        def iterate(*args: Any, **kwargs: Any) -> Any:
            return group.caller.iterate(self.describe(group, *args, **kwargs))

        return update_wrapper(iterate, self.describe) if group else self


class CollectedListing(Generic[P]):
    """A descriptor for a method that describes a listing. The program gets every item of it."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[Page]]) -> None:
        self.describe = describe

    @overload
    def __get__(
        self, group: MethodGroup[SyncCaller], owner: object
    ) -> Callable[P, list[Resource]]: ...
    @overload
    def __get__(
        self, group: MethodGroup[AsyncCaller], owner: object
    ) -> Callable[P, Coroutine[Any, Any, list[Resource]]]: ...
    def __get__(self, group: Any, owner: object) -> Any:
        def collect(*args: Any, **kwargs: Any) -> Any:
            return group.caller.collect(self.describe(group, *args, **kwargs))

        return update_wrapper(collect, self.describe) if group else self


G = TypeVar("G")


class GroupAttribute(Generic[G]):
    """A descriptor for a method group of a client.

    On the class of the client, it is the class of the group.
    """

    def __init__(self, group: type[G]) -> None:
        self._group: Any = group

    @overload
    def __get__(self, client: None, owner: object) -> type[G]: ...
    @overload
    def __get__(self, client: object, owner: object) -> G: ...
    def __get__(self, client: Any, owner: object) -> Any:
        return self._group if client is None else self._group(client)
