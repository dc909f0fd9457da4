"""A server that answers exactly what its description says, whatever it is asked.

DISPATCHER_TEST_SEED=316274     what a failure printed: the same plan again
"""

import os
import secrets
from pathlib import Path

import pytest

from tests.api.fuzz import SECTIONS, fuzz, kept_inside
from tests.end_to_end.stories import Daemons
from tests.receivers import Receiver

pytestmark = pytest.mark.long

pytest.importorskip("schemathesis", reason="schemathesis is not installed")

LEAST = 2_000
REACHED = 0.7
"""Of the operations: the others need something that a fuzzer has not at hand."""
TWICE = r"_by_|_alias|(?<!pause)(?<!emit_event)_in_app"
"""Other ways to the same routes; the campaign asks those, too."""


@pytest.mark.timeout(600)  # it is the machine that takes its time
async def test_the_server_conforms_to_its_description(
    daemons: Daemons, receiver: Receiver, tmp_path: Path
) -> None:
    daemon = await daemons.start(**SECTIONS)
    seed = int(os.environ.get("DISPATCHER_TEST_SEED") or secrets.randbelow(10**6))
    with kept_inside():
        result = await fuzz(
            daemon.admin_address, receiver.url, tmp_path, examples=3, seed=seed, without=TWICE
        )
    print(result)  # noqa: T201 - with the seed
    assert result.failures == (), result.said
    assert result.cases >= LEAST
    assert len(result.accepted) >= REACHED * result.tried, sorted(result.accepted)
