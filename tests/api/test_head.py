"""HEAD: what GET would answer, without its body."""

import pytest

from dispatcher.api.all_routes import ROUTES
from tests.api.conftest import Api, ApiResponse
from tests.api.test_access import NOWHERE, OWN_ENVIRONMENT

FOUND = ["/livez", "/readyz", "/healthz", "/openapi.json", "/sign-in"]
PATHS = [path for route in ROUTES for method, path in route.paths() if method == "GET"]
OF_ONE_ANSWER = ("x-request-id", "date")


def _lasting(answer: ApiResponse) -> dict[str, str]:
    """Return the headers that are the same for each request."""
    named = {name.lower(): value for name, value in answer.headers.items()}
    return {name: value for name, value in named.items() if name not in OF_ONE_ANSWER}


@pytest.mark.parametrize("path", [*FOUND, *PATHS, "/nowhere", "/"])
async def test_head_answers_like_get_without_a_body(standing: Api, path: str) -> None:
    path = path.format(**NOWHERE, app_id=OWN_ENVIRONMENT)
    client = await standing.client()
    got, head = await client("GET", path), await client("HEAD", path)
    assert (head.status, head.body) == (got.status, b"")
    assert _lasting(head) == _lasting(got)


async def test_head_of_the_metrics_is_as_long_as_what_get_answers(standing: Api) -> None:
    client = await standing.client()
    head = await client("HEAD", "/metrics")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) > 0


async def test_opening_a_login_link_does_not_use_it_up(standing: Api) -> None:
    path = standing.daemon.dashboard.login_link(await standing.token())
    anonymous = standing.client_with_token()
    assert (await anonymous("HEAD", path)).status == 200
    assert (await anonymous("GET", path, Connection="close")).status in (200, 303)


@pytest.mark.parametrize("path", [*FOUND, "/nowhere", "/api/webhooks", "/", "/metrics"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_every_answer_has_the_headers_that_keep_browsers_off(
    standing: Api, method: str, path: str
) -> None:
    answer = await standing.client_with_token()(method, path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Server"] == "dispatcher"
