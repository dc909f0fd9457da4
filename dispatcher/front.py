"""What people and programs reach: the API and the dashboard, on the admin port."""

from dispatcher.api.app import AdminPort, Checks, Failing, Paused, build
from dispatcher.api.auth import Auth
from dispatcher.api.connections import ConnectionLimits
from dispatcher.api.cursors import Cursors
from dispatcher.api.hosts import only_for
from dispatcher.api.serving import Serving
from dispatcher.api.table import ROUTES
from dispatcher.api.work import Work
from dispatcher.config import Config
from dispatcher.crypto import Cipher
from dispatcher.dashboard.app import Dashboard
from dispatcher.dashboard.pages import PAGES
from dispatcher.office import Office
from dispatcher.store.pool import Pool
from dispatcher.tokens import Gate, bootstrap


class Front:
    """`checks`: what readiness depends on; `failing`: the stages that get nowhere;
    `paused`: what is paused; `authentication`: connections for that alone."""

    def __init__(
        self,
        config: Config,
        people: Pool,
        cipher: Cipher,
        checks: Checks,
        failing: Failing,
        paused: Paused,
        *,
        authentication: Pool,
    ) -> None:
        office, first = Office(config, cipher), bootstrap(config)
        auth = Auth(Gate(authentication, first))
        body_most = max(config.limits.body_bytes, 2 * config.delivery.max_data)
        serving = Serving(
            pool=people,
            office=office,
            auth=auth,
            cursors=Cursors(cipher.cursor_key()),
            work=Work(body_most),
        )
        app = build(checks, serving, ROUTES, body_most=body_most, failing=failing, paused=paused)
        if config.admin.hosts:
            app.middlewares.append(only_for(config.admin.hosts))
        self.dashboard = Dashboard(people, office, auth, first, authentication=authentication)
        self.dashboard.add(app, PAGES)
        app.on_cleanup.append(lambda _: office.checks.close())
        connections = ConnectionLimits(
            most=config.limits.connections, of_one_address=config.limits.connections_per_address
        )
        self.port = AdminPort(app, config.admin.host, config.admin.port, connections)
