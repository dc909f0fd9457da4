"""The API's description held against the API, at length. It needs no ledger: nothing is broken."""

from pathlib import Path
from random import Random

from dispatcher.embedded_postgres.server import EmbeddedPostgres
from dispatcher.encryption.cipher import Cipher
from dispatcher.store.migration.migrate import migrate
from dispatcher.telemetry import log
from tests.api.fuzz import SECTIONS, fuzz, kept_inside
from tests.campaign.stage import KEY
from tests.conftest import connected
from tests.end_to_end.stories import Daemons
from tests.receivers import Receiver

CASES = 20_000
CASES_SHORT = 5_000
EXAMPLES = 190
EXAMPLES_SHORT = 1


async def play(
    directory: Path, server: EmbeddedPostgres, chance: Random, *, short: bool
) -> tuple[str, list[str]]:
    """Figures, and what was promised and not kept."""
    async with connected(server.dsn) as connection:
        await migrate(connection)
    daemons = Daemons(server.dsn, Cipher(KEY))
    log_file = (directory / "daemon.log").open("w")
    log.configure("info", "json", log_file)
    try:
        daemon = await daemons.start(**SECTIONS)
        async with Receiver() as receiver:
            with kept_inside():
                fuzzed = await fuzz(
                    daemon.admin_address,
                    receiver.url,
                    directory,
                    examples=EXAMPLES_SHORT if short else EXAMPLES,
                    seed=chance.randrange(10**6),
                )
    finally:
        await daemons.end()
        log_file.close()
    (directory / "fuzz.txt").write_text(fuzzed.said)
    broken = list(fuzzed.failures)
    if fuzzed.cases < (CASES_SHORT if short else CASES):
        broken.append(f"{fuzzed.cases} cases are too few")
    return str(fuzzed), broken
