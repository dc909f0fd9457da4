"""The demo: database, daemon and a receiver that verifies, on one machine."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from dispatcher.config.sections import Config
from dispatcher.daemon import Daemon
from dispatcher.demo.application import ENVIRONMENT, Application
from dispatcher.demo.receiver import Receiver
from dispatcher.demo.show import Performance
from dispatcher.encryption.cipher import Cipher
from dispatcher.services.audit_log import Actor
from dispatcher.services.inputs.tokens import EVERY, NewToken
from dispatcher.services.inputs.webhooks import NewWebhook
from dispatcher.services.services import Services, ServiceSettings
from dispatcher.services.tokens import Tokens
from dispatcher.services.webhooks import Webhook
from dispatcher.store.session import Session

NAME = "Dispatcher demo"
"""The name of the demo's webhook and token."""
READY_WITHIN = 30.0
"""Seconds for the daemon to get ready."""
OTHER_DAEMON = (
    "Another daemon works on this database and will send some of the demo's events:"
    " those do not arrive unless its egress.allow has 127.0.0.1/32."
)


async def give(
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
    arrived. Raises StoreUnavailable, and any error that ends the daemon.
    """
    session = Session(dsn, "demo", statement_timeout=60.0)
    application = Application(session, "env_default" if own_database else ENVIRONMENT)
    receiver = Receiver(body_hex_header=config.signing.body_hex_header)
    try:
        if not await application.enter():
            click.echo("another demo runs in this database: stop it first", err=True)
            return False
        if not own_database and await application.daemons():
            click.echo(OTHER_DAEMON, err=True)
        async with (
            receiver,
            _registered(config, session, cipher, application, receiver) as webhook,
            _token(session, EVERY if own_database else application.environment) as token,
        ):
            daemon = Daemon(config, dsn, cipher)
            performance = Performance(application, receiver, webhook.id)

            async def perform() -> bool:
                if not await _ready(daemon):
                    return False
                link = daemon.admin_address + daemon.dashboard.invite(token)
                performance.introduce(dsn, daemon.admin_address, link)
                return await (performance.once(events or 1) if once else performance.go_on(events))

            interrupted = not once
            return await _play(daemon, perform(), interrupted)
    finally:
        await session.close()


async def _ready(daemon: Daemon) -> bool:
    try:
        async with asyncio.timeout(READY_WITHIN):
            await daemon.ready.wait()
    except TimeoutError:
        click.echo(f"the daemon is not ready after {READY_WITHIN:.0f} seconds", err=True)
        return False
    return True


@asynccontextmanager
async def _registered(
    config: Config, session: Session, cipher: Cipher, application: Application, receiver: Receiver
) -> AsyncIterator[Webhook]:
    """Create a webhook for the receiver, and delete it at the end.

    Webhooks of demos that were killed are deleted first.
    """
    services = Services(session, Actor("demo"), ServiceSettings.from_config(config, cipher))
    async with session.transaction() as opened:
        webhooks = services.within(opened).webhooks
        for old in await webhooks.list(application.environment):
            if old.name == NAME:
                await webhooks.delete(old.id)
        form = NewWebhook(url=receiver.url, events=["*"], name=NAME)
        webhook = await webhooks.create(form, environment_id=application.environment)
    receiver.secret = webhook.signing_secret or ""
    try:
        yield webhook
    finally:
        async with session.transaction() as opened:
            await services.within(opened).webhooks.delete(webhook.id)


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
        made = await Tokens(opened, actor).create(form, environment_id=None)
    try:
        yield made.token or ""
    finally:
        async with session.transaction() as opened:
            await Tokens(opened, actor).revoke(made.id, environment_id=None)


async def _play(daemon: Daemon, performance: Coroutine[Any, Any, bool], otherwise: bool) -> bool:
    """Run the daemon and the performance together.

    Return the performance's result, or `otherwise` if it was interrupted.
    """
    async with asyncio.TaskGroup() as group:
        group.create_task(daemon.run(), name="daemon")
        performing = group.create_task(performance, name="performance")
        _handle_signals(daemon, performing)
        await asyncio.wait({performing})
        daemon.stop()
    return otherwise if performing.cancelled() else performing.result()


def _handle_signals(daemon: Daemon, performing: "asyncio.Task[bool]") -> None:
    """End the performance and drain the daemon on the first signal; do not wait on the second."""

    def stop() -> None:
        if performing.done():
            daemon.force()
        performing.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
