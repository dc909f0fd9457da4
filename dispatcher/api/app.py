"""The admin application and its port."""

from collections.abc import Callable, Mapping

import orjson
from aiohttp import web

Checks = Callable[[], Mapping[str, bool]]
"""What readiness depends on, by name. No secrets: anybody who reaches the port may read it."""


def build(checks: Checks) -> web.Application:
    async def readyz(_: web.Request) -> web.Response:
        found = checks()
        ready = all(found.values())
        status = "ready" if ready else "not ready"
        return _json(200 if ready else 503, {"status": status, "checks": found})

    app = web.Application(client_max_size=2**20)
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/healthz", readyz)
    return app


class AdminPort:
    """The application, served. `address` is known once it is open."""

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        self._host = host
        self._port = port

    @property
    def address(self) -> str:
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def open(self) -> None:
        """OSError: the port can not be had."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def close(self) -> None:
        await self._runner.cleanup()


async def _livez(_: web.Request) -> web.Response:
    """The event loop turns: there is nothing else to be alive."""
    return _json(200, {"status": "alive"})


def _json(status: int, document: object) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(document),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
