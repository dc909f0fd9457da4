"""The producers' side of a campaign: transactions of all sizes, some rolled back, and a ledger."""

import asyncio
import json
from dataclasses import dataclass, field
from itertools import count
from random import Random

import asyncpg

TYPES = {"user.created": 10, "user.profile.changed": 10, "role.created": 10, "report.done": 1}
"""Each with the weight of its chances."""
SIZES = (1, 1, 1, 1, 2, 5, 20)
ROLLED_BACK = 0.1
LOST = (
    *(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError),
    asyncpg.InternalClientError,  # what the driver makes of a server that ends in mid-sentence
)
INSERT = "INSERT INTO dispatcher.events (type, data) VALUES ($1, $2)"


@dataclass(slots=True)
class Emitted:
    """The numbers of events by what became of their transaction; `types` knows each one's type."""

    types: dict[int, str] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)
    rolled_back: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    numbers: count = field(default_factory=count)  # type: ignore[type-arg] # of ints

    def draw(self, chance: Random) -> list[tuple[str, str]]:
        """Rows for one transaction."""
        rows = []
        for _ in range(chance.choice(SIZES)):
            n = next(self.numbers)
            (self.types[n],) = chance.choices([*TYPES], [*TYPES.values()])
            rows.append(
                (self.types[n], json.dumps({"n": n, "filler": "x" * chance.randrange(900)}))
            )
        return rows


async def produce(dsn: str, emitted: Emitted, chance: Random, *, per_second: float) -> None:
    """Transactions until cancelled, about `per_second` events; outlives the database's absences."""
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
        except LOST:
            await asyncio.sleep(0.05)
            continue
        try:
            await _produce(connection, emitted, chance, per_second)
        except LOST:
            await asyncio.sleep(0.05)
        finally:
            connection.terminate()


async def _produce(
    connection: "asyncpg.Connection[asyncpg.Record]",
    emitted: Emitted,
    chance: Random,
    per_second: float,
) -> None:
    while True:
        rows = emitted.draw(chance)
        numbers = {json.loads(data)["n"] for _, data in rows}
        emitted.unknown |= numbers
        transaction = connection.transaction()
        await transaction.start()
        await connection.executemany(INSERT, rows, timeout=10)
        if chance.random() < ROLLED_BACK:
            await transaction.rollback()
            emitted.rolled_back |= numbers
        else:
            await transaction.commit()
            emitted.committed |= numbers
        emitted.unknown -= numbers
        await asyncio.sleep(len(rows) / per_second)
