"""The admin application and its port."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import cast

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client.aiohttp import make_aiohttp_handler

from dispatcher import metrics, observe
from dispatcher.api import failures, negotiation, openapi
from dispatcher.api.answers import Detail, Failure
from dispatcher.api.described import BY_NAME, TONGUES, Tongue
from dispatcher.api.routes import Route
from dispatcher.api.serving import Serving, negotiated, request_id

Checks = Callable[[], Mapping[str, bool]]
"""What readiness depends on, by name. No secrets: anybody who reaches the port may read it."""

Failing = Callable[[], Mapping[str, str]]
"""Stages of the daemon that get nowhere, and since when."""

Paused = Callable[[], Mapping[str, object] | None]
"""What is paused: `all`, since when, and how many `environments`. None: not known yet."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_MOST = 2**20
HEADER_MOST = 16 * 1024
CONNECTIONS_MOST = 512
"""More at one time are turned away: each is a file descriptor, and sending needs some too."""
SILENT_SECONDS = 20.0
"""A connection ends on which no whole request began for so long."""


def build(
    checks: Checks,
    serving: Serving,
    routes: Sequence[Route],
    *,
    body_most: int = BODY_MOST,
    failing: Failing = dict,
    paused: Paused = lambda: None,
) -> web.Application:
    """`body_most` is how many bytes a request's body may have."""

    async def readyz(_: web.Request) -> web.Response:
        found = checks()
        ready = all(found.values())
        status = "ready" if ready else "not ready"
        said = {"status": status, "checks": found, "failing": failing(), "paused": paused()}
        return _json(200 if ready else 503, said)

    app = web.Application(client_max_size=body_most, middlewares=[answering])
    app.router.add_get("/livez", _livez, allow_head=False)
    app.router.add_get("/readyz", readyz, allow_head=False)
    app.router.add_get("/healthz", readyz, allow_head=False)
    description = _Description(routes)
    app.router.add_get("/openapi.json", partial(_openapi, serving, description), allow_head=False)
    app.router.add_get("/metrics", partial(_metrics, serving), allow_head=False)
    for route in routes:
        for method, path in route.paths():
            app.router.add_route(method, path, partial(serving.answer, route=route))
    return app


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every answer has the request's id; an error is said in the dialect that was asked for."""
    began = monotonic()
    try:
        response = await handler(request)
    except Exception as error:  # noqa: BLE001 - there is nobody above who could answer
        response = _refusal(request, error)
    response.headers["X-Request-Id"] = request_id(request)
    response.headers["Server"] = "dispatcher"  # and not which versions of what
    resource = request.match_info.route.resource
    observe.answered(
        request.method,
        resource.canonical if resource else "unknown",
        response.status,
        monotonic() - began,
    )
    return response


def _refusal(request: web.Request, error: Exception) -> web.Response:
    try:
        dialect = negotiated(request)
    except Failure as refused:
        dialect = negotiation.envelope
        error = error if isinstance(error, Failure) else refused
    failure = failures.explain(error, dialect, request_id(request))
    response = web.Response(
        status=failure.status,
        body=dialect.refuse(failure, request_id(request)),
        headers={"Cache-Control": "no-store", **failure.headers},
    )
    response.content_type = dialect.media_type
    return response


class _Unreadable(logging.Filter):
    """Drops what aiohttp tells of requests it could not parse: it quotes them, tokens and all."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


def _protocol_log() -> logging.Logger:
    logger = logging.getLogger("aiohttp.server.admin")
    if not any(isinstance(each, _Unreadable) for each in logger.filters):
        logger.addFilter(_Unreadable())
    return logger


class _TurnedAway(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()


class AdminPort:
    """The application, served. `address` is known once it is open."""

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            auto_decompress=False,
            logger=_protocol_log(),
            max_line_size=HEADER_MOST,
            max_field_size=HEADER_MOST,
            keepalive_timeout=SILENT_SECONDS,
        )
        self._host = host
        self._port = port
        self._listening: asyncio.Server | None = None

    @property
    def address(self) -> str:
        if self._listening is None:
            raise RuntimeError("the admin port is not open")
        host, port = self._listening.sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def open(self) -> None:
        """OSError: the port can not be had."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._admitted, self._host, self._port)

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()

    def _admitted(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None or len(server.connections) >= CONNECTIONS_MOST:
            return _TurnedAway()
        return server()


async def _livez(_: web.Request) -> web.Response:
    """The event loop turns: there is nothing else to be alive."""
    return _json(200, {"status": "alive"})


class _Description:
    """The OpenAPI documents, each made when it is first asked for, beside the event loop.

    One takes a third of a second, which a daemon that restarts has not: its deliveries wait.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._made: dict[str | None, asyncio.Future[bytes]] = {}

    async def read(self, dialect: str | None) -> bytes:
        """Return the document for one dialect; None: for all. KeyError for an unknown one."""
        tongues = TONGUES if dialect is None else BY_NAME[dialect]
        if dialect not in self._made:
            self._made[dialect] = asyncio.ensure_future(asyncio.to_thread(self._make, tongues))
        return await asyncio.shield(self._made[dialect])

    def _make(self, tongues: Sequence[Tongue]) -> bytes:
        return orjson.dumps(openapi.describe(self._routes, tongues))


async def _openapi(
    serving: Serving, description: _Description, request: web.Request
) -> web.Response:
    await serving.auth.principal(request)
    try:
        described = await description.read(request.query.get("dialect"))
    except KeyError:
        known = " or ".join(BY_NAME)
        detail = Detail(f"must be {known}", parameter="dialect")
        raise Failure(
            400, "bad_parameter", "There is no document for this dialect", detail
        ) from None
    return web.Response(body=described, content_type="application/json")


async def _metrics(serving: Serving, request: web.Request) -> web.StreamResponse:
    """Figures of single environments are not for a token that is bound to one."""
    principal = await serving.auth.principal(request)
    bound = principal.environment_id is not None
    registry = metrics.REGISTRY if bound else metrics.EVERYTHING
    return await make_aiohttp_handler(registry)(request)


def _json(status: int, document: object) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(document),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
