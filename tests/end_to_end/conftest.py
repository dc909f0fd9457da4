"""Fixtures of the stories; what they hand out is in `stories.py`."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from dispatcher.core import signing
from dispatcher.daemon.daemon import Daemon
from dispatcher.encryption.cipher import Cipher
from tests import daemon_fixtures
from tests.conftest import Connection
from tests.end_to_end.loaded_process import LoadedProcess
from tests.end_to_end.shell import KEY, TOKEN, Shell, shell
from tests.end_to_end.stories import Daemons, SharedStory
from tests.receivers import Receiver

cipher = daemon_fixtures.cipher
daemons = daemon_fixtures.daemons
receiver = daemon_fixtures.receiver
story = daemon_fixtures.story


@pytest.fixture
def quiet() -> Iterator[None]:
    """Daemons in this process log nothing: commands beside them would print it as their own."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture
async def another() -> AsyncIterator[Receiver]:
    """A second receiver."""
    async with Receiver() as opened:
        yield opened


@pytest.fixture(scope="session")
def loaded() -> LoadedProcess:
    """A process with all modules loaded, which starts commands as processes of their own."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # as for each command
        return LoadedProcess()


@pytest.fixture
async def dispatcher(dsn: str, tmp_path: Path, loaded: LoadedProcess) -> AsyncIterator[Shell]:
    """Commands on the story's database."""
    async with shell(tmp_path, loaded, database__dsn=dsn, secrets__key=KEY) as opened:
        yield opened


@pytest.fixture
def directory(open_directory: Path) -> Iterator[Path]:
    """One that an embedded server can enter."""
    with tempfile.TemporaryDirectory(dir=open_directory) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
async def unconfigured(
    directory: Path, binaries: Path | None, loaded: LoadedProcess
) -> AsyncIterator[Shell]:
    """Commands that must find or start an embedded PostgreSQL."""
    chosen = {"database__binaries": str(binaries)} if binaries else {}
    async with shell(directory, loaded, **chosen) as opened:
        yield opened


# ── one daemon for a whole module: for stories that need nothing but endpoints of their own ──────


@pytest.fixture(scope="module")
def standing_dsn(shared_dsn: str) -> str:
    return shared_dsn


@pytest.fixture(scope="module")
async def standing(standing_dsn: str) -> AsyncIterator[Daemon]:
    """A daemon that signs under every scheme, and whose administrator has TOKEN."""
    started = Daemons(standing_dsn, Cipher(bytes.fromhex(KEY)))
    schemes = list(signing.SCHEMES)
    yield await started.start(signing={"schemes": schemes}, secrets={"admin_token": TOKEN})
    await started.end()


@pytest.fixture
async def shared_story(
    standing: Daemon, standing_dsn: str, shared_connection: Connection, cipher: Cipher
) -> AsyncIterator[SharedStory]:
    """A story of the module's daemon, which runs already."""
    module_story = SharedStory(standing, standing_dsn, shared_connection, cipher)
    yield module_story
    await module_story.end()
