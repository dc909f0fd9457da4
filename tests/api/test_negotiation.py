"""Which dialect an answer is in, and how each refuses."""

import re
from typing import Any

import pytest

from tests.api.conftest import JSON, JSONAPI, Api, ApiResponse, Client
from tests.api.refusals import documented, pointers, said

WEBHOOK = {"url": "https://example.com/", "events": ["user.created"]}


@pytest.fixture(scope="module")
async def webhook(ask: Client) -> str:
    """The path of one."""
    made = await ask("POST", "/api/webhooks", WEBHOOK)
    return f"/api/webhooks/{made.data['id']}"


# ── the answer's dialect: what Accept names, else that of the body, else the envelope ────────────

ACCEPTED: list[tuple[str | None, str | None, str]] = [
    # Accept, Content-Type, the answer's
    (None, None, JSON),
    (None, JSON, JSON),
    (None, JSONAPI, JSONAPI),
    (None, "text/plain", JSON),
    (None, f"{JSONAPI}; charset=utf-8", JSON),
    (None, f'{JSONAPI}; profile="https://example.com/a,b;c"', JSONAPI),
    (None, "APPLICATION/VND.API+JSON", JSONAPI),
    ("", JSONAPI, JSONAPI),
    (",", JSONAPI, JSONAPI),
    ("*/*", None, JSON),
    ("*/*", JSONAPI, JSONAPI),
    ("application/*", JSONAPI, JSONAPI),
    ("text/html, */*;q=0.1", JSONAPI, JSONAPI),
    (JSON, JSONAPI, JSON),
    (JSONAPI, JSON, JSONAPI),
    (JSONAPI, None, JSONAPI),
    (f"{JSON}; charset=utf-8", JSONAPI, JSON),
    (f"text/html, {JSONAPI}", None, JSONAPI),
    (f"{JSONAPI};q=0.1, */*", JSON, JSONAPI),
    (f"{JSONAPI};q=0.5, {JSON};q=0.9", None, JSON),
    (f"{JSONAPI};q=0.9, {JSON};q=0.5", None, JSONAPI),
    (f"{JSONAPI}, {JSON}", None, JSONAPI),
    (f"{JSON}, {JSONAPI}", None, JSON),
    (f"{JSONAPI};q=0, {JSON};q=0.001", None, JSON),
    (f"{JSON};q=0, */*", None, JSONAPI),
    (f"{JSONAPI};q=0, */*", JSONAPI, JSON),
    (f"{JSONAPI}; charset=utf-8, {JSON}", None, JSON),
    (f"{JSONAPI}; version=1, {JSONAPI}", None, JSONAPI),
    (f'{JSONAPI}; profile="https://example.com/a,b;c"', None, JSONAPI),
    (" application/JSON ; Q=0.5 ", JSONAPI, JSON),
    (f"{JSON};q*=utf-8''0", JSONAPI, JSON),
    ('"', JSONAPI, JSONAPI),
]


@pytest.mark.parametrize(("accept", "content_type", "expected"), ACCEPTED)
async def test_the_response_is_in_the_requested_dialect(
    standing: Api, webhook: str, accept: str | None, content_type: str | None, expected: str
) -> None:
    headers = {"Accept": accept, "Content-Type": content_type}
    client = BareClient(standing)
    answer = await client("GET", webhook, {n: v for n, v in headers.items() if v is not None})
    assert (answer.status, answer.type) == (200, expected)
    assert answer.json.keys() == ({"success", "data"} if expected == JSON else {"data"})


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/*",
        "application/xml",
        "application/jsonx",
        f"{JSON};q=0",
        "*/*;q=0",
        f"{JSON};q=0, {JSONAPI};q=0, */*",
        f"{JSONAPI}; charset=utf-8",
        f'{JSONAPI}; ext="https://jsonapi.org/ext/atomic"',
        f"{JSON};q=nan",
        f"{JSON};q=1e3",
        f"{JSON};q=-1",
        ";;;",
        "é",
    ],
)
async def test_an_unavailable_media_type_is_not_acceptable(
    ask: Client, webhook: str, accept: str
) -> None:
    answer = await ask("GET", webhook, Accept=accept)
    assert (answer.status, answer.type, answer.code) == (406, JSON, "not_acceptable")


