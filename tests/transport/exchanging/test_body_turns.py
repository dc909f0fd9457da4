"""Large bodies are written a piece at a time, in turns."""

import asyncio
from collections.abc import Callable

from dispatcher.transport.exchanging.body_turns import PIECES_A_TURN_LIMIT, BodyTurns


async def test_each_body_has_one_piece_in_its_turn_and_a_few_go_in_one_iteration() -> None:
    turns = BodyTurns(asyncio.get_running_loop())
    written: list[int] = []

    def writer(number: int, pieces: int) -> Callable[[], bool]:
        def write_piece() -> bool:
            written.append(number)
            return written.count(number) < pieces

        return write_piece

    for number in range(PIECES_A_TURN_LIMIT + 1):
        turns.put(writer(number, pieces=2))
    assert written == [], "not in the iteration of the request"
    every = list(range(PIECES_A_TURN_LIMIT + 1))
    await asyncio.sleep(0)
    assert written == every[:-1]
    await asyncio.sleep(0)
    assert written == [*every, *every[: PIECES_A_TURN_LIMIT - 1]], "after those that wait"
    await asyncio.sleep(0)
    assert written == [*every, *every]
    turns.put(writer(0, pieces=3))
    await asyncio.sleep(0)
    assert written[-1] == 0
