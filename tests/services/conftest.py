"""What the service layer is given, on the test's database."""

from collections.abc import AsyncIterator

import pytest

from dispatcher.services.audit.audit_log import Actor
from dispatcher.store.pool import Pool
from dispatcher.store.session import Session

ACTOR = Actor("token:test", request_id="req_test", address="127.0.0.1")


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """The pool from which the service layer gets its sessions."""
    sessions = [Session(dsn, f"people-{n}") for n in range(2)]
    yield Pool(sessions)
    for session in sessions:
        await session.close()


@pytest.fixture
def actor() -> Actor:
    return ACTOR
