"""The audit as it is read: newest first, filtered, page by page."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dispatcher.services.audit import audit_log
from dispatcher.services.audit.audit_log import (
    Actor,
    AuditEntry,
    AuditLog,
    Journal,
)
from dispatcher.store.pool import Pool
from dispatcher.store.statements import statement
from tests.conftest import Connection
from tests.store import rows


async def note(
    pool: Pool, action: str, subject: str, environment: str | None, by: str = "cli:me"
) -> None:
    await Journal(pool, Actor(by, "req_1", "127.0.0.1")).note(action, subject, environment, a="é")


async def every(
    pool: Pool, environment: str | None, limit: int, **filters: Any
) -> list[AuditEntry]:
    """All pages of a listing, one after the other."""
    seen: list[AuditEntry] = []
    before = None
    while True:
        page = await AuditLog(pool).list(environment, before=before, limit=limit, **filters)
        assert len(page.items) <= limit
        seen += page.items
        if page.next is None:
            return seen
        assert before is None or page.next < before
        before = page.next


async def test_an_audit_entry_has_actor_action_and_address(pool: Pool) -> None:
    await note(pool, "webhook.update", "w1", "env_default")
    (entry,) = (await AuditLog(pool).list("env_default")).items
    assert (entry.actor, entry.action, entry.subject) == ("cli:me", "webhook.update", "w1")
    assert (entry.environment_id, entry.request_id, entry.address) == (
        "env_default",
        "req_1",
        "127.0.0.1",
    )
    assert json.loads(entry.detail) == {"a": "é"}
    assert entry.id.startswith("aud_")
    assert abs(entry.at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_an_environment_sees_only_its_own_rows(pool: Pool) -> None:
    for environment in ("env_default", "other", None):
        await note(pool, "token.create", str(environment), environment)
    assert [e.subject for e in await every(pool, "env_default", 9)] == ["env_default"]
    assert [e.subject for e in await every(pool, "stranger", 9)] == []
    assert [e.subject for e in await every(pool, None, 9)] == ["None", "other", "env_default"]


async def test_pages_list_each_entry_once_while_new_ones_are_written(pool: Pool) -> None:
    for n in range(5):
        await note(pool, "webhook.update", str(n), "env_default")
    first = await AuditLog(pool).list("env_default", limit=2)
    await note(pool, "webhook.update", "later", "env_default")
    rest = await AuditLog(pool).list("env_default", limit=9, before=first.next)
    assert [e.subject for e in (*first.items, *rest.items)] == ["4", "3", "2", "1", "0"]
    assert rest.next is None


async def test_a_page_that_is_just_full_is_the_last(pool: Pool) -> None:
    for n in range(2):
        await note(pool, "webhook.update", str(n), "env_default")
    page = await AuditLog(pool).list("env_default", limit=2)
    assert (len(page.items), page.next) == (2, None)


@pytest.mark.parametrize("look", [3, 10_000])
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"actor": "token:1"}, ["8", "4", "0"]),
        ({"action": "webhook.delete"}, ["9", "6", "3", "0"]),
        ({"subject": "7"}, ["7"]),
        ({"actor": "token:1", "action": "webhook.delete"}, ["0"]),
        ({"action": "webhook"}, []),
    ],
)
async def test_filters_are_exact_with_any_read_limit(
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    filters: dict[str, str],
    expected: list[str],
    look: int,
) -> None:
    monkeypatch.setattr(audit_log, "PAGE_LIMIT_ROWS", look)
    for n in range(10):
        action = "webhook.update" if n % 3 else "webhook.delete"
        await note(pool, action, str(n), "env_default", "token:2" if n % 4 else "token:1")
    assert [e.subject for e in await every(pool, "env_default", 2, **filters)] == expected
    assert [e.subject for e in await every(pool, None, 2, **filters)] == expected


@pytest.mark.long
async def test_a_rare_audit_entry_is_found_within_the_read_limit(
    connection: Connection,
) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.audit (environment_id, actor, action, subject)
           SELECT CASE WHEN n % 50 = 0 THEN 'env_default' ELSE 'other' END, 'a', 'b.c', n::text
           FROM generate_series(1, 100000) AS n"""
    )
    await connection.execute("ANALYZE dispatcher.audit")
    await connection.execute("SET plan_cache_mode = force_custom_plan")
    await connection.execute(f"PREPARE it AS {statement('audit/list')}")
    for environment in ("'env_default'", "NULL"):
        text = await connection.fetchval(
            "EXPLAIN (FORMAT JSON, ANALYZE, TIMING off)"
            f" EXECUTE it({environment}, NULL, NULL, 'stranger', NULL, 21, 1000)"
        )
        peak = 0
        plans = [json.loads(text)[0]["Plan"]]
        while plans:
            plan = plans.pop()
            plans += plan.get("Plans", ())
            peak = max(peak, plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0))
        assert peak <= 1000


async def test_actors_and_subjects_have_their_names(pool: Pool, connection: Connection) -> None:
    token_id = await connection.fetchval(
        "INSERT INTO dispatcher.tokens (name, scope, hash) VALUES ('Ada', 'read', sha256('a'))"
        " RETURNING id::text"
    )
    kept, deleted = await rows.endpoint(connection), await rows.endpoint(connection, deleted=True)
    await connection.execute(
        "INSERT INTO dispatcher.event_types (environment_id, name) VALUES ('env_default', 'a.b')"
    )
    expected: dict[tuple[str, str], tuple[str | None, bool | None]] = {
        ("webhook.update", str(kept)): ("one", True),
        ("webhook.delete", str(deleted)): ("one", False),
        ("webhook.delete", "00000000-0000-4000-8000-000000000009"): (None, False),
        ("token.create", token_id): ("Ada", True),
        ("environment.create", "env_default"): ("Default", True),
        ("event_type.update", "a.b"): ("a.b", True),
        ("event_type.delete", "a.c"): (None, False),
        ("delivery.retry", "dlv_1"): (None, None),
        ("sending.pause", "*"): (None, None),
    }
    for action, subject in expected:
        await note(pool, action, subject, "env_default", f"token:{token_id}")
    entries = (await AuditLog(pool).list("env_default")).items
    assert {(e.action, e.subject): (e.subject_name, e.subject_exists) for e in entries} == expected
    assert {e.actor_name for e in entries} == {"Ada"}


async def test_the_actors_of_an_environment_are_listed_once(
    pool: Pool, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for actor in ("cli:b", "cli:a", "cli:b", "dispatcher"):
        await note(pool, "webhook.update", "x", "env_default", actor)
    await note(pool, "webhook.update", "x", "env_other", "cli:c")
    actors = await AuditLog(pool).actors("env_default")
    assert [actor.id for actor in actors] == ["cli:a", "cli:b", "dispatcher"]
    assert await AuditLog(pool).actors("env_none") == ()
    monkeypatch.setattr(audit_log, "ACTORS_LIMIT", 2)
    assert len(await AuditLog(pool).actors("env_default")) == 2
