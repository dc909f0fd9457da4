"""Whose token may do what: every method and path of the table, and tokens themselves."""

from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest

from dispatcher.api.all_routes import ROUTES
from dispatcher.api.routes import Route
from dispatcher.core.model import Scope
from tests.api.conftest import OTHER, Api, ApiResponse, Client, served
from tests.api.refusals import untouched
from tests.conftest import Connection
from tests.end_to_end.stories import Daemons
from tests.receivers import Receiver

Call = tuple[Route, str, str]

CALLS: list[Call] = [(route, method, path) for route in ROUTES for method, path in route.paths()]
WEAKER: dict[Scope, Scope] = {"support": "read", "write": "support", "admin": "write"}
OWN_ENVIRONMENT = "env_default"

BODIES: dict[str, object] = {
    "create_webhook": {"url": "https://example.com/", "events": ["*"]},
    "create_environment": {"name": "third"},
    "rename_environment": {"name": "renamed"},
    "create_token": {"name": "another", "environmentId": OWN_ENVIRONMENT},
    "emit_event": {"type": "user.created", "data": {}},
    "recover_webhook": {"since": "2026-01-01T00:00:00Z"},
    "start_bulk_action": {"action": "retry", "filters": {}},
}
"""What a request needs in order to be refused for nothing else; `{}` will do for the others."""

NOWHERE = {
    "webhook_id": "00000000-0000-4000-8000-000000000000",
    "token_id": "00000000-0000-4000-8000-000000000000",
    "environment_id": "env_nowhere",
    "delivery_id": "dlv_1",
    "recovery_id": "rec_1",
    "bulk_action_id": "blk_1",
    "event_id": "evt_1",
    "quarantine_id": "q_1",
    "name": "no.such",
}


def each(*calls: Call) -> pytest.MarkDecorator:
    named = [f"{method} {path}" for _, method, path in calls]
    return pytest.mark.parametrize(("route", "method", "path"), calls, ids=named)


def body(route: Route) -> object:
    return None if route.form is None else BODIES.get(route.name, {})


ADDRESSED = [call for call in CALLS if call[2].replace("{app_id}", "").count("{")]
UNDER_APPS = [call for call in CALLS if "{app_id}" in call[2]]
BY_PATH = [call for call in CALLS if "{app_id}" not in call[2]]
BY_HEADER = [call for call in BY_PATH if not call[0].all_environments]


