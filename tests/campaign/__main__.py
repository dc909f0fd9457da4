"""`python -m tests.campaign [name …] [--seed N] [--short]`: breaks the system, counts what was lost.

One line a campaign; the exit code is 1 if a promise was broken. A seed plays the same plan again.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from dispatcher.embedded_postgres.server import EmbeddedPostgres
from tests.campaign import api, burst, fuzz, neighbours, plans, receivers, slices
from tests.campaign.registry import CAMPAIGNS
from tests.campaign.servers import Server, embedded
from tests.campaign.stage import set_up

ALONE = {
    "api": api.play,
    "fuzz": fuzz.play,
    "neighbours": neighbours.play,
    "plans": plans.play,
    "receivers": receivers.play,
    **{name: slices.play(name) for name in slices.PRODUCERS},
    **{name: burst.play(name) for name in burst.BURSTS},
}
"""Campaigns that set their own stage, and lose nothing."""
NAMES = {**CAMPAIGNS, **ALONE}
SHOWN = 10
"""Violations told of one campaign."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--short", action="store_true", help="seconds instead of minutes")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - NAMES.keys():
        parser.error(f"no campaign is called {', '.join(sorted(unknown))}")
    kept = [run(name, arguments.seed, short=arguments.short) for name in arguments.names or NAMES]
    return 0 if all(kept) else 1


def run(name: str, seed: int, *, short: bool) -> bool:
    """Return True if every promise was kept. If not, keep the directory with ledger and logs."""
    directory = Path(tempfile.mkdtemp(prefix=f"dispatcher-campaign-{name}-"))
    directory.chmod(0o711)  # root's server is another user's process
    campaign = CAMPAIGNS.get(name)
    if campaign is not None and (lacking := campaign.lacking()):
        print(f"{name:16} skipped: {lacking}", flush=True)
        return True
    began = time.monotonic()
    with (campaign.serves if campaign else embedded)(directory) as server:
        figures, violations = asyncio.run(_play(name, Random(seed), directory, server, short=short))
    verdict = "ok" if not violations else f"BROKEN, see {directory}"
    print(
        f"{name:16} seed {seed}: {figures}; {time.monotonic() - began:.0f} s: {verdict}", flush=True
    )
    for violation in violations[:SHOWN]:
        print(f"                 {violation}", flush=True)
    if not violations:
        shutil.rmtree(directory, ignore_errors=True)
    return not violations


async def _play(
    name: str, chance: Random, directory: Path, server: Server, *, short: bool
) -> tuple[str, list[str]]:
    if name in ALONE:
        assert isinstance(server, EmbeddedPostgres)
        return await ALONE[name](directory, server, chance, short=short)
    campaign = CAMPAIGNS[name]
    async with set_up(directory, server, chance, short=short) as stage:
        try:
            await campaign.play(stage)
        except TimeoutError:
            stage.broken.append("it did not drain, or a daemon did not become ready")
    findings = await stage.verdict(frozen=campaign.frozen, stepped=campaign.stepped)
    figures = campaign.weigh(stage, findings)
    broken = [f"not kept: {figure.text}" for figure in figures if not figure.kept]
    text = ", ".join([str(findings), *map(str, figures)])
    return text, stage.broken + findings.violations + broken


if __name__ == "__main__":
    sys.exit(main())
