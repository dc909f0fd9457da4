"""What Node makes of our deliveries: with the npm packages, and with code that knows none of ours.

Skipped where Node, npm or the packages cannot be had.
"""

import asyncio
import json
import shutil
import time
from asyncio.subprocess import PIPE
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from dispatcher.core import signing
from tests.api.conftest import Api, Client
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Receiver, Request

SCRIPTS = Path(__file__).parent / "node"
PACKAGED = ("standardwebhooks", "svix")
BARE = ("timestamped-hex", "body-hex")
TIMED = ("standardwebhooks", "svix", "timestamped-hex")
NAMES = signing.HeaderNames(
    body_hex="X-Paylent-Signature",
    timestamped_hex="x-noderails-signature",
    timestamped_hex_timestamp="x-noderails-timestamp",
    stripe="X-Paylent-Stripe-Signature",
)
SIGNING = {
    "brand": "Paylent",
    "schemes": ["body-hex", "standard", "timestamped-hex"],
    "timestamped_hex_header": NAMES.timestamped_hex,
    "timestamped_hex_timestamp_header": NAMES.timestamped_hex_timestamp,
}
DATA = '{"id":"usr_1","name":"Zoë 🦄 \\u2028","amount":1.10,"empty":{},"big":9007199254740993}'
INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
PATIENCE = 60


