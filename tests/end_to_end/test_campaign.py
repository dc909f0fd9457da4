"""Every fault campaign in its short form, so that none can break without being noticed."""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from tests.campaign.registry import CAMPAIGNS

pytestmark = pytest.mark.long

AT_ONCE = 2
SEED = "7"
MADE_OF_OTHERS = {"recover", "mixed"}
LIKE_A_TEST = {"half-open", "backend-freeze", "clock", "clock-two", "pooler", "failover"}
"""What they do, tests do one by one: test_silence.py, test_database_clock.py, cli/test_connecting.py and
tests/store/connection/test_connect.py. Each wants a server of its own, which is too much beside other tests."""


@pytest.mark.timeout(600)
async def test_each_campaign_in_its_short_form_keeps_every_promise() -> None:
    turns = asyncio.Semaphore(AT_ONCE)
    ended = await asyncio.gather(
        *(_play(name, turns) for name in CAMPAIGNS if name not in MADE_OF_OTHERS | LIKE_A_TEST)
    )
    broken = [output for code, output in ended if code != 0]
    assert not broken, "\n".join(broken)


async def _play(name: str, turns: asyncio.Semaphore) -> tuple[int | None, str]:
    async with turns:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.campaign", name, "--short", "--seed", SEED),
            cwd=Path(__file__).parents[2],
            stdout=PIPE,
            stderr=STDOUT,
        )
        out, _ = await process.communicate()
    return process.returncode, out.decode()
