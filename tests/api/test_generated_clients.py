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
        out, said = await process.communicate()
    assert process.returncode == 0, out.decode() + said.decode()
    return out.decode()


@pytest.fixture(scope="module")
async def documents(ask: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the document of each dialect, as the server gives it."""
    directory = tmp_path_factory.mktemp("documents")
    for dialect in DIALECTS:
        answer = await ask("GET", f"/openapi.json?dialect={dialect}")
        (directory / f"{dialect}.json").write_bytes(answer.body)
    return directory


def expect_the_story(told: Any) -> None:
    assert len(told.pop("secret")) == len(told.pop("rotated")) == 64
    assert told == {
        "listed": True,
        "changed": "Second",
        "shown": "https://receiver.example/hooks",
        "gone": 204,
        "missing": "not_found",
    }


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_python_client_is_generated_without_a_warning(
    dialect: str, documents: Path, tmp_path: Path
) -> None:
    source = documents / f"{dialect}.json"
    said = await run(
        "openapi-python-client",
        "generate",
        "--path",
        str(source),
        "--meta",
        "none",
        "--output-path",
        "made",
        "--fail-on-warning",
        cwd=tmp_path,
    )
    assert said.split() == ["Generating", "made"]
    if dialect == "jsonapi":  # its generator sends JSON bodies only
        return
    await run(sys.executable, "-m", "compileall", "-q", "made", cwd=tmp_path)


async def test_the_python_client_works(standing: Api, documents: Path, tmp_path: Path) -> None:
    source = documents / "envelope.json"
    await run(
        "openapi-python-client",
        "generate",
        "--path",
        str(source),
        "--meta",
        "none",
        "--output-path",
        "made",
        cwd=tmp_path,
    )
    told = await run(
        sys.executable,
        "-c",
        PYTHON,
        cwd=tmp_path,
        GENERATED=str(tmp_path),
        ADDRESS=standing.address,
        TOKEN=await standing.token(),
    )
    expect_the_story(json.loads(told))


@pytest.fixture(scope="module")
async def compiled(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the TypeScript programs, compiled against generated types."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node with npm on this machine")
    directory = tmp_path_factory.mktemp("typescript")
    shutil.copytree(TYPESCRIPT, directory, dirs_exist_ok=True)
    await run("npm", *INSTALL, cwd=directory)
    (directory / "types").mkdir()
    for dialect in DIALECTS:
        await run(
            "npx",
            "openapi-typescript",
            str(documents / f"{dialect}.json"),
            "--output",
            f"types/{dialect}.d.ts",
            "--default-non-nullable=false",
            cwd=directory,
        )
    await run("npx", "tsc", cwd=directory)
    return directory


async def test_the_typescript_client_works(standing: Api, compiled: Path) -> None:
    variables = {"ADDRESS": standing.address, "TOKEN": await standing.token()}
    expect_the_story(json.loads(await run("node", "built/envelope.js", cwd=compiled, **variables)))
    told = json.loads(await run("node", "built/jsonapi.js", cwd=compiled, **variables))
    assert len(told.pop("secret")) == len(told.pop("rotated")) == 64
    assert told == {
        "shown": "https://receiver.example/hooks",
        "gone": 204,
        "missing": "not_found",
    }
