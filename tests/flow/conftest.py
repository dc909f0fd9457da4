"""Fixtures of the stories; what they hand out is in `stories.py`."""

from collections.abc import AsyncIterator

import pytest

from dispatcher.crypto import Cipher
from tests.conftest import Connection
from tests.flow.stories import Daemons, Story
from tests.receivers import Receiver


@pytest.fixture
def cipher() -> Cipher:
    return Cipher(bytes(range(32)))


@pytest.fixture
async def story(dsn: str, connection: Connection, cipher: Cipher) -> Story:
    return Story(dsn, connection, cipher)


@pytest.fixture
async def daemons(story: Story, cipher: Cipher) -> AsyncIterator[Daemons]:
    started = Daemons(story.dsn, cipher)
    yield started
    await started.end()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as opened:
        yield opened


@pytest.fixture
async def another() -> AsyncIterator[Receiver]:
    """A second receiver."""
    async with Receiver() as opened:
        yield opened
