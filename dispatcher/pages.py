"""One page of a listing, newest first."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

DEFAULT_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next` is the position to go on from, for the listing that made it; None: that was all.

    A page may be short, or empty, and still have a next: a filter was followed for long enough.
    """

    items: tuple[T, ...]
    next: int | None
