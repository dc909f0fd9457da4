"""What a refusal looks like in either dialect, and that it changed nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.api.conftest import JSONAPI, ApiResponse
from tests.conftest import Connection


def documented(type_: str, attributes: object) -> dict[str, object]:
    return {"data": {"type": type_, "attributes": attributes}}


def pointers(refused: ApiResponse) -> list[str]:
    """Return the places of the errors, in either dialect."""
    if refused.type == JSONAPI:
        return [error["source"]["pointer"] for error in refused.json["errors"]]
    return [detail["pointer"] for detail in refused.json["error"]["details"]]


def said(refused: ApiResponse, code: str) -> None:
    """An error of this code, with everything that its dialect puts into one."""
    id_ = refused.headers["X-Request-Id"]
    if refused.type == JSONAPI:
        assert set(refused.json) == {"errors"}
        for error in refused.json["errors"]:
            assert error.keys() - {"source"} == {"id", "status", "code", "title", "detail"}
            assert (error["id"], error["status"], error["code"]) == (id_, str(refused.status), code)
            assert error["title"]
            assert error["detail"]
    else:
        assert refused.json.keys() == {"success", "error"}
        error = refused.json["error"]
        assert refused.json["success"] is False
        assert (error["code"], error["requestId"]) == (code, id_)
        assert error["message"]
        assert error["details"]


@asynccontextmanager
async def untouched(database: Connection) -> AsyncIterator[None]:
    """Nothing is changed, nothing emitted."""

    async def now() -> Any:
        return await database.fetchrow(
            "SELECT (SELECT count(*) FROM dispatcher.audit) AS audit,"
            " (SELECT count(*) FROM dispatcher.events) AS events,"
            " (SELECT count(*) FROM dispatcher.idempotent_responses) AS answered"
        )

    before = await now()
    yield
    assert await now() == before
