"""One call of the API: what to send, how to read the response, when to repeat the request.

This module sends nothing. Its descriptors turn a method that describes a call into a method that
makes the call.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload
from urllib.parse import urlencode

from dispatcher.client.resources import (
    ConnectionFailed,
    Page,
    Resource,
    Unavailable,
)

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", "Blocking", "Awaiting")

LONGEST_PAGE = "100"
"""The `limit` of a page if the caller has set none: few large pages instead of many small ones."""
PAUSES = (0.2, 1.0)
"""Seconds before each repetition of a request; there are no further repetitions."""


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
    body: Mapping[str, Any] | None = None
    key: str | None = None
    repeatable: bool = True

    @property
    def target(self) -> str:
        """Return the path with the query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    def pause(self, repeated: int, failure: ConnectionFailed | Unavailable) -> float | None:
        """Return the seconds until the next repetition, after `repeated` repetitions.

        Return None if the request must not be repeated again.
        """
        undone = isinstance(failure, ConnectionFailed) and not failure.sent
        if repeated >= len(PAUSES) or not (self.repeatable or undone):
            return None
        return PAUSES[repeated]


def following(call: Call[Page], page: Page) -> Call[Page] | None:
    """Return the call for the page after this one, None if this is the last page."""
    if page.next_cursor is None:
        return None
    longest = {"limit": LONGEST_PAGE}  # unless the caller has set a limit
    return replace(call, query={**longest, **call.query, "cursor": page.next_cursor})


class Asking(ABC):
    """A caller of the API in one environment.

    None means the token's own environment, or env_default.
    """

    environment: str | None

    def within(self, environment: str | None) -> Self:
        """Return the same caller for another environment."""
        other = copy(self)
        other.environment = environment
        return other


class Blocking(Asking):
    """A caller whose methods return when the response is there."""

    @abstractmethod
    def ask(self, call: Call[T]) -> T: ...

    def follow(self, call: Call[Page] | None) -> Iterator[Resource]:
        """Yield every item of a listing; the next page is requested when it is needed."""
        while call is not None:
            page = self.ask(call)
            yield from page
            call = following(call, page)

    def collect(self, call: Call[Page]) -> list[Resource]:
        """Return every item of a listing."""
        return list(self.follow(call))


class Awaiting(Asking):
    """A caller whose methods are coroutines."""

    @abstractmethod
    async def ask(self, call: Call[T]) -> T: ...

    async def follow(self, call: Call[Page] | None) -> AsyncIterator[Resource]:
        """Yield every item of a listing; the next page is requested when it is needed."""
        while call is not None:
            page = await self.ask(call)
            for item in page:
                yield item
            call = following(call, page)

    async def collect(self, call: Call[Page]) -> list[Resource]:
        """Return every item of a listing."""
        return [item async for item in self.follow(call)]


class Group(Generic[C]):
    """The methods for one kind of resource."""

    def __init__(self, asking: C) -> None:
        self.asking: C = asking


class asked(Generic[P, T]):
    """A descriptor for a method that describes a call; the caller gets or awaits its result."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self.describe = describe

    @overload
    def __get__(self, group: Group[Blocking], owner: object) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, group: Group[Awaiting], owner: object
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, group: Any, owner: object) -> Any:
        def ask(*args: Any, **kwargs: Any) -> Any:
            return group.asking.ask(self.describe(group, *args, **kwargs))

        return update_wrapper(ask, self.describe) if group else self


class followed(Generic[P]):
    """A descriptor for an iterator over every item of a listing that another method describes."""

    def __init__(self, listing: asked[P, Page]) -> None:
        self.describe = listing.describe

    @overload
    def __get__(self, group: Group[Blocking], owner: object) -> Callable[P, Iterator[Resource]]: ...
    @overload
    def __get__(
        self, group: Group[Awaiting], owner: object
    ) -> Callable[P, AsyncIterator[Resource]]: ...
    def __get__(self, group: Any, owner: object) -> Any:
        def follow(*args: Any, **kwargs: Any) -> Any:
            return group.asking.follow(self.describe(group, *args, **kwargs))

        return update_wrapper(follow, self.describe) if group else self


class collected(Generic[P]):
    """A descriptor for a method that describes a listing; the caller gets every item of it."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[Page]]) -> None:
        self.describe = describe

    @overload
    def __get__(self, group: Group[Blocking], owner: object) -> Callable[P, list[Resource]]: ...
    @overload
    def __get__(
        self, group: Group[Awaiting], owner: object
    ) -> Callable[P, Coroutine[Any, Any, list[Resource]]]: ...
    def __get__(self, group: Any, owner: object) -> Any:
        def collect(*args: Any, **kwargs: Any) -> Any:
            return group.asking.collect(self.describe(group, *args, **kwargs))

        return update_wrapper(collect, self.describe) if group else self


G = TypeVar("G")


class part(Generic[G]):
    """A descriptor for a group of a client; on the class of the client, it is the group's class."""

    def __init__(self, kind: type[G]) -> None:
        self._kind: Any = kind

    @overload
    def __get__(self, client: None, owner: object) -> type[G]: ...
    @overload
    def __get__(self, client: object, owner: object) -> G: ...
    def __get__(self, client: Any, owner: object) -> Any:
        return self._kind if client is None else self._kind(client)
