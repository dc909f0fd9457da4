"""Plans of statements as a session of the daemon would run them, and how much they touch."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from dispatcher.store.statements import statement
from tests.conftest import Connection

ENDPOINT = """
CREATE FUNCTION pg_temp.endpoint(n bigint) RETURNS uuid LANGUAGE sql AS $$
  SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid
$$
"""
NO_AUTOVACUUM = """
DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'dispatcher'::regnamespace AND relkind = 'r' LOOP
    EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', t);
  END LOOP;
END $$
"""
MEASURED = ", ANALYZE, BUFFERS, TIMING off"


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer of EXPLAIN: `root` is the top node; `milliseconds` of execution if it ran."""

    root: Mapping[str, Any]
    milliseconds: float | None

    @property
    def nodes(self) -> list[Mapping[str, Any]]:
        return list(_nodes(self.root))

    @property
    def blocks(self) -> int:
        """Blocks touched, each as often as it was touched; only of a plan that was MEASURED."""
        return sum(
            self.root[f"{kind} {how} Blocks"]
            for kind in ("Shared", "Temp")
            for how in (("Hit", "Read") if kind == "Shared" else ("Read", "Written"))
        )


@asynccontextmanager
async def undone(connection: Connection) -> AsyncIterator[None]:
    """Whatever happens in here is rolled back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def explain(
    connection: Connection,
    name: str,
    arguments: str,
    mode: str,
    options: str = "",
    settings: Mapping[str, str] | None = None,
) -> Plan:
    """Return the plan of a statement, prepared as the driver does it, and undo what it did.

    `mode` is "generic" or "custom"; `settings` are those of the session the statement belongs to.
    """
    settings = {**(settings or {}), "plan_cache_mode": f"force_{mode}_plan"}
    local = "; ".join(f"SET LOCAL {setting} = '{value}'" for setting, value in settings.items())
    call = f"EXECUTE it({arguments})" if arguments else "EXECUTE it"
    await connection.execute(f"PREPARE it AS {statement(name)}")
    try:
        async with undone(connection):
            await connection.execute(local)
            text = await connection.fetchval(f"EXPLAIN (FORMAT JSON{options}) {call}")
    finally:
        await connection.execute("DEALLOCATE it")
    (answer,) = json.loads(text)
    return Plan(answer["Plan"], answer.get("Execution Time"))


def partitions(plan: Plan, parent: str) -> set[str]:
    """The partitions of a table that were looked into."""
    return {
        name
        for node in plan.nodes
        if (name := str(node.get("Relation Name", ""))).startswith(f"{parent}_")
        and node.get("Actual Loops", 1)
    }


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
