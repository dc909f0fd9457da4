"""The TypeScript client on a running daemon, and what its `constructEvent` accepts.

Skipped where Node, npm or the packages of the lock file cannot be had.
"""

import asyncio
import json
import os
import re
import shutil
import time
from asyncio.subprocess import PIPE
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from dispatcher import receiver as python_receiver
from dispatcher.core import signing
from tests.api.conftest import Api
from tests.api.openapi_file import FILE
from tests.receivers import Receiver

CLIENT = Path(__file__).parents[2] / "clients" / "typescript"
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
LIMIT_SECONDS = 110
OLDEST_NODE = 20
NAMES = signing.HeaderNames(
    "X-Acme-Signature", "X-Acme-Hex-Signature", "X-Acme-Hex-Timestamp", "Acme-Stripe-Signature"
)
SECRET = "6a" * 32
BODY = (
    '{"event":"user.created","event_id":"evt_1","timestamp":"2026-11-29T00:00:00.000Z",'
    '"environment_id":"env_default","data":{"name":"Zoë 🦄 \\u2028","amount":1.10}}'
).encode()
OUTPUT = frozenset({"node_modules", "dist"})


async def run(*command: str, cwd: Path, stdin: bytes = b"", **variables: str) -> str:
    """Run a command, and return its output."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env={**os.environ, **variables}, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            out, errors = await process.communicate(stdin)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode == 0, out.decode() + errors.decode()
    return out.decode()


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the client, built from the OpenAPI document of this version."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node with npm on this machine")
    version = await run("node", "--version", cwd=CLIENT)
    if int(version.lstrip("v").partition(".")[0]) < OLDEST_NODE:
        pytest.skip(f"Node {version.strip()} is older than {OLDEST_NODE}, and has no Web Crypto")
    directory = tmp_path_factory.mktemp("typescript") / "client"
    shutil.copytree(CLIENT, directory, ignore=lambda _, names: OUTPUT & set(names))
    try:
        await run(*INSTALL, cwd=directory)
    except (AssertionError, TimeoutError) as error:
        pytest.skip(f"npm cannot install the packages of the lock file: {str(error)[-300:]}")
    await run("node", "scripts/generate.mjs", str(FILE), cwd=directory)
    await run("npx", "tsc", cwd=directory)
    return directory


async def test_the_types_promise_what_the_api_does(client: Path) -> None:
    assert await run("npx", "tsc", "--project", "test", cwd=client) == ""


async def test_every_group_of_the_client_works(api: Api, client: Path, receiver: Receiver) -> None:
    report = json.loads(
        await run(
            "node",
            "test/live.mjs",
            cwd=client,
            ADDRESS=api.address,
            TOKEN=await api.token(),
            RECEIVER=receiver.url,
        )
    )
    secret, rotated = report["created"].pop("secret"), report.pop("rotated")
    assert (len(secret), len(rotated), secret != rotated) == (64, 64, True)
    assert report == {
        "created": {"active": True, "events": ["user.created"]},
        "listed": [[True, None]],
        "found": [1, 0],
        "outcome": 1,
        "updated": ["Second", "Second"],
        "ping": ["webhook.test", True],
        "once": True,
        "many": 2,
        "page": [2, "object"],
        "cursorOfOtherFilters": "accepted",
        "all": [2, 2],
        "attempts": [[1, 200]],
        "retried": [True, "PENDING"],
        "preview": 0,
        "recoveries": [True, "string"],
        "eachRecovery": True,
        "elsewhere": 0,
        "foreign": True,
        "type": "A user",
        "reader": 0,
        "revoked": True,
        "paused": [True, False],
        "quarantine": 0,
        "audit": "env_acme",
        "stats": "*",
        "invalid": ["InvalidError", 422, "/events/0"],
        "away": ["ConnectionFailedError", False, True],
        "dots": "TypeError",
        "gone": [404, "not_found", "string"],
    }
    pings = [request for request in receiver.requests if b"webhook.test" in request.body]
    event = python_receiver.construct_event(pings[0].body, pings[0].headers, rotated)
    assert event["event"] == "webhook.test"
    headers = {str(name): value for name, value in pings[0].headers.items()}
    answers = await received(client, "node", Given(pings[0].body, headers, rotated))
    assert answers[0]["event"] == event


# ── constructEvent ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Given:
    """The arguments of `constructEvent`."""

    body: bytes
    headers: dict[str, str]
    secret: str | list[str] = SECRET
    options: dict[str, object] = field(default_factory=dict)


async def received(client: Path, runtime: str, *requests: Given) -> list[dict[str, Any]]:
    """Return the results of `constructEvent` for each request in this runtime."""
    inputs = [
        {
            "body": b64encode(request.body).decode(),
            "headers": request.headers,
            "secret": request.secret,
            "options": request.options,
        }
        for request in requests
    ]
    program = ("node", "test/receive.mjs", runtime)
    if runtime == "deno":
        program = ("deno", "run", "test/receive.deno.mjs")
    out = await run(*program, cwd=client, stdin=orjson.dumps(inputs))
    answers: list[dict[str, Any]] = json.loads(out)
    return answers


def signed(
    scheme: signing.SchemeName, *, age: int = 0, body: bytes = BODY, secret: str = SECRET
) -> dict[str, str]:
    """The headers of a request that was signed `age` seconds ago."""
    return signing.sign(
        [scheme], NAMES, [secret], event_id="evt_1", timestamp=int(time.time()) - age, body=body
    )


@pytest.fixture(params=["node", "edge", "deno"])
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "deno" and shutil.which("deno") is None:
        pytest.skip("there is no Deno on this machine")
    return name


async def test_each_scheme_is_accepted_and_only_if_it_signs_a_time_by_default(
    client: Path, runtime: str
) -> None:
    timed = ("standard", "timestamped-hex", "stripe")
    body_hex = signed("body-hex")
    answers = await received(
        client,
        runtime,
        *(Given(BODY, signed(scheme)) for scheme in timed),  # type: ignore[arg-type] # names of schemes
        Given(BODY, signed("standard"), f"whsec_{SECRET}"),
        Given(BODY, signed("standard"), ["7b" * 32, SECRET]),
        Given(BODY, body_hex, options={"schemes": ["body-hex"]}),
        Given(BODY, body_hex),
    )
    assert [answer.get("event") for answer in answers[:-1]] == [json.loads(BODY)] * 6
    assert (answers[-1]["reason"], "covers no time" in answers[-1]["refused"]) == ("missing", True)


async def test_what_is_not_authentic_is_refused_with_the_reason(client: Path, runtime: str) -> None:
    standard = signed("standard")
    now = time.time()
    cases: list[tuple[Given, str]] = [
        (Given(BODY, {}), "missing"),
        (Given(BODY, {k: v for k, v in standard.items() if k != "webhook-id"}), "missing"),
        (Given(BODY + b" ", standard), "mismatch"),
        (Given(BODY, standard, "7b" * 32), "mismatch"),
        (Given(BODY, standard | {"webhook-id": "evt_2"}), "mismatch"),
        (Given(BODY, standard | {"webhook-id": "evt.1"}), "malformed"),
        (Given(BODY, standard | {"webhook-timestamp": "soon"}), "malformed"),
        (Given(BODY, standard | {"webhook-signature": "v1,?? v2,x"}), "mismatch"),
        (Given(BODY, standard | {"webhook-signature": "v1,eA== " * 9}), "malformed"),
        (Given(BODY, signed("standard", age=330)), "stale"),
        (Given(BODY, signed("stripe", age=-330)), "stale"),
        (Given(BODY, signed("timestamped-hex", age=330)), "stale"),
        (Given(BODY, signed("stripe"), options={"schemes": ["standard"]}), "missing"),
        (Given(BODY, signed("stripe"), options={"now": now + 400}), "stale"),
    ]
    answers = await received(client, runtime, *(request for request, _ in cases))
    assert [answer.get("reason") for answer in answers] == [reason for _, reason in cases]
    assert all(SECRET not in answer["refused"] for answer in answers)


async def test_both_receivers_agree_on_the_age_that_is_accepted(client: Path) -> None:
    ages = (0, 270, -270, 330, -330)
    requests = [Given(BODY, signed("standard", age=age)) for age in ages]
    answers = await received(client, "node", *requests)
    for request, answer in zip(requests, answers, strict=True):
        try:
            python_receiver.construct_event(BODY, request.headers, SECRET)
        except python_receiver.StaleTimestampError:
            assert answer["reason"] == "stale"
        else:
            assert "event" in answer


async def test_arguments_that_are_wrong_are_called_so(client: Path, runtime: str) -> None:
    headers = signed("standard", body=b"[]")
    answers = await received(
        client,
        runtime,
        Given(BODY, {}, ""),
        Given(BODY, {}, "whsec_"),
        Given(BODY, {}, []),
        Given(BODY, {}, options={"schemes": ["none"]}),
        Given(b"[]", headers),
    )
    assert [answer["error"] for answer in answers] == ["TypeError"] * 4 + ["SyntaxError"]


def test_the_package_is_locked_and_names_no_registry() -> None:
    manifest = json.loads((CLIENT / "package.json").read_text())
    packages = json.loads((CLIENT / "package-lock.json").read_text())["packages"]
    assert "dependencies" not in manifest
    for name, version in manifest["devDependencies"].items():
        assert packages[f"node_modules/{name}"]["version"] == version
    assert all("integrity" in package for name, package in packages.items() if name)
    assert not any("resolved" in package for package in packages.values())


def test_the_source_needs_web_standards_only() -> None:
    for file in (CLIENT / "src").glob("*.ts"):
        text = file.read_text()
        assert "node:" not in text, file
        assert re.findall(r"\b(?:process|Buffer|Deno)\.", text) == [], file