@dataclass(frozen=True, slots=True)
class Received:
    """A request as a receiver's code is given it."""

    body: bytes
    headers: Mapping[str, str]
    secret: str

    @property
    def as_json(self) -> dict[str, object]:
        return {
            "body": b64encode(self.body).decode(),
            "headers": dict(self.headers),
            "secret": self.secret,
        }


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with them, which packages can be put into."""
    if shutil.which("node") is None:
        pytest.skip("there is no Node on this machine")
    directory = tmp_path_factory.mktemp("node")
    return Path(shutil.copytree(SCRIPTS, directory, dirs_exist_ok=True))


@pytest.fixture(scope="session")
async def installed(scripts: Path) -> Path:
    """The same with the packages of the lock file."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm on this machine")
    npm = await asyncio.create_subprocess_exec(
        "npm", *INSTALL, cwd=scripts, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            _, errors = await npm.communicate()
    except TimeoutError:
        npm.kill()
        await npm.communicate()
        pytest.skip(f"npm has not installed the packages in {PATIENCE} s")
    if npm.returncode:
        pytest.skip(f"npm could not install the packages: {errors.decode()[-300:]}")
    return scripts


@pytest.fixture(params=[*PACKAGED, *BARE])
def way(request: pytest.FixtureRequest) -> str:
    """Of checking a request: the name of a script."""
    name: str = request.param
    request.getfixturevalue("installed" if name in PACKAGED else "scripts")
    return name


class Node:
    """Runs one script on all of these requests; what it makes of each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def __call__(self, script: str, *requests: Received) -> list[dict[str, Any]]:
        node = await asyncio.create_subprocess_exec(
            "node", f"{script}.mjs", cwd=self._directory, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        async with asyncio.timeout(PATIENCE):
            out, errors = await node.communicate(orjson.dumps([r.as_json for r in requests]))
        assert node.returncode == 0, errors.decode()
        answers: list[dict[str, Any]] = orjson.loads(out)
        return answers


@pytest.fixture
def node(scripts: Path) -> Node:
    return Node(scripts)


@pytest.fixture
async def admin(daemons: Daemons, dsn: str) -> AsyncIterator[Client]:
    """Of a daemon that signs for all of them."""
    daemon = await daemons.start(signing=SIGNING)
    async with aiohttp.ClientSession(daemon.admin_address) as session:
        yield await Api(daemon, dsn, session).client()


@pytest.fixture
async def webhook(admin: Client, receiver: Receiver) -> dict[str, Any]:
    made = await admin("POST", "/api/webhooks", {"url": receiver.url, "events": ["*"]})
    webhook: dict[str, Any] = made.data
    return webhook


@pytest.fixture
async def received(story: Story, receiver: Receiver, webhook: dict[str, Any]) -> Received:
    """A delivery, as it came in."""
    await _emit(story)
    (request,) = await receiver.wait_for(1)
    return _received(request, webhook["secret"])


async def _emit(story: Story) -> None:
    await story.connection.execute(
        "INSERT INTO dispatcher.events (type, data) VALUES ('user.created', $1)", DATA
    )


def _received(request: Request, secret: str) -> Received:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Received(request.body, headers, secret)


def _signed(received: Received, age: int) -> Received:
    """The same, rightly signed so many seconds ago."""
    headers = signing.sign(
        ("body-hex", "standard", "timestamped-hex"),
        NAMES,
        [received.secret],
        event_id=received.headers["webhook-id"],
        timestamp=int(time.time()) - age,
        body=received.body,
    )
    return replace(received, headers={name.lower(): value for name, value in headers.items()})


async def test_a_signed_delivery_is_accepted_and_read(
    way: str, node: Node, received: Received
) -> None:
    (answer,) = await node(way, received)
    assert answer["event"]["event"] == "user.created"
    assert answer["event"]["event_id"] == received.headers["webhook-id"]
    data = answer["event"]["data"]
    assert (data["name"], data["amount"], data["empty"]) == ("Zoë 🦄 \u2028", 1.1, {})
    assert DATA.encode() in received.body


async def test_a_changed_byte_or_another_secret_fails_the_verification(
    way: str, node: Node, received: Received
) -> None:
    changed = replace(received, body=received.body.replace(b"usr_1", b"usr_2"))
    other = replace(received, secret="0" + received.secret[1:])
    if other == received:
        other = replace(received, secret="1" + received.secret[1:])
    forged = {
        name: _altered(value) if name.endswith("-signature") else value
        for name, value in received.headers.items()
    }
    answers = await node(way, changed, other, replace(received, headers=forged))
    assert [answer.keys() for answer in answers] == [{"refused"}] * 3
    assert all("signature" in answer["refused"].lower() for answer in answers)


def _altered(signature: str) -> str:
    """One character in its middle is another one. A digit: `a` and `A` are the same in hexadecimal."""
    at = len(signature) // 2
    return signature[:at] + ("0" if signature[at] != "0" else "1") + signature[at + 1 :]


@pytest.mark.parametrize("way", TIMED, indirect=True)
async def test_a_signature_more_than_five_minutes_off_is_stale(
    way: str, node: Node, received: Received
) -> None:
    fresh = [_signed(received, age) for age in (270, -270)]
    stale = [_signed(received, age) for age in (330, -330)]
    answers = await node(way, *fresh, *stale)
    assert [answer.keys() for answer in answers] == [{"event"}] * 2 + [{"refused"}] * 2
    assert all("timestamp" in answer["refused"] for answer in answers[2:])


@pytest.mark.parametrize("way", TIMED, indirect=True)
async def test_another_time_than_the_one_signed_is_refused(
    way: str, node: Node, received: Received
) -> None:
    later = {
        name: str(int(value) + 1) if name.endswith("-timestamp") else value
        for name, value in received.headers.items()
    }
    (answer,) = await node(way, replace(received, headers=later))
    assert "signature" in answer["refused"].lower()


@pytest.mark.parametrize("way", PACKAGED, indirect=True)
async def test_while_secrets_overlap_both_verify(
    way: str,
    node: Node,
    admin: Client,
    story: Story,
    receiver: Receiver,
    webhook: dict[str, Any],
) -> None:
    path = f"/api/webhooks/{webhook['id']}/rotate_secret"
    rotated = await admin("PATCH", path, {"overlapSeconds": 3600})
    await _emit(story)
    (request,) = await receiver.wait_for(1)
    both = [_received(request, secret) for secret in (webhook["secret"], rotated.data["secret"])]
    answers = await node(way, *both, _received(request, "whsec_" + rotated.data["secret"]))
    assert [answer.keys() for answer in answers] == [{"event"}] * 3


def test_the_lock_of_the_packages_names_no_registry() -> None:
    lock = (SCRIPTS / "package-lock.json").read_text()
    packages = json.loads(lock)["packages"]
    assert "://" not in lock
    assert all("integrity" in package for name, package in packages.items() if name)
    for name, version in json.loads((SCRIPTS / "package.json").read_text())[
        "devDependencies"
    ].items():
        assert packages[f"node_modules/{name}"]["version"] == version
