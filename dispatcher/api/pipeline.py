"""The way of a request to its response: authenticate, parse, call the handler, write."""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from aiohttp import web
from pydantic import ValidationError

from dispatcher.api import conditions, errors, json_body
from dispatcher.api.auth import Auth
from dispatcher.api.cursors import Cursors, listing
from dispatcher.api.representations import Dialect, negotiation
from dispatcher.api.routes import Route
from dispatcher.api.types import (
    Answer,
    Call,
    Detail,
    Failure,
)
from dispatcher.api.work import Work
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS, DEFAULT_ENVIRONMENT, is_environment_id
from dispatcher.core.errors import NotFoundError
from dispatcher.core.model import RawJson
from dispatcher.core.pagination import DEFAULT_LIMIT
from dispatcher.services.audit_log import Actor
from dispatcher.services.inputs.base import Form
from dispatcher.services.services import Services, ServiceSettings
from dispatcher.services.tokens import Principal
from dispatcher.store.idempotency import IdempotentResponses
from dispatcher.store.pool import Pool
from dispatcher.store.session import Queryable

LARGE = 64 * 1024
"""From this many bytes on, a body is parsed in a thread. Otherwise it would block the event loop,
which must send heartbeats."""
AT_ONCE = 10
"""How many resources are written before other tasks may run. A thread would not help: it would
compete for the interpreter lock."""

_ID = web.RequestKey("request_id", str)
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_PAGE = {"page[cursor]": "cursor", "page[limit]": "limit", "page[size]": "limit"}


