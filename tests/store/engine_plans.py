"""How the statements of the engine are planned in one state of the statistics, and what they touch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dispatcher.store.connection.plan_settings import PRUNED, plan_settings
from tests.store.engine_rows import Queues
from tests.store.engine_statements import BATCH, Call, calls
from tests.store.plans.plan import MEASURED, explain, undone

QUEUES = (
    *("deliveries", "inbox", "unvalidated_events", "change_notices", "subscriptions"),
    "bulk_actions",
)
USUAL = """
DELETE FROM dispatcher.inbox_directed; UPDATE dispatcher.endpoints SET ordered = false WHERE ordered
"""
BEFORE = {"inbox/fan_out_plain": USUAL}
"""What to run before a statement. Otherwise it would do nothing."""
SLACK = 250
"""Blocks of the catalogue, and of pages not seen before."""
DEAD_PART = 0.05
"""Blocks that a statement may touch in addition for each delivery, while an old snapshot keeps the
deleted rows. Deliveries are the rows of which there are most."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One statement with one kind of plan: what it touched, and what it may touch."""

    name: str
    mode: str
    blocks: int
    most: int
    rows: int
    indexes: frozenset[str]
    expected: frozenset[str]

    @property
    def is_sound(self) -> bool:
        return self.blocks <= self.most and self.expected in (frozenset(), self.indexes)

    def __str__(self) -> str:
        ways = ", ".join(sorted(self.indexes))
        return f"{self.name} ({self.mode}): {self.blocks} blocks for {self.rows} rows, by {ways}"


async def run_all(queues: Queues) -> list[Ran]:
    """Run each statement with each kind of plan that its session may make, and undo it."""
    ran = []
    for name, call in calls(queues).items():
        settings = plan_settings(call.session)
        modes = ["custom"] if settings.items() >= PRUNED.items() else ["generic", "custom"]
        ran += [await _run(queues, name, call, mode) for mode in modes]
    return ran


async def _run(queues: Queues, name: str, call: Call, mode: str) -> Ran:
    settings = plan_settings(call.session)
    statement = name.partition(":")[0]
    connection = queues.connection
    async with undone(connection):
        await connection.execute(BEFORE.get(statement, "SELECT 1"))
        plan = await explain(connection, statement, call.arguments, mode, MEASURED, settings)
    used = frozenset(index for node in plan.nodes if (index := _index_of_a_queue(node)))
    rows = min(call.rows, 4 * BATCH) if queues.is_empty else call.rows
    dead = queues.size.deliveries * DEAD_PART * queues.has_old_snapshot
    limit = call.blocks * rows + SLACK + int(dead)
    # People's sessions have no pinned plans. They plan each time, and an empty table is read as it is.
    is_free = queues.is_empty and call.session == "people"
    return Ran(name, mode, plan.blocks, limit, rows, used, frozenset() if is_free else call.indexes)


def _index_of_a_queue(node: Mapping[str, Any]) -> str:
    """The index by which a queue is read; the queue itself when it is read without one."""
    index = str(node.get("Index Name", ""))
    if index.startswith(QUEUES):
        return index
    table = str(node.get("Relation Name", "")) if node["Node Type"] == "Seq Scan" else ""
    return table if table in QUEUES else ""
