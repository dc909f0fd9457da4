"""POSTs to one https receiver: on kept connections, and each on a new one that resumes a session.

python -m tests.bench.secure URL NUMBER    prints how new connections to the URL went, as JSON
"""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

import asyncpg
import uvloop

from dispatcher.core.model import Response
from dispatcher.transport.post import Post
from tests.bench import stage, throughput, transport
from tests.bench.bare import BODY
from tests.certificates import Authority

BAR = 1_000
"""Deliveries a second."""


async def measure(dsn: str, *, rounds: int, number: int) -> list[str]:
    """Lines of a report: deliveries of the daemon, POSTs of the transport, new connections."""
    with tempfile.TemporaryDirectory(prefix="dispatcher-bench-") as directory:
        authority = Authority(Path(directory))
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(authority.root)
        try:
            async with stage.receiving(authority.certificate()) as receiver:
                return [
                    *await _deliveries(dsn, receiver, rounds, number),
                    await _kept(receiver, number),
                    await _new(receiver, min(number, 2_000)),
                ]
        finally:
            os.environ.pop("SSL_CERT_FILE")
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before


async def _deliveries(dsn: str, receiver: stage.Receiver, rounds: int, number: int) -> list[str]:
    created = stage.dispatcher(dsn, "webhook", "create", receiver.url, "--events", "*", "--json")
    connection = await asyncpg.connect(dsn)
    async with stage.sending(dsn):
        await throughput.ours(connection, receiver, number // 4, 1)
        rates = [await throughput.ours(connection, receiver, number, 1) for _ in range(rounds)]
    await connection.close()
    stage.dispatcher(dsn, "webhook", "delete", str(created["id"]))
    return [f"  {median(rates):7.0f} deliveries/s on kept connections (bar {BAR})"]


async def _kept(receiver: stage.Receiver, number: int) -> str:
    rate, cpu = await transport.run("tests.bench.transport", receiver, number)
    return f"  {rate:7.0f} POSTs/s of the transport alone, {cpu:.1f} µs of CPU a POST"


async def _new(receiver: stage.Receiver, number: int) -> str:
    async with stage.process("-m", "tests.bench.secure", receiver.url, str(number)) as client:
        assert client.stdout is not None
        report = json.loads(await client.stdout.read())
    return (
        f"  {report['resumed']} of {number} new connections resumed a session: {report['tls_ms']:.2f} ms "
        f"of TLS (median), {report['full_ms']:.2f} ms without"
    )


async def connect_again(url: str, number: int) -> dict[str, float]:
    """POST so many times, each on a connection of its own, one after another."""
    resumed, times, full = 0, [], 0.0
    async with transport.new_sender(1) as sender:
        for _ in range(number):
            answer = await sender.post(Post(url, {}, BODY, timeout=15.0))
            assert isinstance(answer, Response), answer
            assert answer.timings.tls is not None
            (connection,) = sender._connections._idle
            if connection.transport.get_extra_info("ssl_object").session_reused:
                resumed += 1
                times.append(answer.timings.tls)
            else:
                full = answer.timings.tls
            connection.abort()
            await asyncio.sleep(0)
    return {"resumed": resumed, "tls_ms": median(times) * 1e3, "full_ms": full * 1e3}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(connect_again(sys.argv[1], int(sys.argv[2])))))