@dataclass(frozen=True, slots=True)
class Serving:
    """The handler of every route, for aiohttp."""

    pool: Pool
    settings: ServiceSettings
    auth: Auth
    cursors: Cursors
    work: Work

    async def answer(self, request: web.Request, route: Route) -> web.Response:
        """Return the response to a request. Raise exceptions that `errors.explain` maps."""
        with ExitStack() as held:
            asked = await self._understood(request, route, held)
            if not route.many or route.paged:
                return await self._answered(asked, route)
            async with self.work.listing(asked.share):
                return await self._answered(asked, route)

    async def _answered(self, asked: "Understood", route: Route) -> web.Response:
        async with _session(asked.call, route) as session:
            call = replace(asked.call, services=asked.call.services.within(session))
            await _check_environment(call, route)
            replayed = await self._replayed(asked, call)
            if replayed is not None:
                return replayed
            answer = await route.handle(call)
            response = await self._response(asked, answer)
            if asked.once is not None:
                kept = self._written(asked, answer, secrets_=False)
                answered = IdempotentResponses(session)
                await answered.keep(call.environment_id, asked.once[0], response.status, kept)
        # Nothing may fail after the commit: the response may hold the only copy of a new secret.
        if answer.awaits is not None and not await answer.awaits(asked.call.pool):
            response.headers["X-Propagation"] = "pending"
        return response

    async def _understood(
        self, request: web.Request, route: Route, held: ExitStack
    ) -> "Understood":
        """Authenticate and parse a request, before it uses a database session.

        `held` keeps the memory for the body until the response is written.
        """
        dialect = negotiated(request)
        principal = await self.auth.principal(request)
        if not principal.may(route.scope):
            raise Failure(403, "forbidden", f"That needs a token with the scope {route.scope}")
        everywhere = principal.environment_id or ALL_ENVIRONMENTS
        environment_id = everywhere if route.everywhere else _environment(request, principal)
        query, position = self._query(request, route, environment_id)
        share = share_of(principal, environment_id)
        held.enter_context(self.work.body(share, _expected(request)))
        body = await self._body(request, route, share)
        body, raw = _unread(request, route, body)
        key, pool = conditions.idempotency_key(request), self.pool.of(share)
        call = Call(
            services=Services(pool, _actor(request, principal), self.settings),
            pool=pool,
            principal=principal,
            environment_id=environment_id,
            path=request.match_info,
            form=await self._form(request, route, body, share),
            query=query,
            position=position,
            revision=conditions.revision(request) if route.versioned else None,
            idempotency_key=key,
            raw=raw,
        )
        once = None
        if key is not None and request.method == "POST" and route.changes and not route.keyed:
            said = f"{request.method} {request.rel_url} {dialect.media_type}\n".encode() + body
            once = (key, hashlib.sha256(said).digest())
        return Understood(request, route, dialect, call, once, share)

    async def _replayed(self, asked: "Understood", call: Call) -> web.Response | None:
        """Return the stored response if this Idempotency-Key was used before, without its secrets.

        Return None if the key is new, or if the request has none. Raise a Failure (409) if another
        request used the key, or if no response is stored.
        """
        if asked.once is None:
            return None
        key, fingerprint = asked.once
        claim = await IdempotentResponses(call.services.session).claim(
            call.environment_id, key, fingerprint
        )
        if claim.new:
            return None
        if claim.fingerprint != fingerprint or claim.status is None:
            raise Failure(
                409,
                "idempotency_key_reused",
                "The Idempotency-Key was used for another request",
                Detail("was used for another request", header="Idempotency-Key"),
            )
        again = web.Response(status=claim.status, body=claim.body, headers=_HEADERS)
        again.content_type = asked.dialect.media_type
        again.headers["Idempotent-Replayed"] = "true"
        return again

    async def _body(self, request: web.Request, route: Route, share: str) -> bytes:
        body = await json_body.body(request)
        if body and route.form is not None:
            if request.headers.get("Content-Type") and not _body_dialect(request):
                raise Failure(
                    415,
                    "unsupported_media_type",
                    f"Bodies are {' or '.join(negotiation.DIALECTS)}",
                    headers={"Accept": ", ".join(negotiation.DIALECTS)},
                )
            check = partial(json_body.check, body)
            await self.work.in_thread(share, check) if len(body) > LARGE else check()
        return body

    async def _form(self, request: web.Request, route: Route, body: bytes, share: str) -> Any:
        if route.form is None:
            return None
        named = [v for n, v in request.match_info.items() if n != "app_id"]
        dialect = _body_dialect(request) or negotiation.envelope
        read = partial(_read, dialect, route, body, named[-1] if named else None)
        return await self.work.in_thread(share, read) if len(body) > LARGE else read()

    def _query(
        self, request: web.Request, route: Route, environment_id: str
    ) -> tuple[Form | None, str | None]:
        """Return the query parameters, and the position where the page begins."""
        given: dict[str, str] = {}
        for name, value in request.query.items():
            plain = _PAGE.get(name, name)
            if route.query is None or plain in given:
                detail = Detail("is not known here, or given twice", parameter=name[:100])
                raise Failure(400, "bad_parameter", "A query parameter is unknown", detail)
            given[plain] = value
        if route.query is None:
            return None, None
        try:
            query = route.query.model_validate_strings(given, strict=False)
        except ValidationError as error:
            raise errors.unreadable_query(error) from None
        cursor = given.get("cursor")
        if cursor is None:
            return query, None
        return query, self.cursors.open(cursor, _listing(request, environment_id, given))

    async def _response(self, asked: "Understood", answer: Answer) -> web.Response:
        response = web.Response(status=answer.status, headers=_HEADERS)
        if answer.status != HTTPStatus.NO_CONTENT:
            if isinstance(answer.body, tuple):
                answer = replace(answer, body=await _items(asked, answer))
            response.body = self._written(asked, answer, secrets_=True)
            response.content_type = asked.dialect.media_type
        if answer.revision is not None:
            response.headers["ETag"] = f'"{answer.revision}"'
        if answer.location is not None:
            response.headers["Location"] = answer.location
        return response

    def _written(self, asked: "Understood", answer: Answer, *, secrets_: bool) -> bytes:
        link = None
        if answer.next is not None:
            given = {_PAGE.get(n, n): v for n, v in asked.request.query.items()}
            listed = _listing(asked.request, asked.call.environment_id, given)
            answer = replace(answer, paged=True, next=self.cursors.seal(answer.next, listed))
            link = f"{asked.request.path}?{urlencode({**given, 'cursor': answer.next})}"
        shape = answer.shape or asked.route.shape
        return asked.dialect.write(answer, shape, link=link, secrets=secrets_)


@dataclass(frozen=True, slots=True)
class Understood:
    """A request, parsed.

    `once` is its Idempotency-Key and its fingerprint, None if it has no key. For `share`, see
    `share_of`.
    """

    request: web.Request
    route: Route
    dialect: Dialect
    call: Call
    once: tuple[str, bytes] | None
    share: str


_HEADERS = {
    "Vary": "Accept, Authorization, X-Environment-Id",
}


