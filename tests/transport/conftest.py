"""What several tests of the transport need: a sender, and an authority that it trusts."""

from collections.abc import AsyncIterator

import pytest

from dispatcher.transport.sender import Sender
from tests.certificates import Authority
from tests.transport.senders import new_sender


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def trusted_authority(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The only authority that senders trust."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
    return authority


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with new_sender() as opened:
        yield opened
