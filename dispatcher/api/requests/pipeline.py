"""The way of a request to its response: parse, call the handler, write."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

from aiohttp import web

from dispatcher.api.auth import Auth
from dispatcher.api.cursors import Cursors
from dispatcher.api.requests import idempotency
from dispatcher.api.requests.request_parser import ParsedRequest, RequestParser
from dispatcher.api.requests.response_writer import PROPAGATION, ResponseWriter, stored_response
from dispatcher.api.routes import Route
from dispatcher.api.types import Call
from dispatcher.api.work_limits import WorkLimits
from dispatcher.core.environment_ids import DEFAULT_ENVIRONMENT
from dispatcher.services.services import ServiceSettings
from dispatcher.store.pool import Pool


class RequestPipeline:
    """The way of every request. `answer` is the handler of every route, for aiohttp."""

    def __init__(
        self,
        pool: Pool,
        settings: ServiceSettings,
        *,
        auth: Auth,
        cursors: Cursors,
        work: WorkLimits,
    ) -> None:
        self.auth = auth
        self._work = work
        self._parser = RequestParser(pool, settings, auth, cursors, work)
        self._writer = ResponseWriter(cursors)

    async def answer(self, request: web.Request, route: Route) -> web.Response:
        """Return the response to a request. Raise exceptions that `errors.explain` maps."""
        with ExitStack() as memory:
            parsed = await self._parser.parse(request, route, memory)
            if not route.is_list or route.page:
                return await self._run(parsed, route)
            async with self._work.listing(parsed.fairness_key):
                return await self._run(parsed, route)

    async def _run(self, parsed: ParsedRequest, route: Route) -> web.Response:
        """Call the handler, in a transaction if the route has one, and write its result."""
        key = parsed.idempotency
        prepared = await route.prepared(parsed.call, parsed.form)
        async with bound_call(prepared, route.transaction or key is not None) as call:
            await _check_environment(call, route)
            stored = None if key is None else await idempotency.claim(call, key)
            if stored is not None:
                return stored_response(parsed, stored)
            result = await route.handle(call, parsed.form, parsed.query)
            response = await self._writer.write(parsed, result)
            if key is not None:
                await idempotency.keep(call, key, self._writer.to_store(parsed, result))
        if route.scope == "admin" and route.is_change:
            self.auth.forget()  # a token may have been revoked
        # Nothing may fail after the commit: the response may hold the only copy of a new secret.
        wait = result.wait_until_applied
        if wait is not None and not await wait(parsed.call.pool):
            response.headers[PROPAGATION] = "pending"
        return response


@asynccontextmanager
async def bound_call(call: Call, has_transaction: bool) -> AsyncIterator[Call]:
    """Yield the call with its services bound to a transaction, if it has one."""
    if not has_transaction:
        yield call
        return
    async with call.pool.transaction() as session:
        yield replace(call, services=call.services.within(session))


async def _check_environment(call: Call, route: Route) -> None:
    """Raise NotFoundError if the environment does not exist.

    That of a bound token exists, and the default one cannot be deleted, so neither is looked up.
    """
    if route.own_environment_check:
        return
    existing = (call.principal.environment_id, DEFAULT_ENVIRONMENT)
    if not route.all_environments and call.environment_id not in existing:
        await call.services.environments.get(call.environment_id)
