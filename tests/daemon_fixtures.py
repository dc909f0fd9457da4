"""Fixtures of a whole daemon and its surroundings, for the tests of its API and of its stories."""

from collections.abc import AsyncIterator

import pytest

from dispatcher.encryption.cipher import Cipher
from tests.conftest import Connection
from tests.end_to_end.shell import KEY
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Receiver


@pytest.fixture
def cipher() -> Cipher:
    return Cipher(bytes.fromhex(KEY))


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
