"""Campaigns of rows that are unlike the others: some that are refused, some that no trigger saw."""

import asyncio
import json

from tests.campaign.campaigns import stop
from tests.campaign.oracle import Findings
from tests.campaign.producer import INSERT
from tests.campaign.stage import POISON, Stage
from tests.campaign.weighing import Campaign, Figure, sending_again, spread
from tests.conftest import connected

REFUSED = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON dispatcher.attempts FOR EACH ROW
  WHEN (NEW.type = 'poison.result') EXECUTE FUNCTION refuse();
CREATE TRIGGER refuse BEFORE INSERT ON dispatcher.deliveries FOR EACH ROW
  WHEN (NEW.type = 'poison.fan_out') EXECUTE FUNCTION refuse();
CREATE CAST (bytea AS json) WITHOUT FUNCTION;
"""
UNREADABLE = """
INSERT INTO dispatcher.events (type, data) VALUES ('poison.unreadable', '\\x22ff22'::bytea::json)
"""
UNDECRYPTABLE = """
UPDATE dispatcher.endpoints SET secret = '\\x0102030405060708090a0b0c0d0e0f10'::bytea, version = version + 1
WHERE id = $1
"""
SEEN = """
SELECT type || ' ' || reason AS what FROM dispatcher.quarantine
UNION ALL SELECT type || ' ' || outcome FROM dispatcher.attempts WHERE type = 'poison.unreadable' AND state = 'FAILED'
"""
VISIBLE_WITHIN_SECONDS = 30.0
FOUND_WITHIN_SECONDS = 20.0
"""Until an event is found that no trigger of ours saw: it is looked for now and then."""


async def poison(stage: Stage) -> None:
    """Now and then a row that the database refuses, or that cannot be read; one endpoint is held."""
    story = stage.story
    assert story is not None
    daemon = await stage.daemon()
    held = await story.subscribe(f"http://127.0.0.1:{stage.port}/held", "role.*")
    async with stage.load(), connected(stage.dsn) as connection:
        await connection.execute(REFUSED)
        await connection.execute(UNDECRYPTABLE, held.id)
        for n in range(stage.count(20, short=3)):
            await stage.pause(0.5, 2.0)
            stage.fault("poison", cuts=False)
            for kind in ("result", "fan_out"):
                await connection.execute(INSERT, POISON + kind, json.dumps({"n": -1 - n}))
            await connection.execute(UNREADABLE)
            await stage.mark()
        await _visible(stage)
    await stop(stage, daemon)


async def _visible(stage: Stage) -> None:
    """Wait until each poisoned row is to be seen where people look."""
    number = sum(fault.kind == "poison" for fault in stage.faults)
    expected = sorted(
        ["poison.fan_out fan_out_failed"] * number
        + ["poison.result result_refused"] * number
        + ["poison.unreadable cancelled"] * number
    )
    seen: list[str] = []
    for _ in range(int(VISIBLE_WITHIN_SECONDS * 4)):
        seen = sorted(row["what"] for row in await stage.fetch(SEEN))
        if seen == expected:
            return
        await asyncio.sleep(0.25)
    missing = {what: (seen.count(what), number) for what in {*seen, *expected}}
    stage.broken.append(f"not as many are visible as were poisoned: {missing}")


async def replica_role(stage: Stage) -> None:
    """A fifth of the transactions are inserted as replication does it: no trigger of ours fires."""
    daemon = await stage.daemon()
    stage.replica = 0.2
    async with stage.load():
        for _ in range(stage.count(20, short=3)):
            await stage.pause(1.0, 2.0)
            await stage.mark()
    await stop(stage, daemon)


def weigh_poison(stage: Stage, findings: Findings) -> list[Figure]:
    return [
        Figure(
            f"{sum(fault.kind == 'poison' for fault in stage.faults)} of each kind, all visible"
        ),
        sending_again(stage, "events beside them"),
        Figure("no duplicates", not findings.duplicated),
    ]


def weigh_replica(stage: Stage, findings: Findings) -> list[Figure]:
    first: dict[int, float] = {}
    for post in stage.posts:
        if post.endpoint == "/all":
            first.setdefault(post.n, post.at)
    limit = FOUND_WITHIN_SECONDS * stage.patience
    expected = stage.emitted.replica & stage.emitted.committed
    waits = [first[n] - stage.emitted.inserted_at[n] for n in expected if n in first]
    return [
        Figure(f"{len(expected)} in the replica role", bool(expected)),
        Figure(f"found after {spread(waits)}", max(waits, default=0) <= limit),
        sending_again(stage, "events beside them"),
        Figure("no duplicates", not findings.duplicated),
    ]


CAMPAIGNS = {
    "poison": Campaign(poison, weigh_poison),
    "replica-role": Campaign(replica_role, weigh_replica),
}
