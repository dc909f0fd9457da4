"""`python -m tests.hostile_receivers DIRECTORY`: serve the catalogue until the input is closed.

It prints one line of JSON, the URL of each behaviour, and keeps its certificates in DIRECTORY:
clients trust `root.pem` in it. It runs at idle priority: real receivers have machines of their own,
so what is measured beside them is what they cost us.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path

import uvloop

from tests.certificates import Authority
from tests.hostile_receivers import CATALOGUE
from tests.hostile_receivers.priority import at_idle_priority
from tests.hostile_receivers.server import served


async def main(directory: Path) -> None:
    logging.disable()  # connections that break are what is asked for
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    async with served(CATALOGUE, Authority(directory), elsewhere) as urls:
        print(json.dumps(urls), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    at_idle_priority()
    uvloop.run(main(Path(sys.argv[1])))
