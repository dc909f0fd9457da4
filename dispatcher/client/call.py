"""One call of the API: what to send, how to read the answer, when to ask again. It sends nothing
itself; and what turns a method that describes a call into one that is answered.
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
PAUSES = (0.2, 1.0)
"""Seconds before a request is repeated; there are no more repetitions than these."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """`path` is from the address of the API on. `key` is an Idempotency-Key; `repeatable`: asked
    twice, it is done once."""

    method: str
    path: str
    read: Callable[[Any], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    key: str | None = None
    repeatable: bool = True

    @property
    def target(self) -> str:
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    def pause(self, repeated: int, failure: ConnectionFailed | Unavailable) -> float | None:
        """Seconds until it may be asked again, after so many repetitions; None: give up."""
        undone = isinstance(failure, ConnectionFailed) and not failure.sent
        if repeated >= len(PAUSES) or not (self.repeatable or undone):
            return None
        return PAUSES[repeated]


def following(call: Call[Page], page: Page) -> Call[Page] | None:
    """The page after this one."""
    if page.next_cursor is None:
        return None
    longest = {"limit": LONGEST_PAGE}  # unless it was asked for shorter ones
    return replace(call, query={**longest, **call.query, "cursor": page.next_cursor})


class Asking(ABC):
    """Asks in one environment; None: the token's own, or env_default."""

    environment: str | None

    def within(self, environment: str | None) -> Self:
        """The same in another environment."""
        other = copy(self)
        other.environment = environment
        return other


class Blocking(Asking):
    """Asks, and returns when the answer is there."""

    @abstractmethod
    def ask(self, call: Call[T]) -> T: ...

    def follow(self, call: Call[Page] | None) -> Iterator[Resource]:
        """Every item, page after page, as they are wanted."""
        while call is not None:
            page = self.ask(call)
            yield from page
            call = following(call, page)

    def collect(self, call: Call[Page]) -> list[Resource]:
        """Every item of a listing."""
        return list(self.follow(call))


class Awaiting(Asking):
    """Asks, and can be awaited."""

    @abstractmethod
    async def ask(self, call: Call[T]) -> T: ...

    async def follow(self, call: Call[Page] | None) -> AsyncIterator[Resource]:
        """Every item, page after page, as they are wanted."""
        while call is not None:
            page = await self.ask(call)
            for item in page:
                yield item
            call = following(call, page)

    async def collect(self, call: Call[Page]) -> list[Resource]:
        """Every item of a listing."""
        return [item async for item in self.follow(call)]


class Group(Generic[C]):
    """The calls about one noun."""

    def __init__(self, asking: C) -> None:
        self.asking: C = asking


class asked(Generic[P, T]):
    """The method describes a call; whoever calls it gets the answer, or awaits it."""

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
    """Every item of a listing that is described."""

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
    """The method describes a listing; whoever calls it gets all items, however many pages they are."""

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
    """A group of a client; of the class of clients, the group's class."""

    def __init__(self, kind: type[G]) -> None:
        self._kind: Any = kind

    @overload
    def __get__(self, client: None, owner: object) -> type[G]: ...
    @overload
    def __get__(self, client: object, owner: object) -> G: ...
    def __get__(self, client: Any, owner: object) -> Any:
        return self._kind if client is None else self._kind(client)
