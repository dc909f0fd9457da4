"""The parsing of a request, before it uses a database session."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

from aiohttp import web
from pydantic import ValidationError

from dispatcher.api import errors
from dispatcher.api.auth import Auth
from dispatcher.api.cursors import Cursors, listing
from dispatcher.api.representations import Dialect, negotiation
from dispatcher.api.requests import conditional_headers, event_batch, json_body
from dispatcher.api.requests.idempotency import IdempotencyKey
from dispatcher.api.requests.request_values import (
    actor_of,
    check_named_environments,
    environment_id_of,
    fairness_key_of,
)
from dispatcher.api.routes import Route
from dispatcher.api.types import Call, Detail, HttpError
from dispatcher.api.work_limits import WorkLimits
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.errors import InvalidError, Problem
from dispatcher.core.model import RawJson
from dispatcher.services.access.token_authentication import Principal
from dispatcher.services.inputs.base import Form
from dispatcher.services.services import Services, ServiceSettings
from dispatcher.store.pool import Pool
from dispatcher.store.queries.events import NewEventRow

T = TypeVar("T")

LARGE_BODY_BYTES = 64 * 1024
"""From this size on, a body is parsed in a thread. Otherwise it would block the event loop, which
must send heartbeats."""

FORM_LIMIT_BYTES = 256 * 1024
FORM_LIMIT_VALUES = 10_000
"""A body that has more of both, without its verbatim field, is refused before its validation.