class BareClient:
    """Sends no header but those given, and the token."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def __call__(
        self, method: str, path: str, headers: dict[str, str], data: bytes | None = None
    ) -> ApiResponse:
        skipped = ["Accept", "Content-Type"]
        named = {"Authorization": f"Bearer {await self._api.token()}", **headers}
        session = self._api._session
        async with session.request(
            method, path, data=data, headers=named, skip_auto_headers=skipped
        ) as response:
            return ApiResponse(response, await response.read())


# ── the body's dialect ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content_type", "body", "answered"),
    [
        (JSON, WEBHOOK, JSON),
        (f"{JSON}; charset=utf-8", WEBHOOK, JSON),
        ("Application/Json", WEBHOOK, JSON),
        (JSONAPI, documented("webhook", WEBHOOK), JSONAPI),
        (f'{JSONAPI}; profile="x"', documented("webhook", WEBHOOK), JSONAPI),
    ],
)
async def test_a_body_is_read_in_the_dialect_of_its_content_type(
    ask: Client, content_type: str, body: object, answered: str
) -> None:
    made = await ask("POST", "/api/webhooks", body, Content_Type=content_type)
    assert (made.status, made.type) == (201, answered)


async def test_a_body_without_content_type_is_read_as_an_envelope(standing: Api) -> None:
    made = await BareClient(standing)(
        "POST", "/api/webhooks", {}, b'{"url":"https://example.com","events":["*"]}'
    )
    assert (made.status, made.type) == (201, JSON)


@pytest.mark.parametrize(
    ("accept", "content_type"), [(JSON, JSONAPI), (JSONAPI, JSON)], ids=["to json", "to jsonapi"]
)
async def test_request_and_response_may_use_different_dialects(
    ask: Client, accept: str, content_type: str
) -> None:
    body = WEBHOOK if content_type == JSON else documented("webhook", WEBHOOK)
    made = await ask("POST", "/api/webhooks", body, Content_Type=content_type, Accept=accept)
    assert (made.status, made.type) == (201, accept)
    wrong = {**WEBHOOK, "url": 1}
    body = wrong if content_type == JSON else documented("webhook", wrong)
    refused = await ask("POST", "/api/webhooks", body, Content_Type=content_type, Accept=accept)
    assert (refused.status, refused.type) == (422, accept)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        f"{JSONAPI}; charset=utf-8",
        f'{JSONAPI}; ext="https://jsonapi.org/ext/atomic"',
        "application/json, application/vnd.api+json",
        "nonsense",
    ],
)
async def test_a_body_of_another_type_is_not_supported(ask: Client, content_type: str) -> None:
    refused = await ask("POST", "/api/webhooks", WEBHOOK, Content_Type=content_type)
    assert (refused.status, refused.type, refused.code) == (415, JSON, "unsupported_media_type")
    assert refused.headers["Accept"] == f"{JSON}, {JSONAPI}"


@pytest.mark.parametrize("action", ["test", "ping", "rotate_secret", "rotate-secret"])
@pytest.mark.parametrize(
    ("content_type", "answered"),
    [(None, JSON), (JSON, JSON), (JSONAPI, JSONAPI), ("text/plain", JSON)],
)
async def test_an_empty_body_is_accepted_for_test_and_rotate(
    standing: Api, webhook: str, action: str, content_type: str | None, answered: str
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await BareClient(standing)("POST", f"{webhook}/{action}", headers)
    assert answer.status == (202 if action in ("test", "ping") else 200)
    assert answer.type == answered


@pytest.mark.parametrize(
    ("content_type", "missing"), [(JSON, {"/url", "/events"}), (JSONAPI, {"/data"})]
)
async def test_an_empty_body_is_refused_where_a_field_is_required(
    standing: Api, content_type: str, missing: set[str]
) -> None:
    headers = {"Content-Type": content_type}
    refused = await BareClient(standing)("POST", "/api/webhooks", headers)
    assert refused.status == 422
    assert set(pointers(refused)) == missing


# ── errors ───────────────────────────────────────────────────────────────────────────────────────

BIG = b'{"url":"' + b"x" * (2**20) + b'"}'

REFUSED: list[tuple[int, str, str, str, Any, dict[str, str]]] = [
    (400, "bad_json", "POST", "/api/webhooks", b"{", {}),
    (400, "bad_parameter", "GET", "/api/webhooks?limit=0", None, {}),
    (400, "bad_cursor", "GET", "/api/webhooks?cursor=x", None, {}),
    (400, "bad_header", "POST", "/api/webhooks", WEBHOOK, {"Idempotency_Key": "two words"}),
    (401, "unauthorized", "GET", "/api/webhooks", None, {"Authorization": "Basic YTpi"}),
    (404, "not_found", "GET", "/api/webhooks/nonsense", None, {}),
    (404, "not_found", "GET", "/api/nonsense", None, {}),
    (404, "not_found", "GET", "/nonsense", None, {}),
    (404, "not_found", "GET", "/api/webhooks/", None, {}),
    (405, "method_not_allowed", "PUT", "/api/webhooks", None, {}),
    (405, "method_not_allowed", "OPTIONS", "/api/webhooks", None, {}),
    (409, "conflict", "POST", "/api/environments", {"id": "env_default", "name": "again"}, {}),
    (413, "too_large", "POST", "/api/webhooks", BIG, {}),
    (415, "unsupported_encoding", "POST", "/api/webhooks", b"\x1f\x8b", {"Content_Encoding": "gzip"}),
    (422, "invalid", "POST", "/api/webhooks", {}, {}),
]  # fmt: skip


@pytest.mark.parametrize("dialect", [JSON, JSONAPI])
@pytest.mark.parametrize(
    ("status", "code", "method", "path", "body", "headers"),
    REFUSED,
    ids=[f"{status} {code} {path}" for status, code, _, path, *_ in REFUSED],
)
async def test_an_error_is_in_the_requested_dialect(
    ask: Client,
    dialect: str,
    status: int,
    code: str,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
) -> None:
    if dialect == JSONAPI and isinstance(body, dict):
        kind = "environment" if "environments" in path else "webhook"
        body = documented(kind, body)
    refused = await ask(method, path, body, Accept=dialect, Content_Type=dialect, **headers)
    assert (refused.status, refused.type) == (status, dialect)
    assert ("Allow" in refused.headers) == (status == 405)
    said(refused, code)


@pytest.mark.parametrize("dialect", [JSON, JSONAPI])
async def test_a_forbidden_or_stale_request_fails_in_the_requested_dialect(
    standing: Api, ask: Client, webhook: str, dialect: str
) -> None:
    reader = await standing.client("read")
    said(await reader("DELETE", webhook, Accept=dialect), "forbidden")
    said(await ask("DELETE", webhook, Accept=dialect, If_Match='"1"'), "changed_meanwhile")


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/nonsense"), ("PUT", "/api/webhooks")])
async def test_an_unknown_route_or_method_names_the_description(
    ask: Client, method: str, path: str
) -> None:
    refused = await ask(method, path, Accept=JSON)
    assert "/openapi.json" in refused.json["error"]["message"]


async def test_a_405_names_the_allowed_methods(ask: Client, webhook: str) -> None:
    refused = await ask("POST", webhook)
    assert set(refused.headers["Allow"].split(",")) == {
        "GET",
        "HEAD",
        "PATCH",
        "PUT",
        "DELETE",
    }


# ── the request's id ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/api/webhooks", "/livez", "/readyz", "/metrics", "/nonsense"])
async def test_every_answer_has_an_id(ask: Client, path: str) -> None:
    first, second = [(await ask("GET", path)).headers["X-Request-Id"] for _ in range(2)]
    assert re.fullmatch(r"req_[0-9a-f]{24}", first)
    assert first != second


async def test_the_callers_own_id_is_kept(ask: Client) -> None:
    answer = await ask("GET", "/api/webhooks", X_Request_Id="trace-4711")
    assert answer.headers["X-Request-Id"] == "trace-4711"


@pytest.mark.parametrize("request_id", ["two words", "x" * 129, "é", ""])
async def test_an_invalid_request_id_is_replaced(ask: Client, request_id: str) -> None:
    answer = await ask("GET", "/api/webhooks", X_Request_Id=request_id)
    assert answer.headers["X-Request-Id"].startswith("req_")


async def test_no_answer_may_be_cached(ask: Client, webhook: str) -> None:
    for path in (webhook, "/api/nonsense"):
        answer = await ask("GET", path)
        assert answer.headers["Cache-Control"] == "no-store"
