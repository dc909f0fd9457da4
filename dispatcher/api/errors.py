"""The mapping from exceptions to the error responses of the API."""

from http import HTTPStatus

from aiohttp import web
from pydantic import ValidationError

from dispatcher.api.representations import Dialect
from dispatcher.api.types import Detail, HttpError
from dispatcher.core.errors import (
    ChangedError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    RefusedError,
)
from dispatcher.schema_validation.checks import SchemaChecksBusyError
from dispatcher.schema_validation.worker import SandboxUnavailableError
from dispatcher.services.inputs.base import problems
from dispatcher.services.webhooks.certificate_checks import CertificateChecksBusyError
from dispatcher.store.errors import (
    LockTableFullError,
    StatementTimeoutError,
    StoreError,
    TransactionConflictError,
)
from dispatcher.store.pool import PoolBusyError
from dispatcher.telemetry import observe

STATUSES_AND_TITLES: dict[type[RefusedError], tuple[int, str]] = {
    InvalidError: (422, "The input is not valid"),
    NotFoundError: (404, "The resource does not exist"),
    ConflictError: (409, "The change conflicts with the current state"),
    ChangedError: (412, "The resource has changed since it was read"),
    ForbiddenError: (403, "The token does not allow this"),
}
"""The status and the title of the response to an error of `services`."""

UNAVAILABLE: dict[type[Exception], str] = {
    PoolBusyError: "Too many requests wait for the database. Try again in a moment.",
    LockTableFullError: "PostgreSQL's lock table is full. Raise max_locks_per_transaction.",
    TransactionConflictError: "Another transaction holds what this request needs, such as the same"
    " Idempotency-Key. Try again when it has ended.",
    StoreError: "The database is not available",
    StatementTimeoutError: "The database took too long",
    SchemaChecksBusyError: "Too many schemas wait to be checked. Try again in a moment.",
    CertificateChecksBusyError: "Too many certificates wait to be checked. Try again in a moment.",
    SandboxUnavailableError: "Schema checks are unavailable. The daemon's log says why.",
}
"""The title of the 503 response, by exception. The first matching class applies."""
AGAIN = (
    "The same request may be sent again after Retry-After, with its Idempotency-Key if it has one."
)


def explain(error: Exception, dialect: Dialect, request_id: str) -> HttpError:
    """Return the failure with which to answer `error`.

    Log an unexpected exception. Its response carries only the request's id, because the text of the
    exception may contain secrets.
    """
    match error:
        case HttpError():
            return error
        case InvalidError():
            details = [Detail(p.reason, pointer=dialect.pointer(p.place)) for p in error.problems]
            return HttpError(422, error.code, STATUSES_AND_TITLES[InvalidError][1], *details)
        case RefusedError():
            status, title = STATUSES_AND_TITLES[type(error)]
            return HttpError(status, error.code, title, Detail(str(error)))
        case ValidationError():
            return malformed(error)
        case _ if reason := unavailable(error):
            detail = Detail(f"{reason.removesuffix('.')}. {AGAIN}")
            return HttpError(503, "unavailable", reason, detail, headers={"Retry-After": "1"})
        case web.HTTPException():
            return _http(error)
        case _:
            observe.requests.failed(request_id, error)
            return HttpError(
                500,
                "internal",
                f"An unexpected error occurred. The log has it under request {request_id}.",
            )


def malformed(error: ValidationError) -> HttpError:
    """Return the failure for an invalid body, with a JSON pointer to each problem."""
    if error.error_count() == 1 and error.errors()[0]["type"] == "json_invalid":
        title = "The body contains half of a surrogate pair, or a number that is too long"
        return HttpError(400, "bad_json", title)
    details = [
        Detail(problem.reason, pointer="".join(f"/{_escaped(part)}" for part in problem.place))
        for problem in problems(error).problems
    ]
    return HttpError(422, "invalid", STATUSES_AND_TITLES[InvalidError][1], *details)


def unreadable_query(error: ValidationError) -> HttpError:
    """Return the failure for invalid query parameters, with the name of each."""
    details = [
        Detail(problem.reason, parameter=str(problem.place[0]) if problem.place else None)
        for problem in problems(error).problems
    ]
    return HttpError(400, "bad_parameter", "A query parameter cannot be understood", *details)


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def unavailable(error: Exception) -> str | None:
    """Return the title of a 503 if `error` is transient, so that a retry may succeed, else None."""
    return next((title for kind, title in UNAVAILABLE.items() if isinstance(error, kind)), None)


def _http(error: web.HTTPException) -> HttpError:
    """Return the failure for aiohttp's own errors, such as an unknown path or method."""
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    status = HTTPStatus(error.status)
    is_unknown_route = isinstance(error, web.HTTPNotFound | web.HTTPMethodNotAllowed)
    hint = ". All routes are in /openapi.json." if is_unknown_route else ""
    detail = Detail(f"{status.phrase}{hint}")
    return HttpError(error.status, status.name.lower(), status.phrase, detail, headers=headers)
