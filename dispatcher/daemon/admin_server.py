"""Build the admin port of a daemon: the API, the dashboard, metrics and health checks.

`daemon.py` loads this module while the engine already sends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from socket import socket
from typing import NamedTuple

from dispatcher.api.all_routes import ROUTES
from dispatcher.api.app import AdminPort, Checks, Failing, Paused, build
from dispatcher.api.auth import Auth
from dispatcher.api.cursors import Cursors
from dispatcher.api.port.connection_limits import ConnectionLimits
from dispatcher.api.port.hosts import only_for
from dispatcher.api.requests.pipeline import RequestPipeline
from dispatcher.api.work_limits import WorkLimits
from dispatcher.config.sections import Config, Limits
from dispatcher.dashboard.all_routes import PAGES
from dispatcher.dashboard.app import Dashboard
from dispatcher.encryption.cipher import Cipher
from dispatcher.services.access.token_authentication import TokenAuthenticator, root_token_hash
from dispatcher.services.services import ServiceSettings
from dispatcher.store.daemon_sessions import DaemonSessions


@dataclass(frozen=True, slots=True)
class Probes:
    """What health checks report.

    `checks` returns the conditions of readiness, `failing` since when each failing stage has had no
    success, and `paused` what is paused.
    """

    checks: Checks
    failing: Failing
    paused: Paused


class AdminServer(NamedTuple):
    """The admin port, which is not open yet, and the dashboard on it."""

    port: AdminPort
    dashboard: Dashboard


def build_admin_server(
    config: Config,
    sessions: DaemonSessions,
    cipher: Cipher,
    probes: Probes,
    listening: Sequence[socket],
) -> AdminServer:
    """Return the admin port with the API and the dashboard, on sockets that listen already."""
    settings, root_token = ServiceSettings.from_config(config, cipher), root_token_hash(config)
    auth = Auth(TokenAuthenticator(sessions.authentication, root_token))
    body_limit = max(config.limits.body_bytes, 2 * config.delivery.max_data)
    pipeline = RequestPipeline(
        sessions.people,
        settings,
        auth=auth,
        cursors=Cursors(cipher.cursor_key()),
        work=WorkLimits(body_limit),
    )
    app = build(
        probes.checks,
        pipeline,
        ROUTES,
        body_limit_bytes=body_limit,
        failing=probes.failing,
        paused=probes.paused,
    )
    if config.admin.hosts:
        app.middlewares.append(only_for(config.admin.hosts))
    dashboard = Dashboard(
        sessions.people,
        settings,
        auth,
        root_token,
        authentication=sessions.authentication,
        title=config.dashboard.title,
    )
    dashboard.add(app, PAGES)
    app.on_cleanup.append(lambda _: settings.close())
    port = AdminPort(app, listening, _connection_limits(config.limits))
    return AdminServer(port, dashboard)


def _connection_limits(limits: Limits) -> ConnectionLimits:
    return ConnectionLimits(most=limits.connections, of_one_address=limits.connections_per_address)
