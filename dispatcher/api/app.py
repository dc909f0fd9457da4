"""The admin application and the port that serves it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from socket import socket
from time import monotonic

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client.aiohttp import make_aiohttp_handler

from dispatcher.api import errors
from dispatcher.api.openapi import document as document_module
from dispatcher.api.openapi.schemas import DIALECTS, DIALECTS_BY_NAME
from dispatcher.api.port.connection_limits import ConnectionLimits
from dispatcher.api.port.connections import HEADERS, Connection, Connections
from dispatcher.api.port.first_request import FirstRequest
from dispatcher.api.representations import Dialect, negotiation
from dispatcher.api.requests import expectations
from dispatcher.api.requests.pipeline import RequestPipeline
from dispatcher.api.requests.request_parser import negotiated
from dispatcher.api.requests.request_values import request_id
from dispatcher.api.routes import Route
from dispatcher.api.types import Detail, HttpError
from dispatcher.telemetry import metrics, observe

Checks = Callable[[], Mapping[str, bool]]
"""Return every readiness check by name, with True if it passes. The names and values are public:
`/readyz` needs no token."""

Failing = Callable[[], Mapping[str, str]]
"""Return the stages of the daemon that keep failing, each with the time since which it fails."""

Paused = Callable[[], Mapping[str, object] | None]
"""Return what is paused: `all` (since when, or None) and the number of paused `environments`.
Return None while the daemon does not know it yet."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_LIMIT_BYTES = 2**20
"""Bytes of a request body. Larger ones get a 413."""
HEADER_LIMIT_BYTES = 16 * 1024
"""Bytes of one line of the request head. Without a limit, it could fill the memory."""


