"""Each behaviour of the catalogue once: its verdict, the deadline, and nothing that stays open."""

from pathlib import Path

import pytest

from dispatcher.core.model import Response, SendError
from dispatcher.transport.exchanging import exchange
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from tests.certificates import Authority
from tests.hostile_receivers import CATALOGUE
from tests.hostile_receivers.server import served
from tests.transport.senders import LIMIT
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("trusted_authority")

TIMEOUT_SECONDS = 0.3
PATIENT_SECONDS = 30.0
"""For a receiver that answers: the machine may be slow, and the verdict is what is asked for."""


@pytest.mark.parametrize("name", CATALOGUE)
async def test_a_hostile_receiver_gets_its_outcome_and_leaves_nothing_open(
    sender: Sender,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setattr(exchange, "BODY_SECONDS", TIMEOUT_SECONDS)
    behaviour = CATALOGUE[name]
    body = b"x" * behaviour.body_bytes
    timeout = TIMEOUT_SECONDS if "timeout" in behaviour.verdict else PATIENT_SECONDS
    async with served({name: behaviour}, authority, tmp_path) as urls:
        for _ in range(2):  # the second one may get the connection of the first
            result = await sender.post(Post(urls[name], {}, body, timeout=timeout))
            assert verdict(result) in behaviour.verdict.split("|"), result
            assert len(result.body if isinstance(result, Response) else b"") <= LIMIT
        await until(
            lambda: len(sender._connections) == len(sender._connections._idle),
            "all connections that are open are idle",
        )


def verdict(result: Response | SendError) -> str:
    return str(result.status) if isinstance(result, Response) else result.code