async def _items(asked: "Understood", answer: Answer) -> tuple[orjson.Fragment, ...]:
    """Return the resources of a list as JSON, and let other tasks run after every few."""
    shape = answer.shape or asked.route.shape
    written: list[orjson.Fragment] = []
    for number, each in enumerate(answer.body):
        if number and number % AT_ONCE == 0:
            await asyncio.sleep(0)
        item = asked.dialect.item(each, shape, secrets=True)
        written.append(orjson.Fragment(orjson.dumps(item)))
    return tuple(written)


@asynccontextmanager
async def _session(call: Call, route: Route) -> AsyncIterator[Queryable]:
    if not route.in_transaction:
        yield call.pool
        return
    async with call.pool.transaction() as session:
        yield session


async def _check_environment(call: Call, route: Route) -> None:
    """Raise NotFoundError if the environment does not exist.

    That of a bound token exists, and the default one cannot be deleted, so neither is looked up.
    """
    known = (call.principal.environment_id, DEFAULT_ENVIRONMENT)
    if not route.everywhere and call.environment_id not in known:
        await call.services.environments.get(call.environment_id)


def share_of(principal: Principal, environment_id: str) -> str:
    """Return the key by which connections are shared out.

    Operators have tokens for all environments and get a share of their own. Otherwise a busy
    environment could keep them from pausing it.
    """
    return (
        environment_id
        if principal.environment_id is not None
        else f"{ALL_ENVIRONMENTS}/{environment_id}"
    )


def negotiated(request: web.Request) -> Dialect:
    """Return the dialect of the response, which also holds for errors."""
    body = negotiation.of_body(request.headers.get("Content-Type"))
    accept = ", ".join(request.headers.getall("Accept", []))
    return negotiation.of_answer(accept, body)


def request_id(request: web.Request) -> str:
    """Return the id of a request: the caller's X-Request-Id if it is valid, else a new one."""
    known = request.get(_ID)
    if known is None:
        given = request.headers.get("X-Request-Id", "")
        known = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        request[_ID] = known
    return known


def page_limit(query: Any) -> int:
    """Return the requested number of items on a page, or the default."""
    return query.limit or DEFAULT_LIMIT


def uuid(text: str) -> UUID:
    """Return an id in its canonical spelling. Raise NotFoundError for any other text."""
    try:
        found = UUID(text)
    except ValueError:
        found = None
    if found is None or str(found) != text.lower():
        raise NotFoundError(f"there is nothing with the id {text[:100]!r}")
    return found


def _environment(request: web.Request, principal: Principal) -> str:
    """Return the environment that a request is about.

    Raise NotFoundError for one that the token may not use, as if it did not exist.
    """
    named = request.match_info.get("app_id") or request.headers.get("X-Environment-Id")
    if named is None:
        return principal.environment_id or DEFAULT_ENVIRONMENT
    if not is_environment_id(named) or principal.environment_id not in (None, named):
        raise NotFoundError(f"there is no environment {named[:64]!r}")
    return named


def _expected(request: web.Request) -> int:
    """Return the largest possible size of the body in bytes, before it arrives."""
    if not request.can_read_body:
        return 0
    most = request.client_max_size
    return most if request.content_length is None else min(request.content_length, most)


def _unread(request: web.Request, route: Route, body: bytes) -> tuple[bytes, RawJson | None]:
    """Return the body with null for the route's `raw` field, and the JSON text of that field."""
    if route.raw is None or not body:
        return body, None
    dialect = _body_dialect(request) or negotiation.envelope
    path = dialect.pointer((route.raw,)).split("/")[1:]
    text = body.decode()
    found = json_body.raw(text, path)
    if found is None:
        return body, None
    start, end = found
    return (text[:start] + "null" + text[end:]).encode(), RawJson(text[start:end])


def _read(dialect: Dialect, route: Route, body: bytes, id_: str | None) -> Form:
    form: type[Form] = route.form  # type: ignore[assignment] # the caller has checked it
    try:
        return dialect.read(form, route.shape, body, id_)
    except ValidationError as error:
        raise errors.malformed(error) from None


def _body_dialect(request: web.Request) -> Dialect | None:
    return negotiation.of_body(request.headers.get("Content-Type"))


def _actor(request: web.Request, principal: Principal) -> Actor:
    return Actor(f"token:{principal.token_id}", request_id(request), request.remote)


def _listing(request: web.Request, environment_id: str, given: Mapping[str, str]) -> str:
    filters = {name: value for name, value in given.items() if name not in ("cursor", "limit")}
    return listing(request.path, environment_id, filters)
