"""Clients generated from the OpenAPI document compile, and do what a client is for."""

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Api, Client

TYPESCRIPT = Path(__file__).parent / "typescript"
DIALECTS = ("envelope", "jsonapi")
INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
LIMIT_SECONDS = 110

PYTHON = """
import asyncio, json, os, sys
sys.path.insert(0, os.environ["GENERATED"])
from made.client import AuthenticatedClient
from made.api.webhooks import (
    create_webhook, delete_webhook, get_webhook, list_webhooks, rotate_webhook_secret, update_webhook,
)
from made.models.new_webhook import NewWebhook
from made.models.webhook_changes import WebhookChanges

async def story():
    address, token = os.environ["ADDRESS"], os.environ["TOKEN"]
    async with AuthenticatedClient(address, token, raise_on_unexpected_status=True) as client:
        form = NewWebhook(url="https://receiver.example/hooks", events=["user.*"], name="First")
        made = (await create_webhook.asyncio(client=client, body=form)).data
        listed = (await list_webhooks.asyncio(client=client, limit=10)).data
        listed = getattr(listed, "items", listed)
        changes = WebhookChanges(name="Second")
        changed = await update_webhook.asyncio(made.id, client=client, body=changes)
        shown = await get_webhook.asyncio(made.id, client=client)
        rotated = await rotate_webhook_secret.asyncio(made.id, client=client)
        gone = await delete_webhook.asyncio_detailed(made.id, client=client)
        missing = await get_webhook.asyncio(made.id, client=client)
        return {
            "secret": made.secret,
            "listed": made.id in [each.id for each in listed],
            "changed": changed.data.name,
            "shown": shown.data.url,
            "rotated": rotated.data.secret,
            "gone": gone.status_code,
            "missing": missing.error.code,
        }

print(json.dumps(asyncio.run(story())))
"""


async def run(*command: str, cwd: Path, **variables: str) -> str:
    """Return what the command printed; fail with what it said if it failed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env={**os.environ, "PATH": path, **variables}, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(LIMIT_SECONDS):
        out, errors = await process.communicate()
    assert process.returncode == 0, out.decode() + errors.decode()
    return out.decode()


@pytest.fixture(scope="module")
async def documents(ask: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the document of each dialect, as the server gives it."""
    directory = tmp_path_factory.mktemp("documents")
    for dialect in DIALECTS:
        answer = await ask("GET", f"/openapi.json?dialect={dialect}")
        (directory / f"{dialect}.json").write_bytes(answer.body)
    return directory


def expect_the_story(report: Any) -> None:
    assert len(report.pop("secret")) == len(report.pop("rotated")) == 64
    assert report == {
        "listed": True,
        "changed": "Second",
        "shown": "https://receiver.example/hooks",
        "gone": 204,
        "missing": "not_found",
    }


@pytest.fixture(scope="module", params=DIALECTS)
async def generated(
    request: pytest.FixtureRequest, documents: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """Return a directory with the Python client of a dialect, and what its generator printed."""
    directory = tmp_path_factory.mktemp("python")
    output = await run(
        "openapi-python-client",
        "generate",
        "--path",
        str(documents / f"{request.param}.json"),
        "--meta",
        "none",
        "--output-path",
        "made",
        "--fail-on-warning",
        cwd=directory,
    )
    return directory, output


async def test_a_python_client_is_generated_without_a_warning(generated: tuple[Path, str]) -> None:
    assert generated[1].split() == ["Generating", "made"]


@pytest.mark.parametrize("generated", ["envelope"], indirect=True)  # the client sends no JSON:API
async def test_the_python_client_compiles_and_works(
    standing: Api, generated: tuple[Path, str]
) -> None:
    directory, _ = generated
    await run(sys.executable, "-m", "compileall", "-q", "made", cwd=directory)
    output = await run(
        sys.executable,
        "-c",
        PYTHON,
        cwd=directory,
        GENERATED=str(directory),
        ADDRESS=standing.address,
        TOKEN=await standing.token(),
    )
    expect_the_story(json.loads(output))


@pytest.fixture(scope="module")
async def compiled(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the TypeScript programs, compiled against generated types."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node with npm on this machine")
    directory = tmp_path_factory.mktemp("typescript")
    shutil.copytree(TYPESCRIPT, directory, dirs_exist_ok=True)
    await run("npm", *INSTALL, cwd=directory)
    programs = directory / "node_modules" / ".bin"
    (directory / "types").mkdir()
    for dialect in DIALECTS:
        await run(
            str(programs / "openapi-typescript"),
            str(documents / f"{dialect}.json"),
            "--output",
            f"types/{dialect}.d.ts",
            "--default-non-nullable=false",
            cwd=directory,
        )
    await run(str(programs / "tsc"), cwd=directory)
    return directory


async def test_the_typescript_client_works(standing: Api, compiled: Path) -> None:
    variables = {"ADDRESS": standing.address, "TOKEN": await standing.token()}
    expect_the_story(json.loads(await run("node", "built/envelope.js", cwd=compiled, **variables)))
    report = json.loads(await run("node", "built/jsonapi.js", cwd=compiled, **variables))
    assert len(report.pop("secret")) == len(report.pop("rotated")) == 64
    assert report == {
        "shown": "https://receiver.example/hooks",
        "gone": 204,
        "missing": "not_found",
    }
