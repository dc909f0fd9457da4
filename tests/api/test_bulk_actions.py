"""Many deliveries are retried or cancelled over the API: counted, started, watched and stopped."""

from typing import Any

import pytest

from tests.api.conftest import JSONAPI, OTHER, Api, Client
from tests.api.refusals import documented, pointers, untouched
from tests.conftest import Connection
from tests.store import rows
from tests.waiting import until

LIST = "/api/bulk-actions"


@pytest.fixture
async def waiting(database: Connection) -> list[str]:
    """Three deliveries that are due in an hour, of an event with a reference of its own."""
    endpoint = await rows.endpoint(database)
    made = [await rows.delivery(database, endpoint, due_in=3600.0) for _ in range(3)]
    await database.execute(
        "UPDATE dispatcher.deliveries SET parked = true WHERE id = ANY ($1)",
        [delivery.id for delivery in made],
    )
    return [f"dlv_{delivery.id}" for delivery in reversed(made)]


async def webhook_of(ask: Client, delivery: str) -> str:
    webhook_id: str = (await ask("GET", f"/api/deliveries/{delivery}")).data["webhookId"]
    return webhook_id


async def ended(ask: Client, action: Any) -> Any:
    """Return the bulk action once it has ended."""
    seen = [action]

    async def has_ended() -> bool:
        seen[:] = [(await ask("GET", f"{LIST}/{action['id']}")).data]
        return bool(seen[0]["state"] != "RUNNING")

    await until(has_ended, f"the end of {action['id']}")
    return seen[0]


async def test_what_was_counted_is_cancelled_and_its_progress_is_shown(
    ask: Client, database: Connection, waiting: list[str]
) -> None:
    filters = {"webhookId": await webhook_of(ask, waiting[0]), "status": "PENDING"}
    async with untouched(database):
        counted = await ask("POST", LIST, {"action": "cancel", "filters": filters, "dryRun": True})
    assert (counted.status, counted.data["number"], counted.data["more"]) == (200, 3, False)
    later = await rows.delivery(database, filters["webhookId"], due_in=3600.0)  # type: ignore[arg-type] # its id as text
    begun = await ask("POST", LIST, {"action": "cancel", "filters": filters, "below": waiting[0]})
    action = begun.data
    assert (begun.status, begun.headers["Location"]) == (202, f"{LIST}/{action['id']}")
    assert (action["action"], action["state"], action["total"]) == ("cancel", "RUNNING", 2)
    assert action["filters"]["webhookId"] == filters["webhookId"]
    assert (action["filters"]["status"], action["filters"]["event"]) == ("PENDING", None)
    done = await ended(ask, action)
    assert (done["state"], done["made"], done["skipped"]) == ("DONE", 2, {})
    left = await database.fetch(
        "SELECT id FROM dispatcher.deliveries WHERE endpoint_id = $1 ORDER BY id",
        later.endpoint_id,
    )
    assert [f"dlv_{row['id']}" for row in left] == [waiting[0], f"dlv_{later.id}"]


async def test_named_deliveries_are_retried(ask: Client, waiting: list[str]) -> None:
    begun = await ask("POST", LIST, {"action": "retry", "deliveryIds": waiting[:2], "rate": 1000})
    assert (begun.data["filters"], begun.data["total"]) == (None, 2)
    assert begun.data["deliveryIds"] == waiting[:2]
    (entry,) = (await ask("GET", f"/api/audit?subject={begun.data['id']}")).data["items"]
    assert entry["detail"]["ids"] == waiting[:2]
    assert (await ended(ask, begun.data))["made"] == 2


async def test_the_filters_are_those_of_the_list_of_deliveries(
    ask: Client, waiting: list[str]
) -> None:
    filters = {
        "status": "FAILED",
        "event": "user.*",
        "since": "2026-01-01T00:00:00.000Z",
        "until": "2026-01-02T00:00:00.000Z",
        "responseStatus": "5xx",
        "errorCode": "http",
        "reference": "ord_1",
        "webhookId": await webhook_of(ask, waiting[0]),
    }
    begun = (await ask("POST", LIST, {"action": "retry", "filters": filters})).data
    assert begun["filters"] == filters
    one = (await ask("POST", LIST, {"action": "retry", "filters": {"responseStatus": "503"}})).data
    assert one["filters"]["responseStatus"] == "503"
    listed = await ask("GET", f"{LIST}?limit=1")
    assert [action["id"] for action in listed.data["items"]] == [one["id"]]
    cursor = listed.data["nextCursor"]
    following = await ask("GET", f"{LIST}?limit=1&cursor={cursor}")
    assert [action["id"] for action in following.data["items"]] == [begun["id"]]


