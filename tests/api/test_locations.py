"""A Location leads to what was made: with the same token, with and without the same headers."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.api.conftest import OTHER, Api, ApiResponse, Client
from tests.receivers import Receiver

HEADER = "X_Environment_Id"


async def make_all(
    ask: Client, url: str, base: str, headers: Mapping[str, str], keys: str = ""
) -> list[ApiResponse]:
    """Make one resource of each kind that has a Location, by paths below `base`. Events go to `url`.

    The bulk action is cancelled unless it has ended, because only a few may run at the same time.
    """

    async def post(path: str, body: object) -> ApiResponse:
        key = {"Idempotency_Key": f"{keys}{path}"} if keys else {}
        return await ask("POST", path, body, **headers, **key)

    webhook = await post(f"{base}/webhooks", {"url": url, "events": ["user.created"]})
    path = f"{base}/webhooks/{webhook.data['id']}"
    action = await post(f"{base}/bulk-actions", {"action": "retry", "deliveryIds": ["dlv_1"]})
    stopped = await ask("POST", action.headers["Location"] + "/cancel", **headers)
    assert stopped.status in (200, 409), stopped.body
    return [
        webhook,
        action,
        await post(f"{path}/test", None),
        await post(f"{path}/recover", {"since": "2026-01-01T00:00:00Z"}),
        await post(f"{base}/events", {"type": "user.created", "data": {}}),
    ]


@pytest.mark.parametrize(
    ("environment", "base", "headers", "expected"),
    [
        ("*", "/api", {}, "/api"),
        ("*", "/api", {HEADER: "env_default"}, "/api"),
        ("*", "/apps/env_default", {}, "/api"),
        ("*", f"/apps/{OTHER}", {}, f"/apps/{OTHER}"),
        ("*", "/api", {HEADER: OTHER}, f"/apps/{OTHER}"),
        ("*", "/apps/env_default", {HEADER: OTHER}, "/apps/env_default"),
        (OTHER, "/api", {}, "/api"),
        (OTHER, "/api", {HEADER: OTHER}, "/api"),
        (OTHER, f"/apps/{OTHER}", {}, "/api"),
    ],
)
async def test_a_location_leads_to_what_was_made(
    standing: Api,
    receiver: Receiver,
    environment: str,
    base: str,
    headers: dict[str, str],
    expected: str,
) -> None:
    ask = await standing.client("admin", environment)
    for made in await make_all(ask, receiver.url, base, headers):
        location = made.headers["Location"]
        assert location.startswith(f"{expected}/")
        for sent in ({}, headers):
            answer = await ask("GET", location, **sent)
            assert (answer.status, _id(answer)) == (200, _id(made))


async def test_a_repeated_request_has_a_location_for_itself(
    standing: Api, receiver: Receiver
) -> None:
    bound, free = await standing.client("admin", OTHER), await standing.client()
    first = await make_all(bound, receiver.url, "/api", {}, keys="repeated")
    again = await make_all(free, receiver.url, "/api", {HEADER: OTHER}, keys="repeated")
    for made, repeated in zip(first, again, strict=True):
        assert repeated.headers["Idempotent-Replayed"] == "true"
        assert _id(repeated) == _id(made)
        assert (await bound("GET", made.headers["Location"])).status == 200
        assert (await free("GET", repeated.headers["Location"])).status == 200


def _id(answer: ApiResponse) -> Any:
    return answer.data["id"]
