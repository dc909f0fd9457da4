"""The admin application and its port."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client.aiohttp import make_aiohttp_handler

from dispatcher.api import errors
from dispatcher.api.connections import HEADERS, Connection, ConnectionLimits, Connections
from dispatcher.api.openapi import document as document_module
from dispatcher.api.openapi.schemas import BY_NAME, TONGUES, Tongue
from dispatcher.api.pipeline import Serving, negotiated, request_id
from dispatcher.api.representations import negotiation
from dispatcher.api.routes import Route
from dispatcher.api.types import Detail, Failure
from dispatcher.telemetry import metrics, observe

Checks = Callable[[], Mapping[str, bool]]
"""What readiness depends on, by name. No secrets: anybody who reaches the port may read it."""

Failing = Callable[[], Mapping[str, str]]
"""Stages of the daemon that get nowhere, and since when."""

Paused = Callable[[], Mapping[str, object] | None]
"""What is paused: `all`, since when, and how many `environments`. None: not known yet."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_MOST = 2**20
HEADER_MOST = 16 * 1024


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
    # HEAD works wherever GET does: aiohttp leaves the body out.
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/healthz", readyz)
    description = _Description(routes)
    app.router.add_get("/openapi.json", partial(_openapi, serving, description))
    app.router.add_get("/metrics", partial(_metrics, serving))
    for route in routes:
        for method, path in route.paths():
            handler = partial(serving.answer, route=route)
            app.router.add_route(method, path, handler)
            if method == "GET":
                app.router.add_route("HEAD", path, handler)
    return app


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every answer has the request's id; an error is said in the dialect that was asked for."""
    began = monotonic()
    connection = request.protocol if isinstance(request.protocol, Connection) else None
    if connection is not None:
        connection.began(request)
    try:
        response = await handler(request)
    except Exception as error:  # noqa: BLE001 - there is nobody above who could answer
        response = _refusal(request, error)
    finally:
        if connection is not None:
            connection.ended()
    response.headers["X-Request-Id"] = request_id(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
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
    failure = errors.explain(error, dialect, request_id(request))
    response = web.Response(
        status=failure.status,
        body=dialect.refuse(failure, request_id(request)),
        headers=failure.headers,
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


class AdminPort:
    """The application, served. `address` is known once it is open."""

    def __init__(
        self, app: web.Application, host: str, port: int, limits: ConnectionLimits | None = None
    ) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        self._host = host
        self._port = port
        self._limits = limits or ConnectionLimits()
        self._connections = Connections(self._limits)
        self._listening: asyncio.Server | None = None
        self._watching: asyncio.Task[None] | None = None

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
        self._listening = await loop.create_server(self._connection, self._host, self._port)
        self._watching = asyncio.create_task(self._connections.watch(), name="connections")

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.close()
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None:
            raise RuntimeError("the admin port is not open")
        return Connection(
            self._connections,
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,
            auto_decompress=False,
            logger=_protocol_log(),
            max_line_size=HEADER_MOST,
            max_field_size=HEADER_MOST,
            keepalive_timeout=self._limits.silent_seconds,
        )


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
        return orjson.dumps(document_module.describe(self._routes, tongues))


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
    principal = await serving.auth.principal(request)
    if principal.environment_id is not None:  # the figures are those of all environments together
        raise Failure(403, "forbidden", "That needs a token for all environments")
    return await make_aiohttp_handler(metrics.REGISTRY)(request)


def _json(status: int, document: object) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(document),
        content_type="application/json",
    )
