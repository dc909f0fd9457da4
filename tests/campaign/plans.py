"""Every statement of the engine beside a million rows, living or dead, in each state of the statistics.

What `tests/store/plans/test_plans.py` does with a tenth of it: blocks are counted and never time.
"""

from pathlib import Path
from random import Random

from dispatcher.embedded_postgres.server import EmbeddedPostgres
from tests.bench import stage
from tests.store.engine_plans import run_all
from tests.store.engine_rows import FEW, STATES, Size, queues_of

MANY = Size(endpoints=10_000, types=5_000, deliveries=1_000_000, inbox=300_000)


async def play(
    directory: Path, server: EmbeddedPostgres, chance: Random, *, short: bool
) -> tuple[str, list[str]]:
    """Run them all, and return the dearest beside what it may cost, and those that cost more."""
    stage.dispatcher(server.dsn, "migrate")
    dearest, broken, number = (0.0, ""), [], 0
    async with queues_of(server.dsn, FEW if short else MANY) as queues:
        for state in STATES:
            await queues.get_into(state)
            ran = await run_all(queues)
            number += len(ran)
            broken += [f"{state}: {statement}" for statement in ran if not statement.is_sound]
            dearest = max(
                dearest,
                *(
                    (statement.blocks / statement.most, f"{state}: {statement}")
                    for statement in ran
                ),
            )
    share, what = dearest
    return (
        f"{number} plans in {len(STATES)} states; dearest {share:.2f} of its bound: {what}",
        broken,
    )
