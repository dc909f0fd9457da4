"""The host names under which the admin port may be reached."""

import re
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from dispatcher.api.types import Detail, HttpError

HEALTH: Final = frozenset({"/livez", "/readyz", "/healthz"})
"""Paths that any host name may use: probes call them by IP address."""

_PORT: Final = re.compile(r":\d*$")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def only_for(hosts: Collection[str]) -> Middleware:
    """Return a middleware that answers 421 unless the Host header, without its port, is in `hosts`.

    Otherwise DNS rebinding would work: a foreign page could point its own name at this address, and
    its scripts could read the responses as same-origin.
    """
    names = {host.lower() for host in hosts}

    @web.middleware
    async def refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in HEALTH and (name := _name(request)) not in names:
            title = "This host is not served here: it is not in admin.hosts"
            detail = Detail(f"{name[:100]!r} is not in admin.hosts", header="Host")
            raise HttpError(HTTPStatus.MISDIRECTED_REQUEST, "misdirected_request", title, detail)
        return await handler(request)

    return refusing


def _name(request: web.Request) -> str:
    return _PORT.sub("", request.headers.get("Host", "")).lower()