Validation holds the interpreter lock, and copies what is wrong for each error: with 1 MB of small
values, one client could keep the event loop from its heartbeats for a second. The longest valid
values, three PEM texts, have three quarters of these bytes.
"""

_PAGE_PARAMETERS = {"page[cursor]": "cursor", "page[limit]": "limit", "page[size]": "limit"}


class _Body(NamedTuple):
    """A body without the route's verbatim field, the text of that field, and events of a batch."""

    text: bytes
    verbatim: RawJson | None = None
    events: Sequence[NewEventRow] = ()


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A request, parsed.

    - `form` and `query` are the inputs of the handler.
    - `parameters` are the query parameters by their plain names.
    - `idempotency` is None if there is no Idempotency-Key, or if the handler deals with it.
    - For `fairness_key`, see `fairness_key_of`.
    """

    request: web.Request
    route: Route
    dialect: Dialect
    call: Call
    form: Form | None
    query: Form | None
    parameters: Mapping[str, str]
    idempotency: IdempotencyKey | None
    fairness_key: str


@dataclass(frozen=True, slots=True)
class RequestParser:
    """The parser of the requests for all routes."""

    pool: Pool
    settings: ServiceSettings
    auth: Auth
    cursors: Cursors
    work: WorkLimits

    async def parse(self, request: web.Request, route: Route, memory: ExitStack) -> ParsedRequest:
        """Authenticate and parse a request. Raise exceptions that `errors.explain` maps.

        `memory` keeps the memory for the body until the response is written.
        """
        dialect = negotiated(request)
        principal = await self.auth.principal(request)
        if not principal.may(route.scope):
            raise HttpError(403, "forbidden", f"The token lacks the scope `{route.scope}`")
        environment_id = _environment_id(request, route, principal)
        parameters, query = _query(request, route)
        position = self._position(request, environment_id, parameters)
        fairness_key = fairness_key_of(principal, environment_id)
        body = await self._body(request, route, fairness_key, memory)
        key, pool = conditional_headers.idempotency_key(request), self.pool.of(fairness_key)
        call = Call(
            services=Services(pool, actor_of(request, principal), self.settings),
            pool=pool,
            principal=principal,
            environment_id=environment_id,
            path=request.match_info,
            position=position,
            revision=conditional_headers.revision(request) if route.if_match else None,
            idempotency_key=key,
            verbatim=body.verbatim,
            events=body.events,
        )
        form = None if body.events else await self._form(request, route, body.text, fairness_key)
        idempotency = _idempotency(request, route, key, dialect, body)
        return ParsedRequest(
            request, route, dialect, call, form, query, parameters, idempotency, fairness_key
        )

    def _position(
        self, request: web.Request, environment_id: str, parameters: Mapping[str, str]
    ) -> str | None:
        """Return the position in the cursor, None if there is no cursor."""
        cursor = parameters.get("cursor")
        if cursor is None:
            return None
        return self.cursors.open(cursor, listing(request.path, environment_id, parameters))

    async def _body(
        self, request: web.Request, route: Route, fairness_key: str, memory: ExitStack
    ) -> _Body:
        """Return the body of a request, checked to be JSON if the route has a form."""
        limit = _limit_bytes(request, route)
        hold = memory.enter_context(self.work.body(fairness_key, _largest_body(request, limit)))
        text = await json_body.body(request, limit, hold)
        batch = _batch_format(request, route, text)
        if batch is not None:
            return _Body(text, events=await self._events(batch, route, text, fairness_key))
        await self._check(request, route, text, fairness_key)
        return _Body(*await self._without_verbatim_field(request, route, text, fairness_key))

    async def _check(
        self, request: web.Request, route: Route, body: bytes, fairness_key: str
    ) -> None:
        """Check that a body is JSON, if the route has a form."""
        if not body or route.form is None:
            return
        if request.headers.get("Content-Type") and not _body_dialect(request):
            known = [*negotiation.DIALECTS, *([event_batch.NDJSON] if route.batch else [])]
            raise HttpError(
                415,
                "unsupported_media_type",
                f"The media type of the body must be {' or '.join(known)}",
                headers={"Accept": ", ".join(known)},
            )
        await self._parse(body, partial(json_body.check, body), fairness_key)
        if route.verbatim_field is None:
            _limit(body)

    async def _events(
        self, format_: event_batch.BatchFormat, route: Route, body: bytes, fairness_key: str
    ) -> Sequence[NewEventRow]:
        """Return the events of a batch. There is at least one."""
        assert route.batch is not None  # noqa: S101 - otherwise the body is no batch
        most_data = self.settings.delivery.max_data
        read = partial(
            event_batch.read, format_, route.batch, route.shape, body, most_data=most_data
        )
        return await self._parse(body, read, fairness_key)

    async def _without_verbatim_field(
        self, request: web.Request, route: Route, body: bytes, fairness_key: str
    ) -> tuple[bytes, RawJson | None]:
        """Return the body with null for the route's verbatim field, and that field's JSON text."""
        if route.verbatim_field is None or not body:
            return body, None
        dialect = _body_dialect(request) or negotiation.envelope
        path = dialect.pointer((route.verbatim_field,)).split("/")[1:]
        rest, verbatim = await self._parse(body, partial(_cut_out, body, path), fairness_key)
        _limit(rest)
        return rest, verbatim

    async def _form(
        self, request: web.Request, route: Route, body: bytes, fairness_key: str
    ) -> Form | None:
        """Return the form in a body, None if the route has none."""
        if route.form is None:
            return None
        ids = [value for name, value in request.match_info.items() if name != "app_id"]
        dialect = _body_dialect(request) or negotiation.envelope
        read = partial(_read_form, dialect, route.form, route, body, ids[-1] if ids else None)
        return await self._parse(body, read, fairness_key)

    async def _parse(self, body: bytes, parse: Callable[[], T], fairness_key: str) -> T:
        """Return the result of `parse`, which reads the body: in a thread if that is large."""
        if len(body) > LARGE_BODY_BYTES:
            return await self.work.in_thread(fairness_key, parse)
        return parse()


def negotiated(request: web.Request) -> Dialect:
    """Return the dialect of the response, which also holds for errors."""
    accept = ", ".join(request.headers.getall("Accept", []))
    return negotiation.of_answer(accept, _body_dialect(request))


def _environment_id(request: web.Request, route: Route, principal: Principal) -> str:
    if route.all_environments:
        check_named_environments(request, principal)
        return principal.environment_id or ALL_ENVIRONMENTS
    return environment_id_of(request, principal)


def _query(request: web.Request, route: Route) -> tuple[Mapping[str, str], Form | None]:
    """Return the query parameters by their plain names, and as the model of the route."""
    parameters: dict[str, str] = {}
    for name, value in request.query.items():
        plain = _PAGE_PARAMETERS.get(name, name)
        if route.query is None:
            detail = Detail("is not known here", parameter=name[:100])
            raise HttpError(400, "bad_parameter", "A query parameter is unknown", detail)
        if plain in parameters:
            detail = Detail("is given twice", parameter=name[:100])
            raise HttpError(400, "bad_parameter", "A query parameter is given twice", detail)
        parameters[plain] = value
    if route.query is None:
        return parameters, None
    try:
        return parameters, route.query.model_validate_strings(parameters, strict=False)
    except ValidationError as error:
        raise errors.unreadable_query(error) from None


def _limit_bytes(request: web.Request, route: Route) -> int:
    """Return the size of the largest body that is read, in bytes."""
    if route.batch is None:
        return request.client_max_size
    return max(request.client_max_size, event_batch.BATCH_LIMIT_BYTES)


def _largest_body(request: web.Request, limit: int) -> int:
    """Return the largest possible size of the body in bytes, before it arrives.

    Of a body of unknown size, return no more than that of most routes: memory for the rest is held
    when it arrives.
    """
    if not request.can_read_body:
        return 0
    if request.content_length is None:
        return request.client_max_size
    return min(request.content_length, limit)


def _batch_format(
    request: web.Request, route: Route, body: bytes
) -> event_batch.BatchFormat | None:
    """Return the format of the events in a body, None if it is not a batch."""
    if route.batch is None:
        return None
    content_type = request.headers.get("Content-Type")
    dialect = _body_dialect(request)
    if dialect is None and content_type and not event_batch.is_ndjson(content_type):
        return None
    return event_batch.format_of(content_type, dialect or negotiation.envelope, body)


def _limit(body: bytes) -> None:
    """Raise an InvalidError if a body has so many values that validating it would take too long."""
    if len(body) > FORM_LIMIT_BYTES and body.count(b",") > FORM_LIMIT_VALUES:
        reason = (
            f"must have at most {FORM_LIMIT_VALUES:,} values, or at most {FORM_LIMIT_BYTES} bytes,"
            " not counting an event's data"
        )
        raise InvalidError(Problem((), reason))


def _cut_out(body: bytes, path: Sequence[str]) -> tuple[bytes, RawJson | None]:
    """Return the body with null for the value at `path`, and the JSON text of that value."""
    text = body.decode()
    span = json_body.span_of(text, path)
    if span is None:
        return body, None
    start, end = span
    return (text[:start] + "null" + text[end:]).encode(), RawJson(text[start:end])


def _read_form(
    dialect: Dialect, form: type[Form], route: Route, body: bytes, id_: str | None
) -> Form:
    try:
        return dialect.read(form, route.shape, body, id_)
    except ValidationError as error:
        raise errors.malformed(error) from None


def _body_dialect(request: web.Request) -> Dialect | None:
    return negotiation.of_body(request.headers.get("Content-Type"))


def _idempotency(
    request: web.Request,
    route: Route,
    key: str | None,
    dialect: Dialect,
    body: _Body,
) -> IdempotencyKey | None:
    """Return the Idempotency-Key with the fingerprint of the request, None if none applies."""
    if key is None or request.method != "POST" or not route.is_change:
        return None
    if route.own_idempotency and not body.events:
        return None
    return IdempotencyKey.of(key, f"{request.method} {request.rel_url}", dialect, body.text)
