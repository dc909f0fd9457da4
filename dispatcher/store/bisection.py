"""Run a statement for many rows although the database refuses the data of some of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from dispatcher.store.data_errors import is_data_error

Item = TypeVar("Item")


async def bisect(
    items: Sequence[Item],
    run: Callable[[Sequence[Item]], Awaitable[object]],
    on_refused: Callable[[Item, Exception], object],
) -> None:
    """Run the statement `run` for all items; after a data error, split them in halves.

    `on_refused(item, error)` is called for each item that fails alone. With k such items among n,
    about k log n statements run. Raise every exception of `run` that is not a data error.
    """
    if not items:
        return
    try:
        await run(items)
    except Exception as error:
        if not is_data_error(error):
            raise
        if len(items) == 1:
            on_refused(items[0], error)
            return
        half = len(items) // 2
        await bisect(items[:half], run, on_refused)
        await bisect(items[half:], run, on_refused)
