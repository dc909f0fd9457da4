"""The demo: database, daemon and a receiver that verifies, on one machine."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from dispatcher.config.sections import Config
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS, DEFAULT_ENVIRONMENT
from dispatcher.daemon.daemon import Daemon
from dispatcher.demo.application import ENVIRONMENT, Application
from dispatcher.demo.cast import OTHERS, QUICK, ROLES, Role
from dispatcher.demo.receiver import Receiver
from dispatcher.demo.show import Show
from dispatcher.encryption.cipher import Cipher
from dispatcher.services.access.tokens import Tokens
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.inputs.token_inputs import NewToken
from dispatcher.services.services import Services, ServiceSettings
from dispatcher.services.webhooks.webhook_resource import Webhook
from dispatcher.store.session import Session

NAME = "Dispatcher demo"
"""The name of the demo's token, and of its webhook in earlier versions."""
READY_LIMIT_SECONDS = 30.0
"""The longest time for the daemon to get ready."""
STATEMENT_TIMEOUT_SECONDS = 60.0
OTHER_DAEMON = (
    "Another daemon works on this database and will send some of the demo's events. Stop it, or add"
    " 127.0.0.1/32 to its egress.allow. Otherwise those events do not arrive."
)


async def run(
    config: Config,
    dsn: str,
    cipher: Cipher,
    *,
    own_database: bool,
    events: int | None,
    once: bool,
) -> bool:
    """Run the demo until it ends or is interrupted; return True if it succeeded.

    `events` is how many samples to emit, None for no limit. `once` ends the demo when they have
    arrived. Raise StoreError, and any error that ends the daemon.
    """
    session = Session(dsn, "demo", statement_timeout=STATEMENT_TIMEOUT_SECONDS)
    application = Application(session, DEFAULT_ENVIRONMENT if own_database else ENVIRONMENT)
    receiver = Receiver(body_hex_header=config.signing.body_hex_header)
    try:
        if not await application.enter():
            click.echo("Another demo runs in this database. Stop it first.", err=True)
            return False
        if not own_database and await application.daemons():
            click.echo(OTHER_DAEMON, err=True)
        async with (
            receiver,
            _registered(
                Services(session, Actor("demo"), ServiceSettings.from_config(config, cipher)),
                session,
                application,
                receiver,
                () if once else OTHERS,
            ) as webhook,
            _token(session, ALL_ENVIRONMENTS if own_database else application.environment) as token,
        ):
            daemon = Daemon(config, dsn, cipher)
            show = Show(application, receiver, webhook.id)
            showing = _shown(show, daemon, dsn, token, events=events, once=once)
            return await _run_beside(daemon, showing, if_interrupted=not once)
    finally:
        await session.close()


async def _shown(
    show: Show, daemon: Daemon, dsn: str, token: str, *, events: int | None, once: bool
) -> bool:
    """Wait for the daemon, print the addresses unless `once`, and emit samples.

    Return True if all went well.
    """
    if not await _ready(daemon):
        return False
    if once:  # addresses would be of no use, as nothing answers there when it ends
        return await show.emit_and_wait(events or 1)
    link = daemon.admin_address + daemon.dashboard.login_link(token)
    show.print_addresses(dsn, daemon.admin_address, link)
    return await show.emit_each_second(events)


async def _ready(daemon: Daemon) -> bool:
    try:
        async with asyncio.timeout(READY_LIMIT_SECONDS):
            await daemon.ready.wait()
    except TimeoutError:
        click.echo(
            f"The daemon is not ready after {READY_LIMIT_SECONDS:.0f} seconds. Look at its log"
            " above.",
            err=True,
        )
        return False
    return True


@asynccontextmanager
async def _registered(
    services: Services,
    session: Session,
    application: Application,
    receiver: Receiver,
    others: tuple[Role, ...],
) -> AsyncIterator[Webhook]:
    """Create a webhook for each role, yield that of the quick one, and delete them at the end.

    Webhooks of demos that were killed are deleted first. All have the same secret.
    """
    environment = application.environment
    async with session.transaction() as opened:
        webhooks = services.within(opened).webhooks
        for old in await webhooks.list(environment):
            if old.name in (NAME, *map(_webhook_name, ROLES)):
                await webhooks.delete(old.id)
        form = QUICK.webhook(receiver.url, _webhook_name(QUICK), None)
        quick = await webhooks.create(form, environment_id=environment)
        receiver.secret = quick.signing_secret or ""
        made = [quick]
        for role in others:
            form = role.webhook(receiver.url_of(role), _webhook_name(role), receiver.secret)
            made.append(await webhooks.create(form, environment_id=environment))
    try:
        yield quick
    finally:
        async with session.transaction() as opened:
            for webhook in made:
                await services.within(opened).webhooks.delete(webhook.id)


def _webhook_name(role: Role) -> str:
    return f"Demo: {role.name}"


@asynccontextmanager
async def _token(session: Session, environment_id: str) -> AsyncIterator[str]:
    """Create a token for the dashboard and revoke it at the end; it expires after one day."""
    form = NewToken(
        name=NAME,
        environment_id=environment_id,
        scope="admin",
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )
    actor = Actor("demo")
    async with session.transaction() as opened:
        token = await Tokens(opened, actor).create(form, environment_id=None)
    try:
        yield token.token or ""
    finally:
        async with session.transaction() as opened:
            await Tokens(opened, actor).revoke(token.id, environment_id=None)


async def _run_beside(
    daemon: Daemon, show: Coroutine[Any, Any, bool], *, if_interrupted: bool
) -> bool:
    """Run the daemon and the show together.

    Return the result of the show, or `if_interrupted` if a signal ended it.
    """
    async with asyncio.TaskGroup() as group:
        group.create_task(daemon.run(), name="daemon")
        task = group.create_task(show, name="show")
        _handle_signals(daemon, task)
        await asyncio.wait({task})
        daemon.stop()
    return if_interrupted if task.cancelled() else task.result()


def _handle_signals(daemon: Daemon, show: "asyncio.Task[bool]") -> None:
    """End the show and drain the daemon on the first signal; do not wait on the second."""

    def stop() -> None:
        if show.done():
            daemon.force()
        show.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
