"""What is compared with: a bare aiohttp client, and a bare LISTEN-claim-POST script.

python -m tests.bench.bare posts URL NUMBER CONCURRENCY      prints seconds, and those of CPU
python -m tests.bench.bare worker URL DSN                    prints "ready", serves until its input is closed
"""

import asyncio
import sys
from collections.abc import Iterator
from itertools import repeat
from time import monotonic, process_time

import aiohttp
import asyncpg
import uvloop

BODY = b'{"event":"user.created","event_id":"evt_1","timestamp":"2026-02-26T12:00:00.000Z","environment_id":"env_default","data":{"id":"usr_1","first_name":"Jane","last_name":"Doe","email":"jane@example.com"}}'
TABLE = "CREATE TABLE IF NOT EXISTS bare_queue (id bigserial PRIMARY KEY, body text NOT NULL)"


async def posts(url: str, number: int, concurrency: int) -> float:
    """Seconds to POST the body `number` times, with `concurrency` loops on one session."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        turns = iter(repeat(None, number))
        began = monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(_post_all(session, url, turns))
        return monotonic() - began


async def _post_all(session: aiohttp.ClientSession, url: str, turns: Iterator[None]) -> None:
    headers = {"Content-Type": "application/json"}
    for _ in turns:
        async with session.post(url, data=BODY, headers=headers) as answer:
            await answer.read()


async def worker(url: str, dsn: str) -> None:
    """LISTEN, claim a row by DELETE … SKIP LOCKED, POST it: nothing signed, retried or recorded."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(TABLE)
    wake = asyncio.Event()
    await connection.add_listener("bare_queue", lambda *_: wake.set())
    claim = await connection.prepare(
        "DELETE FROM bare_queue WHERE id = (SELECT id FROM bare_queue ORDER BY id LIMIT 1 "
        "FOR UPDATE SKIP LOCKED) RETURNING id, body"
    )
    stop = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    async with aiohttp.ClientSession() as session:
        print("ready", flush=True)
        while not stop.done():
            wake.clear()
            while row := await claim.fetchrow():
                headers = {"Content-Type": "application/json", "webhook-id": f"bare_{row['id']}"}
                async with session.post(url, data=row["body"].encode(), headers=headers) as answer:
                    await answer.read()
            await asyncio.wait(
                {stop, asyncio.ensure_future(wake.wait())}, return_when="FIRST_COMPLETED"
            )
    await connection.close()


async def main(verb: str, *args: str) -> None:
    if verb == "posts":
        began = process_time()
        seconds = await posts(args[0], int(args[1]), int(args[2]))
        print(seconds, process_time() - began)
    else:
        await worker(*args)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
