"""Requests as two products have printed them in their documentation, which users may paste."""

import asyncio
import re
import shlex
import shutil
from typing import Any

import orjson
import pytest

from tests.api.conftest import JSONAPI, Api, Client, delivered
from tests.end_to_end.stories import Story
from tests.receivers import Receiver

CREATE = """curl -X POST https://acme-test.paylent.com/api/webhooks \\
  -H "Authorization: Bearer ACCESS_TOKEN" \\
  -H "Content-Type: application/vnd.api+json" \\
  -d '{ "data": { "type": "webhook", "attributes": { "name": "User sync", "url": "https://myapp.example.com/webhooks/paylent", "events": ["user.created", "user.updated"] } } }'
"""
ROTATE = """curl -X PATCH https://acme-test.paylent.com/api/webhooks/WEBHOOK_ID/rotate_secret \\
  -H "Authorization: Bearer ACCESS_TOKEN" \\
  -H "Content-Type: application/vnd.api+json"
"""
HEX = re.compile(r"[0-9a-f]{64}")
ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def run(command: str, standing: Api, **replaced: str) -> tuple[int, str, Any]:
    """A curl command in a process of its own: the status, type and document it was answered."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = command.replace("\\\n", " ").replace(
        "https://acme-test.paylent.com", standing.address
    )
    for placeholder, text in replaced.items():
        command = command.replace(placeholder, text)
    process = await asyncio.create_subprocess_exec(
        *shlex.split(command),
        "--silent",
        "--show-error",
        "--write-out",
        "\n%{http_code}\n%{content_type}",
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    document, status, type_ = out.rsplit(b"\n", 2)
    return int(status), type_.decode(), orjson.loads(document)


# ── the first: JSON:API, with curl ───────────────────────────────────────────────────────────────


async def test_the_printed_command_creates_a_webhook(standing: Api) -> None:
    token = await standing.token("write", "env_default")
    status, type_, document = await run(CREATE, standing, ACCESS_TOKEN=token)
    assert (status, type_) == (201, JSONAPI)
    data = document["data"]
    assert data["type"] == "webhook"
    attributes = data["attributes"]
    assert HEX.fullmatch(attributes["signing_secret"])
    assert attributes["name"] == "User sync"
    assert attributes["url"] == "https://myapp.example.com/webhooks/paylent"
    assert attributes["events"] == ["user.created", "user.updated"]
    assert attributes["active"] is True


async def test_the_printed_command_rotates_the_secret(standing: Api) -> None:
    token = await standing.token("write", "env_default")
    _, _, created = await run(CREATE, standing, ACCESS_TOKEN=token)
    id_ = created["data"]["id"]
    status, type_, rotated = await run(ROTATE, standing, ACCESS_TOKEN=token, WEBHOOK_ID=id_)
    assert (status, type_) == (200, JSONAPI)
    assert rotated["data"]["id"] == id_
    secrets = [document["data"]["attributes"]["signing_secret"] for document in (created, rotated)]
    assert all(HEX.fullmatch(secret) for secret in secrets)
    assert secrets[0] != secrets[1]


async def test_a_secret_is_never_shown_again(
    standing: Api, ask: Client, receiver: Receiver
) -> None:
    token = await standing.token("write", "env_default")
    here = CREATE.replace("https://myapp.example.com/webhooks/paylent", receiver.url)
    _, _, created = await run(here, standing, ACCESS_TOKEN=token)
    id_ = created["data"]["id"]
    _, _, rotated = await run(ROTATE, standing, ACCESS_TOKEN=token, WEBHOOK_ID=id_)
    path = f"/api/webhooks/{id_}"
    tested = await ask("POST", f"{path}/test")
    await delivered(ask, id_)
    delivery = f"/api/deliveries/{tested.data['id']}"
    answers = [
        await ask(method, asked, body, Accept=accept)
        for accept in (JSONAPI, "application/json")
        for method, asked, body in [
            ("GET", path, None),
            ("GET", "/api/webhooks", None),
            ("PATCH", path, {"name": "renamed"}),
            ("GET", "/api/audit?limit=100", None),
            ("GET", f"{path}/deliveries", None),
            ("GET", delivery, None),
            ("GET", f"{delivery}/attempts", None),
            ("GET", "/metrics", None),
            ("GET", "/openapi.json", None),
        ]
    ]
    assert {answer.status for answer in answers} == {200}
    text = b"".join(answer.body for answer in answers).decode()
    assert "renamed" in text
    for shown in (created, rotated):
        assert shown["data"]["attributes"]["signing_secret"] not in text
    signed = {v for n, v in receiver.requests[0].headers.items() if "ignature" in n}
    assert signed
    assert not [signature for signature in signed if signature in text]


# ── the second: its table of methods, in the envelope ────────────────────────────────────────────


async def create(ask: Client, **fields: object) -> Any:
    form = {"url": "https://example.com/hook", "events": ["payment.captured"], **fields}
    made = await ask("POST", "/apps/env_default/webhooks", form)
    assert made.status == 201
    return made.data


async def test_create_answers_with_the_secret(ask: Client) -> None:
    endpoint = await create(ask)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", endpoint["id"])
    assert endpoint["url"] == "https://example.com/hook"
    assert endpoint["events"] == ["payment.captured"]
    assert endpoint["active"] is True
    assert ISO_8601.fullmatch(endpoint["createdAt"])
    assert HEX.fullmatch(endpoint["secret"])
    assert not [name for name in endpoint if "_" in name]


async def test_list_answers_with_an_array_without_secrets(ask: Client) -> None:
    endpoint = await create(ask)
    listed = (await ask("GET", "/apps/env_default/webhooks")).data
    assert isinstance(listed, list)
    listed_webhook = next(webhook for webhook in listed if webhook["id"] == endpoint["id"])
    assert not [webhook for webhook in listed if "secret" in webhook]
    assert {"id", "url", "events", "active", "createdAt", "updatedAt"} <= listed_webhook.keys()
    assert ISO_8601.fullmatch(listed_webhook["updatedAt"])


async def test_a_list_is_a_page_if_the_query_asks_for_one(ask: Client) -> None:
    made = [(await create(ask))["id"] for _ in range(3)]
    seen: list[str] = []
    path = "/apps/env_default/webhooks?limit=2"
    page = (await ask("GET", path)).data
    while True:
        assert page.keys() == {"items", "nextCursor"}
        seen += [webhook["id"] for webhook in page["items"]]
        if page["nextCursor"] is None:
            break
        page = (await ask("GET", f"{path}&cursor={page['nextCursor']}")).data
    assert len(seen) == len(set(seen))
    assert set(made) <= set(seen)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_update_changes_the_given_fields_and_shows_no_secret(
    ask: Client, method: str
) -> None:
    endpoint = await create(ask, name="kept")
    path = f"/apps/env_default/webhooks/{endpoint['id']}"
    changes = {"events": ["payment.settled", "invoice.*"], "active": False}
    updated = (await ask(method, path, changes)).data
    assert "secret" not in updated
    assert (updated["id"], updated["name"]) == (endpoint["id"], "kept")
    assert (updated["events"], updated["active"]) == (changes["events"], False)
    assert updated["updatedAt"] > endpoint["updatedAt"]


async def test_rotate_secret_answers_with_a_new_one(ask: Client) -> None:
    endpoint = await create(ask)
    path = f"/apps/env_default/webhooks/{endpoint['id']}"
    for named in ("rotate-secret", "rotate_secret"):
        rotated = await ask("POST", f"{path}/{named}")
        assert rotated.status == 200
        assert HEX.fullmatch(rotated.data["secret"])
        assert rotated.data["secret"] != endpoint["secret"]
    assert "secret" not in (await ask("GET", path)).data


async def test_delete_has_no_response_body(ask: Client) -> None:
    path = f"/apps/env_default/webhooks/{(await create(ask))['id']}"
    gone = await ask("DELETE", path)
    assert (gone.status, gone.body, gone.type) == (204, b"", None)
    again = await ask("DELETE", path)
    assert (again.status, again.code) == (404, "not_found")


async def test_test_ping_sends_a_delivery(ask: Client, receiver: Receiver) -> None:
    endpoint = await create(ask, url=receiver.url)
    path = f"/apps/env_default/webhooks/{endpoint['id']}"
    pinged = await ask("POST", f"{path}/ping")
    assert pinged.status == 202
    assert (pinged.data["event"], pinged.data["webhookId"]) == ("webhook.test", endpoint["id"])
    [request] = await receiver.wait_for(1)
    assert request.headers["X-Dispatcher-Delivery"] == pinged.data["id"]
    [listed] = await delivered(ask, endpoint["id"])
    assert listed["id"] == pinged.data["id"]


async def test_a_delivery_is_listed_with_its_attempts(
    ask: Client, telling: Story, receiver: Receiver
) -> None:
    receiver.answers = [500]
    endpoint = await create(ask, url=receiver.url, events=["refund.made"])
    await telling.insert(type_="refund.made")
    await delivered(ask, endpoint["id"])
    path = f"/apps/env_default/webhooks/{endpoint['id']}/deliveries"
    [item] = (await ask("GET", path)).data["items"]
    assert re.fullmatch(r"dlv_\d+", item["id"])
    assert re.fullmatch(r"evt_\d+", item["eventId"])
    assert (item["webhookId"], item["event"]) == (endpoint["id"], "refund.made")
    assert item["payload"] == orjson.loads(receiver.requests[0].body)
    assert (item["status"], item["attempts"], item["responseStatus"]) == ("DELIVERED", 2, 200)
    assert item["responseBody"] == ""
    assert isinstance(item["durationMs"], int)
    assert item["nextRetryAt"] is None
    assert ISO_8601.fullmatch(item["createdAt"])
    assert item["createdAt"] <= item["deliveredAt"]
    one = (await ask("GET", f"/api/deliveries/{item['id']}")).data
    assert [attempt["status"] for attempt in one["attemptList"]] == [500, 200]
    first, second = one["attemptList"]
    assert all(isinstance(first[phase], int) for phase in ("lookupMs", "connectMs", "firstByteMs"))
    assert (first["tlsMs"], second["tlsMs"]) == (None, None)
    assert isinstance(second["firstByteMs"], int)


@pytest.mark.parametrize("filtered", ["", "&status=DELIVERED", "&event=order.*"])
async def test_pages_miss_nothing_and_repeat_nothing_while_deliveries_arrive(
    ask: Client, telling: Story, receiver: Receiver, filtered: str
) -> None:
    endpoint = await create(ask, url=receiver.url, events=["order.*"])
    await telling.insert(20, type_="order.paid")
    await delivered(ask, endpoint["id"], 20)
    path = f"/apps/env_default/webhooks/{endpoint['id']}/deliveries?limit=6{filtered}"
    pages: list[list[int]] = []
    following: str | None = ""
    while following is not None:
        page = (await ask("GET", f"{path}{following}")).data
        pages.append([item["payload"]["data"]["n"] for item in page["items"]])
        following = page["nextCursor"] and f"&cursor={page['nextCursor']}"
        first = 21 + 5 * (len(pages) - 1)
        await telling.insert(5, first=first, type_="order.paid")
        await receiver.wait_for(first + 4)
    assert [len(page) for page in pages] == [6, 6, 6, 2]
    assert sorted(n for page in pages for n in page) == list(range(1, 21))
