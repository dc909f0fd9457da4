"""The producers' side of a campaign: transactions of all sizes, some rolled back, and a ledger."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

import asyncpg

TYPES = {"user.created": 10, "user.profile.changed": 10, "role.created": 10, "report.done": 1}
"""Each with the weight of its chances."""
SIZES = (1, 1, 1, 1, 2, 5, 20)
ROLLED_BACK = 0.1
TRANSACTION_SECONDS = 10.0
LOST = (
    *(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError),
    asyncpg.InternalClientError,  # what the driver makes of a server that ends in mid-sentence
)
INSERT = "INSERT INTO dispatcher.events (type, data) VALUES ($1, $2)"


@dataclass(slots=True)
class Emitted:
    """The numbers of events by the result of their transaction.

    `types` has the type of each, `inserted_at` its time; `replica` those inserted in the replica
    role.
    """

    types: dict[int, str] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)
    rolled_back: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    replica: set[int] = field(default_factory=set)
    inserted_at: dict[int, float] = field(default_factory=dict)
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


async def produce(
    dsn: Callable[[], str],
    emitted: Emitted,
    chance: Random,
    *,
    per_second: float,
    replica: float = 0.0,
) -> None:
    """Commit about `per_second` events a second until cancelled, also through lost connections.

    A share of them is inserted in the replica role.
    """
    while True:
        try:
            connection = await asyncpg.connect(dsn(), timeout=5)
        except LOST:
            await asyncio.sleep(0.05)
            continue
        try:
            await _produce(connection, emitted, chance, per_second, replica)
        except LOST:
            await asyncio.sleep(0.05)
        finally:
            connection.terminate()


async def _produce(
    connection: "asyncpg.Connection[asyncpg.Record]",
    emitted: Emitted,
    chance: Random,
    per_second: float,
    replica: float,
) -> None:
    while True:
        rows = emitted.draw(chance)
        numbers = {json.loads(data)["n"] for _, data in rows}
        emitted.unknown |= numbers
        undone = chance.random() < ROLLED_BACK
        role = "replica" if chance.random() < replica else "origin"
        async with asyncio.timeout(TRANSACTION_SECONDS):
            transaction = connection.transaction()
            await transaction.start()
            if replica:
                await connection.execute(f"SET LOCAL session_replication_role = {role}")
            await connection.executemany(INSERT, rows)
            await (transaction.rollback() if undone else transaction.commit())
        (emitted.rolled_back if undone else emitted.committed).update(numbers)
        if role == "replica":
            emitted.replica |= numbers
            emitted.inserted_at |= dict.fromkeys(numbers, time.time())
        emitted.unknown -= numbers
        await asyncio.sleep(len(rows) / per_second)