def build(
    checks: Checks,
    pipeline: RequestPipeline,
    routes: Sequence[Route],
    *,
    body_limit_bytes: int = BODY_LIMIT_BYTES,
    failing: Failing = dict,
    paused: Paused = lambda: None,
) -> web.Application:
    """Return the admin application with the health checks, the metrics and all `routes`.

    `body_limit_bytes` limits a request body, in bytes. `checks`, `failing` and `paused` supply what
    `/readyz` reports.
    """

    async def readyz(_: web.Request) -> web.Response:
        results = checks()
        ready = all(results.values())
        status = "ready" if ready else "not ready"
        report = {"status": status, "checks": results, "failing": failing(), "paused": paused()}
        return _json(200 if ready else 503, report)

    description = _Description(routes)
    handlers: list[tuple[str, str, Handler]] = [
        ("GET", "/livez", _livez),
        ("GET", "/readyz", readyz),
        ("GET", "/healthz", readyz),
        ("GET", "/openapi.json", partial(_openapi, pipeline, description)),
        ("GET", "/metrics", partial(_metrics, pipeline)),
    ]
    for route in routes:
        answer = partial(pipeline.answer, route=route)
        handlers += [(method, path, answer) for method, path in route.paths()]
    app = web.Application(client_max_size=body_limit_bytes, middlewares=[answering])
    app.on_response_prepare.append(_complete)
    for method, path, handler in handlers:
        # HEAD works wherever GET works: aiohttp leaves out the body.
        for verb in ("GET", "HEAD") if method == "GET" else (method,):
            app.router.add_route(verb, path, handler, expect_handler=expectations.invite_body)
    return app


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Handle a request: add the common headers, and convert an exception to an error response.

    The error is written in the dialect that the request asks for. Every response carries the
    request's id in `X-Request-Id`.
    """
    began = monotonic()
    connection = request.protocol if isinstance(request.protocol, Connection) else None
    if connection is not None:
        connection.began(request)
    try:
        expectations.check(request)
        response = await handler(request)
    except Exception as error:  # noqa: BLE001 - no caller above could answer the request
        response = _refusal(request, error)
    finally:
        if connection is not None:
            connection.note_end()
    if _asks_for_another_protocol(request):
        response.force_close()
    response.headers["X-Request-Id"] = request_id(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    resource = request.match_info.route.resource
    observe.requests.answered(
        request.method,
        resource.canonical if resource else "unknown",
        response.status,
        monotonic() - began,
    )
    return response


async def _complete(request: web.Request, response: web.StreamResponse) -> None:
    """Add the common headers to a response that `answering` has not seen.

    aiohttp itself answers an `Expect` that it does not know on an unknown path.
    """
    if "X-Request-Id" not in response.headers:
        response.headers.update({**HEADERS, "X-Request-Id": request_id(request)})


def _asks_for_another_protocol(request: web.Request) -> bool:
    """Return True if aiohttp parses nothing more after this request.

    Otherwise the next request on the connection would get no response.
    """
    upgrade = request.headers.get("Upgrade", "").lower()
    return request.method == "CONNECT" or upgrade == "websocket"


def _refusal(request: web.Request, error: Exception) -> web.Response:
    """Return the error response, in the envelope if the request allows no dialect."""
    try:
        dialect = negotiated(request)
    except HttpError as refused:
        dialect = negotiation.envelope
        error = error if isinstance(error, HttpError) else refused
    failure = errors.explain(error, dialect, request_id(request))
    response = web.Response(
        status=failure.status,
        body=dialect.write_error(failure, request_id(request)),
        headers=failure.headers,
    )
    response.content_type = dialect.media_type
    return response


class _Unreadable(logging.Filter):
    """A log filter that drops aiohttp's records of requests it could not parse.

    Otherwise the log would quote those requests, with the tokens in them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a record of a request that could not be parsed."""
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


def _protocol_log() -> logging.Logger:
    logger = logging.getLogger("aiohttp.server.admin")
    if not any(isinstance(known, _Unreadable) for known in logger.filters):
        logger.addFilter(_Unreadable())
    return logger


class AdminPort:
    """The admin application on sockets that listen already: see `dispatcher.api.port.sockets`."""

    def __init__(
        self,
        app: web.Application,
        listening: Sequence[socket],
        limits: ConnectionLimits | None = None,
    ) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        self._listening = listening
        self._limits = limits or ConnectionLimits()
        self._connections = Connections(self._limits)
        self._servers: list[asyncio.Server] = []
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Accept connections."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        for listening in self._listening:
            self._servers.append(await loop.create_server(self._connection, sock=listening))
        self._watching = asyncio.create_task(self._connections.watch(), name="connections")

    async def close(self) -> None:
        """Stop listening, and close all connections."""
        for server in self._servers:
            server.close()
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        self._connections.drop_unread()
        await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return FirstRequest(self._connections.add, self._connections.discard, self._handler)

    def _handler(self, first: FirstRequest) -> asyncio.Protocol:
        """Return what handles the requests of a connection. Raise RuntimeError if not open."""
        server = self._runner.server
        if server is None:
            raise RuntimeError("the admin port is not open")
        return Connection(
            self._connections,
            first,
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,
            auto_decompress=False,
            logger=_protocol_log(),
            max_line_size=HEADER_LIMIT_BYTES,
            max_field_size=HEADER_LIMIT_BYTES,
            keepalive_timeout=self._limits.silent_seconds,
        )


async def _livez(_: web.Request) -> web.Response:
    """Return 200: a response shows that the event loop runs, which is all that liveness means."""
    return _json(200, {"status": "alive"})


class _Description:
    """The OpenAPI documents, each built in a thread when it is first requested.

    Building one takes about 0.1 seconds. At startup it would delay the first deliveries by that.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._made: dict[str | None, asyncio.Future[bytes]] = {}

    async def read(self, dialect: str | None) -> bytes:
        """Return the document for one dialect, or for all if `dialect` is None.

        Raise KeyError if there is no such dialect.
        """
        dialects = DIALECTS if dialect is None else DIALECTS_BY_NAME[dialect]
        if dialect not in self._made:
            self._made[dialect] = asyncio.ensure_future(asyncio.to_thread(self._make, dialects))
        return await asyncio.shield(self._made[dialect])

    def _make(self, dialects: Sequence[Dialect]) -> bytes:
        return orjson.dumps(document_module.describe(self._routes, dialects))


async def _openapi(
    pipeline: RequestPipeline, description: _Description, request: web.Request
) -> web.Response:
    """Return the OpenAPI document. Raise an HttpError (400) if there is no such dialect."""
    await pipeline.auth.principal(request)
    try:
        described = await description.read(request.query.get("dialect"))
    except KeyError:
        known = " or ".join(DIALECTS_BY_NAME)
        detail = Detail(f"must be {known}", parameter="dialect")
        raise HttpError(
            400, "bad_parameter", "There is no document for this dialect", detail
        ) from None
    return web.Response(body=described, content_type="application/json")


async def _metrics(pipeline: RequestPipeline, request: web.Request) -> web.StreamResponse:
    principal = await pipeline.auth.principal(request)
    if principal.environment_id is not None:  # the metrics sum up all environments
        raise HttpError(
            403,
            "forbidden",
            "The token belongs to one environment. Use a token for all environments.",
        )
    return await make_aiohttp_handler(metrics.REGISTRY)(request)


def _json(status: int, document: object) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(document),
        content_type="application/json",
    )
