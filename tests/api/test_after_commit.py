"""What happens between the commit of a change and its answer cannot take the answer away."""

import asyncio

import pytest

from dispatcher.services import propagation as module
from dispatcher.store.errors import StatementTimeoutError, StoreUnavailableError
from dispatcher.store.pool import PoolBusyError
from dispatcher.store.queries.change_notices import ChangeNotices
from dispatcher.store.queries.daemons import Daemons
from tests.api.conftest import Api, Client

NEW = {"url": "https://example.com/", "events": ["*"]}


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("gone"), StatementTimeoutError("late"), PoolBusyError("busy")]
)
async def test_a_new_secret_is_answered_though_the_database_is_lost_after_the_commit(
    ask: Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def lost(*_: object) -> int:
        raise error

    made = (await ask("POST", "/api/webhooks", NEW)).data
    monkeypatch.setattr(Daemons, "count_outdated", lost)
    answer = await ask("POST", f"/api/webhooks/{made['id']}/rotate_secret")
    assert answer.status == 200
    assert answer.data["secret"] not in ("", None, made["secret"])
    assert answer.headers["X-Propagation"] == "pending"


async def test_a_silent_database_after_the_commit_does_not_delay_the_response(
    ask: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object) -> int:
        await asyncio.Event().wait()
        return 0

    made = (await ask("POST", "/api/webhooks", NEW)).data
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(module, "MARGIN_SECONDS", 0.0)
    monkeypatch.setattr(Daemons, "count_outdated", silent)
    answer = await ask("POST", f"/api/webhooks/{made['id']}/rotate_secret")
    assert answer.data["secret"]
    assert answer.headers["X-Propagation"] == "pending"


async def test_a_change_that_every_daemon_applied_has_no_pending_header(ask: Client) -> None:
    made = (await ask("POST", "/api/webhooks", NEW)).data
    answer = await ask("POST", f"/api/webhooks/{made['id']}/rotate_secret")
    assert "X-Propagation" not in answer.headers


async def test_a_cancelled_delivery_is_answered_though_the_database_is_lost_after_it(
    standing: Api, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> int:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(ChangeNotices, "unapplied", lost)
    admin = await standing.client("admin", home)
    await admin("POST", "/api/pause", {})
    made = (await admin("POST", "/api/webhooks", NEW)).data
    delivery = (await admin("POST", f"/api/webhooks/{made['id']}/test")).data["id"]
    answer = await admin("POST", f"/api/deliveries/{delivery}/cancel")
    assert (answer.status, answer.headers["X-Propagation"]) == (200, "pending")
    assert answer.data["status"] == "CANCELLED"
