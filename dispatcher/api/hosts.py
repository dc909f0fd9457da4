"""Which names the admin port answers to."""

import re
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from dispatcher.api.types import Failure

HEALTH: Final = frozenset({"/livez", "/readyz", "/healthz"})
"""Asked by whatever watches the process, by address."""

_PORT: Final = re.compile(r":\d*$")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def only_for(hosts: Collection[str]) -> Middleware:
    """Return a middleware that answers 421 to requests for any other host, ports aside.

    Otherwise a page of a stranger whose name leads to our address would be of the same origin as
    what we answer.
    """
    names = {host.lower() for host in hosts}

    @web.middleware
    async def refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in HEALTH and _name(request) not in names:
            title = "This host is not served here: it is not in admin.hosts"
            raise Failure(HTTPStatus.MISDIRECTED_REQUEST, "misdirected_request", title)
        return await handler(request)

    return refusing


def _name(request: web.Request) -> str:
    return _PORT.sub("", request.headers.get("Host", "")).lower()
