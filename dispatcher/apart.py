"""Statements of many rows, of which the database refuses one: the others are written all the same."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from dispatcher.store.data_errors import is_data_error

Item = TypeVar("Item")


async def write_apart(
    items: Sequence[Item],
    write: Callable[[Sequence[Item]], Awaitable[object]],
    refused: Callable[[Item, Exception], object],
) -> None:
    """Write all items that the database takes, by halves where one of them is refused.

    `refused(item, error)` is called for each item that is refused alone. Of n items, k of them
    refused, it takes about k log n statements. Raises what `write` does but for data errors.
    """
    if not items:
        return
    try:
        await write(items)
    except Exception as error:
        if not is_data_error(error):
            raise
        if len(items) == 1:
            refused(items[0], error)
            return
        half = len(items) // 2
        await write_apart(items[:half], write, refused)
        await write_apart(items[half:], write, refused)
