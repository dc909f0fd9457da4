"""Every page of a crowded database is shown with few statements, counted without a clock.

A statement for each row would show here. `make bench ARGS=pages` measures the time.
"""

import re
from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest

from dispatcher.dashboard.request import PAGE_SIZE
from dispatcher.encryption.cipher import Cipher
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.dashboard import crowd
from tests.dashboard.conftest import Visitor
from tests.dashboard.walk import walk
from tests.end_to_end.shell import KEY

SIZE = crowd.Size(deliveries=3_000, webhooks=120, types=60, environments=60, others=60, days=10)
LIMIT = 24
"""Statements a page, with those for the session and the environment: far fewer than rows."""

PEOPLE = ("people", "authentication")
"""Beginnings of the names of sessions that requests use."""


@pytest.fixture(scope="module")
async def ids(database: Connection) -> Mapping[str, str]:
    return await crowd.fill(database, Cipher(bytes.fromhex(KEY)), SIZE)


@pytest.mark.long
async def test_no_page_runs_a_statement_for_each_row(
    ids: Mapping[str, str], visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = Session.ask

    async def counted(
        session: Session, connection: "asyncpg.Connection[Any]", query: str, *args: object
    ) -> list[asyncpg.Record]:
        if session.name.startswith(PEOPLE):
            asked.append(query)
        return await ask(session, connection, query, *args)

    monkeypatch.setattr(Session, "ask", counted)
    statements = {}
    for name, address in walk("env_default", ids):
        asked.clear()
        page = await visitor.get(address)
        assert page.status == 200, f"{address}: {page.text[:2000]}"
        statements[name] = len(asked)
    assert {name: number for name, number in statements.items() if number > LIMIT} == {}


async def test_the_list_of_tokens_has_pages(ids: Mapping[str, str], visitor: Visitor) -> None:
    seen: list[str] = []
    page = await visitor.get("/e/env_default/tokens")
    for _ in range(SIZE.others):
        names = re.findall(r"<strong>(Token \d+)</strong>", page.text)
        assert len(names) <= PAGE_SIZE
        seen += names
        following = re.search(r'href="([^"]*after=[^"]*)">Next page', page.text)
        if following is None:
            break
        page = await visitor.follow(following[1])
    assert sorted(seen) == sorted(f"Token {n}" for n in range(1, SIZE.others + 1))
