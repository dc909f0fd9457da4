"""The API's description against the API: schemathesis asks, and holds the answers against it."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import pytest

from dispatcher.api import auth
from dispatcher.core import signing
from dispatcher.transport.addresses.egress import Guard
from dispatcher.transport.addresses.resolver import Resolver
from tests.waiting import until

ROOT = Path(__file__).parents[2]
TOKEN = "dsp_" + b"a fuzzer's own token".hex()
"""Configured, and so in no table: what the fuzzer finds in lists it also revokes."""
QUARANTINED = 15
SCHEMES = list(signing.SCHEMES)
SECTIONS: Mapping[str, Mapping[str, object]] = {
    "secrets": {"admin_token": TOKEN},
    "signing": {"schemes": SCHEMES},
}
"""Of the configuration."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
)
"""All but `positive_data_acceptance`, for some rules cannot be said in a schema: a cursor is sealed;
`since` is before `until`; a URL has a real host that may be dialled; no header of ours is among
`headers`, nor one twice; printable names; sizes in bytes of `headers`, `metadata`, and what is in the
catalogue; a secret's own length within its base64; a schema that compiles; reserved event types;
No header is required but Authorization, which `ignored_auth` is about; and
`object_level_authorization` needs two users: other tests have them."""


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """Count what the fuzzer did.

    `cases` is the number of requests it made. `accepted` are the operations that succeeded at least
    once when called as described; `tried` are those that were called.
    """

    cases: int
    failures: tuple[str, ...]
    accepted: frozenset[str]
    tried: int
    seed: int
    said: str

    def __str__(self) -> str:
        return (
            f"{self.cases} cases, {len(self.failures)} failures, seed {self.seed}, "
            f"{len(self.accepted)} of {self.tried} operations reached"
        )


@contextmanager
def kept_inside() -> Iterator[None]:
    """Configure a daemon that resolves and connects to nothing outside of this machine.

    Wrong tokens, of which a fuzzer tries many, do not lock it out.
    """

    async def resolve(*_: object, **__: object) -> NoReturn:
        raise OSError("names are not looked up here")

    dial = Guard.socket_factory

    def socket_factory(guard: Guard, address: Any) -> Any:
        if not address[4][0].startswith("127."):
            raise OSError("only the loopback is dialled here")
        return dial(guard, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Resolver, "resolve", resolve)
        patch.setattr(Guard, "socket_factory", socket_factory)
        patch.setattr(auth, "WRONG_LIMIT", 10**9)
        yield


async def furnish(address: str) -> None:
    """Add what a fuzzer does not find by itself: events in quarantine."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(address, headers=headers) as session:
        refusing = {"schema": False, "enforce": True}
        async with session.put("/api/event-types/fuzz.refused", json=refusing) as answer:
            assert answer.status == 201
        for number in range(QUARANTINED):
            event = {"type": "fuzz.refused", "data": number}
            async with session.post("/api/events", json=event) as answer:
                assert answer.status == 201

        async def quarantined() -> bool:
            async with session.get("/api/quarantine") as answer:
                return len((await answer.json())["data"]["items"]) == QUARANTINED

        await until(quarantined, "the events are in quarantine")


async def fuzz(
    address: str,
    receiver: str,
    directory: Path,
    *,
    examples: int,
    seed: int,
    without: str | None = None,
) -> Fuzzed:
    """Run the fuzzer.

    `examples` is the largest number of requests of each kind for an operation; operations with
    `without` in their name are left out.
    """
    await furnish(address)
    report = directory / "fuzz.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{address}/openapi.json",
        "--header",
        f"Authorization: Bearer {TOKEN}",
        "--checks",
        ",".join(CHECKS),
        "--phases",
        "examples,coverage,fuzzing,stateful",
        "--max-examples",
        str(examples),
        "--seed",
        str(seed),
        "--generation-database",
        "none",
        "--continue-on-failure",
        "--no-shrink",
        "--suppress-health-check",
        "all",
        "--report",
        "json",
        "--report-json-path",
        str(report),
        "--no-color",
        *(("--exclude-operation-id-regex", without) if without else ()),
        cwd=directory,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.api.fuzz_hooks",
            "DISPATCHER_TEST_RECEIVER": receiver,
            "PYTHONPATH": str(ROOT),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode not in (0, 1):  # all is well, or there are failures
        raise RuntimeError(output.decode())
    return _fuzzed(json.loads(report.read_bytes()), output.decode())


def _fuzzed(report: dict[str, Any], output: str) -> Fuzzed:
    failures = [
        f"{kind['title']} ({kind['type']}, {kind['count']} times): {', '.join(kind['operations'])}"
        for kind in report["failures"]
    ]
    rates = report["valid_rates"]
    return Fuzzed(
        cases=report["test_cases"]["generated"],
        failures=(*failures, *map(str, report["errors"])),
        accepted=frozenset(
            operation
            for operation, phases in rates.items()
            if any(phase["accepted"] for phase in phases.values())
        ),
        tried=report["operations"]["tested"],
        seed=report["seed"],
        said=output,
    )