async def test_a_bulk_action_is_stopped_by_those_who_could_have_started_it(
    ask: Client, standing: Api, database: Connection
) -> None:
    support = await standing.client("support")
    retry, cancel = [
        f"blk_{await _far_ahead(database, action, number)}"
        for number, action in enumerate(("retry", "cancel"), start=1)
    ]
    stopped = await support("POST", f"{LIST}/{retry}/cancel", {})
    assert (stopped.status, stopped.data["state"]) == (200, "CANCELLED")
    for path, body in (
        (f"{LIST}/{cancel}/cancel", {}),
        (LIST, {"action": "cancel", "filters": {}, "dryRun": True}),
    ):
        refused = await support("POST", path, body)
        assert (refused.status, refused.code) == (403, "forbidden")
    assert (await ask("POST", f"{LIST}/{cancel}/cancel", {})).data["state"] == "CANCELLED"
    assert (await ask("POST", f"{LIST}/{cancel}/cancel", {})).status == 200


async def _far_ahead(database: Connection, action: str, number: int) -> int:
    """A bulk action whose next step is due in an hour."""
    made: int = await database.fetchval(
        "INSERT INTO dispatcher.bulk_actions (id, environment_id, action, criteria, position, next_at)"
        " VALUES ($1, 'env_default', $2, '{}', 5, now() + interval '1 h') RETURNING id",
        number,
        action,
    )
    return made


async def test_a_repeated_request_starts_one_bulk_action(ask: Client) -> None:
    body = {"action": "retry", "filters": {"reference": "nothing has it"}}
    first = await ask("POST", LIST, body, Idempotency_Key="bulk-1")
    again = await ask("POST", LIST, body, Idempotency_Key="bulk-1")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status, again.data["id"]) == (202, first.data["id"])


async def test_jsonapi_has_the_names_in_snake_case(ask: Client) -> None:
    attributes = {"action": "retry", "filters": {"response_status": "5xx"}, "dry_run": True}
    headers = {"Content_Type": JSONAPI, "Accept": JSONAPI}
    counted = await ask("POST", LIST, documented("bulk_action", attributes), **headers)
    data = counted.json["data"]
    assert (counted.status, data["type"], data["attributes"]) == (
        200,
        "bulk_action_count",
        {"number": 0, "more": False},
    )
    attributes = {"action": "retry", "filters": {"response_status": "5xx"}, "below": data["id"]}
    begun = await ask("POST", LIST, documented("bulk_action", attributes), **headers)
    assert begun.json["data"]["attributes"]["filters"]["response_status"] == "5xx"


@pytest.mark.parametrize("action", ["retry", "cancel"])
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"filters": {}, "deliveryIds": ["dlv_1"]}, ""),
        ({"deliveryIds": []}, ""),
        ({"deliveryIds": ["evt_1"]}, "/deliveryIds/0"),
        ({"deliveryIds": ["dlv_9999999999999999999"]}, "/deliveryIds"),
        ({"filters": {}, "below": "dlv_9999999999999999999"}, "/below"),
        ({"filters": {"status": "LOST"}}, "/filters/status"),
        ({"filters": {"responseStatus": "600"}}, "/filters/responseStatus"),
        ({"filters": {"limit": 5}}, "/filters/limit"),
    ],
)
async def test_a_selection_that_is_not_clear_is_refused(
    ask: Client, database: Connection, action: str, body: dict[str, Any], pointer: str
) -> None:
    async with untouched(database):
        refused = await ask("POST", LIST, {"action": action, **body})
    assert (refused.status, pointers(refused)) == (422, [pointer])


async def test_what_is_not_pending_cannot_be_cancelled(ask: Client, database: Connection) -> None:
    async with untouched(database):
        refused = await ask("POST", LIST, {"action": "cancel", "filters": {"status": "FAILED"}})
    assert (
        refused.status,
        "only pending deliveries can be cancelled" in refused.body.decode(),
    ) == (422, True)


async def test_a_webhook_of_another_environment_is_not_found(
    ask: Client, database: Connection, waiting: list[str]
) -> None:
    body = {"action": "retry", "filters": {"webhookId": await webhook_of(ask, waiting[0])}}
    async with untouched(database):
        assert (await ask("POST", LIST, body, X_Environment_Id=OTHER)).status == 404
