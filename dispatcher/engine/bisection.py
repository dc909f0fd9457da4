"""Statements about many rows, of which one is refused or cannot be read: the others go on."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from dispatcher.store.data_errors import is_data_error

Item = TypeVar("Item")


async def apart(
    items: Sequence[Item],
    ask: Callable[[Sequence[Item]], Awaitable[object]],
    refused: Callable[[Item, Exception], object],
) -> None:
    """Run the statement `ask` for all items, by halves where the data of one of them makes it fail.

    `refused(item, error)` is called for each item that fails alone. With k such items among n, it
    takes about k log n statements. Raises what `ask` raises, but for data errors.
    """
    if not items:
        return
    try:
        await ask(items)
    except Exception as error:
        if not is_data_error(error):
            raise
        if len(items) == 1:
            refused(items[0], error)
            return
        half = len(items) // 2
        await apart(items[:half], ask, refused)
        await apart(items[half:], ask, refused)