@pytest.fixture(scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as opened:
        yield opened


@pytest.fixture(scope="module")
async def theirs(standing: Api, database: Connection, receiver: Receiver) -> dict[str, str]:
    """One thing of every kind in the other environment, by the parameter that names it."""
    other = await standing.client("admin", OTHER)
    made = await other("POST", "/api/webhooks", {"url": receiver.url, "events": ["user.*"]})
    webhook = f"/api/webhooks/{made.data['id']}"
    delivery = await other("POST", f"{webhook}/test")
    event = await other("POST", "/api/events", BODIES["emit_event"])
    recovery = await other("POST", f"{webhook}/recover", BODIES["recover_webhook"])
    action = await other("POST", "/api/bulk-actions", BODIES["start_bulk_action"])
    await other("PUT", "/api/event-types/user.created", {"description": "theirs"})
    quarantined = await database.fetchval(  # of today: maintenance lets older ones expire
        "INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason,"
        " detail) SELECT id, id, $1, 'user.created', 1, 'test', '' FROM dispatcher.event_id() AS id RETURNING id",
        OTHER,
    )
    tokens = await other("GET", "/api/tokens")
    await receiver.wait_for(2)
    return {
        "webhook_id": made.data["id"],
        "delivery_id": delivery.data["id"],
        "event_id": event.data["id"],
        "recovery_id": recovery.data["id"],
        "bulk_action_id": action.data["id"],
        "name": "user.created",
        "quarantine_id": f"q_{quarantined}",
        "token_id": tokens.data[0]["id"],
        "app_id": OTHER,
        "environment_id": OTHER,
    }


@pytest.fixture(scope="module")
async def mine(standing: Api) -> Client:
    """An administrator of the default environment alone."""
    return await standing.client("admin", OWN_ENVIRONMENT)


@pytest.fixture(scope="module")
async def holding(standing: Api) -> dict[Scope, Client]:
    """Clients for all environments, by scope."""
    return {scope: await standing.client(scope) for scope in get_args(Scope)}


# ── every route ──────────────────────────────────────────────────────────────────────────────────


def test_the_port_serves_no_other_route_of_the_api(standing: Api) -> None:
    admin = standing.daemon._admin
    assert admin is not None
    runner = admin.port._runner
    assert runner.app is not None
    served_there = {
        (route.method, route.resource.canonical)
        for route in runner.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    of_the_api = {(m, p) for m, p in served_there if p.startswith(("/api", "/apps"))}
    assert of_the_api == {(method, path) for _, method, path in CALLS}


@each(*CALLS)
async def test_every_route_needs_a_token(
    standing: Api, database: Connection, route: Route, method: str, path: str
) -> None:
    async with untouched(database):
        path = path.format(**NOWHERE, app_id=OWN_ENVIRONMENT)
        answer = await standing.client_with_token()(method, path, body(route))
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


@each(*(call for call in CALLS if call[0].scope != "read"))
async def test_a_weaker_scope_is_forbidden(
    holding: dict[Scope, Client], database: Connection, route: Route, method: str, path: str
) -> None:
    weaker = holding[WEAKER[route.scope]]
    async with untouched(database):
        path = path.format(**NOWHERE, app_id=OWN_ENVIRONMENT)
        answer = await weaker(method, path, body(route))
    assert (answer.status, answer.code) == (403, "forbidden")


@each(*CALLS)
async def test_the_scope_that_is_named_is_enough(
    holding: dict[Scope, Client], route: Route, method: str, path: str
) -> None:
    enough = holding[route.scope]
    nonsense = None if route.form is None else {"nonsense": True}
    path = path.format(**NOWHERE, app_id=OWN_ENVIRONMENT)
    answer = await enough(method, path, nonsense)
    assert answer.status in ((200, 404) if nonsense is None else (422,))


@each(*(call for call in ADDRESSED if call[1] == "GET"))
async def test_resources_are_found_in_their_own_environment(
    standing: Api, theirs: dict[str, str], route: Route, method: str, path: str
) -> None:
    bound = await standing.client(route.scope, OTHER)
    assert (await bound(method, path.format(**theirs))).status == 200


@each(*(call for call in ADDRESSED if call[0].name != "put_event_type"))
async def test_resources_of_another_environment_are_not_found(
    mine: Client,
    theirs: dict[str, str],
    database: Connection,
    route: Route,
    method: str,
    path: str,
) -> None:
    path = path.format(**{**theirs, "app_id": OWN_ENVIRONMENT})
    async with untouched(database):
        answer = await mine(method, path, body(route))
    assert (answer.status, answer.code) == (404, "not_found")


async def test_environments_have_separate_event_types(
    mine: Client, standing: Api, theirs: dict[str, str]
) -> None:
    path = f"/api/event-types/{theirs['name']}"
    assert (await mine("PUT", path, {"description": "ours"})).status == 201
    other = await standing.client("read", OTHER)
    assert (await other("GET", path)).data["description"] == "theirs"
    await mine("DELETE", path)
    assert (await other("GET", path)).data["description"] == "theirs"


@each(*UNDER_APPS)
async def test_another_environments_paths_are_not_found(
    mine: Client,
    theirs: dict[str, str],
    database: Connection,
    route: Route,
    method: str,
    path: str,
) -> None:
    async with untouched(database):
        answer = await mine(method, path.format(**theirs), body(route))
    assert (answer.status, answer.code) == (404, "not_found")


@each(*BY_PATH)
async def test_another_environment_in_the_header_is_not_found(
    mine: Client,
    theirs: dict[str, str],
    database: Connection,
    route: Route,
    method: str,
    path: str,
) -> None:
    async with untouched(database):
        answer = await mine(method, path.format(**theirs), body(route), X_Environment_Id=OTHER)
    assert (answer.status, answer.code) == (404, "not_found")


async def test_a_header_beside_a_path_names_the_environment_of_the_token_too(
    mine: Client, ask: Client
) -> None:
    path = f"/apps/{OWN_ENVIRONMENT}/webhooks"
    assert (await mine("GET", path, X_Environment_Id=OTHER)).status == 404
    assert (await mine("GET", path, X_Environment_Id=OWN_ENVIRONMENT)).status == 200
    assert (await ask("GET", path, X_Environment_Id=OTHER)).status == 200


@pytest.mark.parametrize("path", ["/api/tokens", "/api/audit", "/api/environments"])
async def test_a_route_of_all_environments_takes_the_header_of_its_token(
    mine: Client, ask: Client, path: str
) -> None:
    assert (await mine("GET", path, X_Environment_Id=OWN_ENVIRONMENT)).status == 200
    assert (await ask("GET", path, X_Environment_Id=OTHER)).status == 200


@each(*BY_HEADER, *UNDER_APPS)
async def test_an_environment_that_does_not_exist_is_not_found(
    ask: Client,
    theirs: dict[str, str],
    database: Connection,
    route: Route,
    method: str,
    path: str,
) -> None:
    path = path.format(**{**theirs, "app_id": "env_nowhere"})
    headers = {} if path.startswith("/apps/") else {"X_Environment_Id": "env_nowhere"}
    async with untouched(database):
        answer = await ask(method, path, body(route), **headers)
    assert (answer.status, answer.code) == (404, "not_found")


async def test_a_token_for_all_environments_chooses_one_by_the_header(
    ask: Client, theirs: dict[str, str]
) -> None:
    path = f"/api/webhooks/{theirs['webhook_id']}"
    assert (await ask("GET", path)).status == 404
    assert (await ask("GET", path, X_Environment_Id=OTHER)).status == 200
    assert (await ask("GET", path.replace("/api/", f"/apps/{OTHER}/"))).status == 200


@pytest.mark.parametrize(
    "path", ["/api/webhooks", "/api/deliveries", "/api/events", "/api/quarantine"]
)
async def test_a_listing_has_no_row_of_another_environment(
    mine: Client, theirs: dict[str, str], path: str
) -> None:
    listed = (await mine("GET", path)).body.decode()
    assert not [value for name, value in theirs.items() if name != "name" and value in listed]


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_bound_administrator_sees_and_revokes_the_tokens_of_its_environment_alone(
    standing: Api, ask: Client, mine: Client, theirs: dict[str, str]
) -> None:
    listed = (await mine("GET", "/api/tokens")).data
    assert listed
    assert {token["environmentId"] for token in listed} == {OWN_ENVIRONMENT}
    everyones = next(t for t in (await ask("GET", "/api/tokens")).data if t["environmentId"] == "*")
    for foreign in (theirs["token_id"], everyones["id"]):
        assert (await mine("DELETE", f"/api/tokens/{foreign}")).status == 404
    form = {"name": "short-lived", "environmentId": OWN_ENVIRONMENT}
    made = (await mine("POST", "/api/tokens", form)).data
    assert (await standing.client_with_token(made["token"])("GET", "/api/webhooks")).status == 200
    assert (await mine("DELETE", f"/api/tokens/{made['id']}")).status == 204


@pytest.mark.parametrize(
    ("environment", "status"), [(OTHER, 422), ("env_nowhere", 422), ("*", 403)]
)
async def test_a_bound_administrator_makes_no_tokens_for_others(
    mine: Client, database: Connection, environment: str, status: int
) -> None:
    form = {"name": "wider", "environmentId": environment, "scope": "read"}
    async with untouched(database):
        assert (await mine("POST", "/api/tokens", form)).status == status


async def test_a_bound_administrator_makes_no_environments_and_sees_its_own(
    mine: Client, database: Connection
) -> None:
    async with untouched(database):
        assert (await mine("POST", "/api/environments", {"name": "third"})).status == 403
    listed = (await mine("GET", "/api/environments")).data["items"]
    assert [environment["id"] for environment in listed] == [OWN_ENVIRONMENT]


async def test_a_bound_administrator_reads_the_audit_of_its_environment_alone(
    standing: Api, mine: Client, theirs: dict[str, str]
) -> None:
    other = await standing.client("admin", OTHER)
    assert theirs["webhook_id"] in (await other("GET", "/api/audit?limit=100")).body.decode()
    listed = (await mine("GET", "/api/audit?limit=100")).data["items"]
    assert {entry["environmentId"] for entry in listed} == {OWN_ENVIRONMENT}
    assert (await mine("GET", f"/api/audit?environment_id={OTHER}")).data["items"] == []


@pytest.mark.parametrize("path", ["/api/pause", "/api/resume"])
async def test_a_bound_administrator_pauses_no_others(
    mine: Client, database: Connection, path: str
) -> None:
    async with untouched(database):
        assert (await mine("POST", path, {"all": True})).status == 403


async def test_a_revoked_token_is_refused_at_once(standing: Api, ask: Client) -> None:
    form = {"name": "leaked", "environmentId": "*", "scope": "admin"}
    made = (await ask("POST", "/api/tokens", form)).data
    holder = standing.client_with_token(made["token"])
    assert (await holder("GET", "/api/webhooks")).status == 200
    assert (await ask("DELETE", f"/api/tokens/{made['id']}")).status == 204
    refused = await holder("GET", "/api/webhooks")
    assert (refused.status, refused.code) == (401, "unauthorized")
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    assert (await ask("DELETE", f"/api/tokens/{made['id']}")).status == 404


async def test_an_expired_token_is_refused_at_once(
    standing: Api, ask: Client, database: Connection
) -> None:
    form = {"name": "a guest", "environmentId": "*", "expiresAt": "2199-01-01T00:00:00Z"}
    made = (await ask("POST", "/api/tokens", form)).data
    holder = standing.client_with_token(made["token"])
    assert (await holder("GET", "/api/webhooks")).status == 200
    await database.execute(
        "UPDATE dispatcher.tokens SET expires_at = clock_timestamp() WHERE name = 'a guest'"
    )
    assert (await holder("GET", "/api/webhooks")).status == 401


async def test_a_token_that_would_have_expired_already_is_not_created(ask: Client) -> None:
    form = {"name": "late", "environmentId": "*", "expiresAt": "2020-01-01T00:00:00Z"}
    refused = await ask("POST", "/api/tokens", form)
    assert (refused.status, refused.json["error"]["details"][0]["pointer"]) == (422, "/expiresAt")


async def test_a_token_is_shown_once_and_its_use_is_noted(standing: Api, ask: Client) -> None:
    form = {"name": "used once", "environmentId": "*"}
    made = (await ask("POST", "/api/tokens", form)).data

    async def listed() -> Any:
        answer = await ask("GET", "/api/tokens")
        assert made["token"] not in answer.body.decode()
        return next(token for token in answer.data if token["id"] == made["id"])

    assert (await listed())["lastUsedAt"] is None
    await standing.client_with_token(made["token"])("GET", "/api/webhooks")
    assert (await listed())["lastUsedAt"] is not None


@pytest.mark.parametrize(
    "shown", ["Basic YTpi", "Bearer", "Bearer ", "Token x", "bearer\tx", "", "Bearer  "]
)
async def test_only_a_bearer_token_is_accepted(standing: Api, shown: str) -> None:
    answer = await standing.client_with_token()("GET", "/api/webhooks", Authorization=shown)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="dispatcher"')


async def test_only_the_address_with_ten_wrong_tokens_has_to_wait(standing: Api) -> None:
    good = await standing.token("read")

    async def shows(token: str) -> ApiResponse:
        return await Client(there, token)("GET", "/api/webhooks")

    async with standing.from_("127.0.0.9") as there:
        assert (await shows(good)).status == 200
        wrong = [await shows(f"dsp_{'wrong' * 8}{number:03}") for number in range(10)]
        assert {answer.status for answer in wrong} == {401}
        refused = await shows("dsp_wrong")
        assert (refused.status, refused.code) == (429, "too_many_wrong_tokens")
        seconds = refused.headers["Retry-After"]
        assert 1 <= int(seconds) <= 61
        message = refused.json["error"]["details"][0]["message"]
        assert f"Try again in {seconds} s. Other addresses, and tokens that were valid" in message
        assert (await shows(good)).status == 200  # others behind the same proxy are not shut out
    async with standing.from_("127.0.0.10") as there:
        assert (await shows("dsp_wrong")).status == 401


async def test_the_configured_admin_token_may_do_everything(
    daemons: Daemons, dsn: str, other_environment: str
) -> None:
    token = "configured-by-the-operator-0123456789"
    async with served(daemons, dsn, secrets={"admin_token": token}) as api:
        operator = api.client_with_token(token)
        for environment in (OWN_ENVIRONMENT, other_environment):
            path = f"/apps/{environment}/webhooks"
            made = await operator("POST", path, BODIES["create_webhook"])
            assert made.status == 201
        assert (await operator("GET", "/api/tokens")).data == []
        audited = (await operator("GET", "/api/audit")).data["items"]
        assert {entry["actor"] for entry in audited} == {"token:bootstrap"}
        assert (await api.client_with_token(f"{token}0")("GET", "/api/tokens")).status == 401


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
async def test_health_needs_no_token(standing: Api, path: str) -> None:
    assert (await standing.client_with_token()("GET", path)).status == 200


@pytest.mark.parametrize("path", ["/openapi.json", "/metrics"])
async def test_the_description_and_the_metrics_need_a_token(standing: Api, path: str) -> None:
    assert (await standing.client_with_token()("GET", path)).status == 401
    reader = await standing.client("read")
    assert (await reader("GET", path)).status == 200


async def test_a_token_of_one_environment_gets_no_figures_of_all(standing: Api) -> None:
    bound = await standing.client("admin", OTHER)
    assert (await bound("GET", "/openapi.json")).status == 200
    refused = await bound("GET", "/metrics")
    assert (refused.status, refused.code) == (403, "forbidden")
