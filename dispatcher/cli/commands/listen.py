"""`dispatcher listen`: a temporary receiver on this machine."""

import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from dispatcher.cli.errors import CommandError, MisuseError
from dispatcher.cli.output.tables import mark, printable
from dispatcher.cli.params import escape_controls
from dispatcher.cli.target import Target, call_api, with_target

if TYPE_CHECKING:
    import asyncio

    from aiohttp import ClientSession, web

    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

HOST = "127.0.0.1"
BLOCKED_POLL_SECONDS = 1.0
"""Seconds between two looks whether deliveries are blocked, until the first arrives."""
NOT_ALLOWED = f"""The daemon may not send to {HOST}, where this command listens. Allow it, in the
settings of the daemon and of this command:
DISPATCHER_EGRESS__ALLOW='["{HOST}/32"]'"""
BODY_LIMIT_BYTES = 16 * 1024 * 1024
"""The largest request body. Larger ones get a 413."""
FORWARD_LIMIT_SECONDS = 14.0
"""How long the receiver of --forward may take. It is less than the daemon's default timeout, so
that the daemon gets the 502 that says why."""
CONNECTION_HEADERS = frozenset(
    {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"}
)
"""Headers that belong to one connection and are not forwarded."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery that arrived. `fault` is the reason why its signature is invalid, or None."""

    headers: Mapping[str, str]
    body: bytes
    scheme: str | None
    fault: str | None

    def field(self, word: str) -> str:
        """Return the value of a header such as `X-…-Event`, with any prefix.

        Return `?` if it is absent.
        """
        values = (v for k, v in self.headers.items() if k.lower().endswith(f"-{word}"))
        return next(values, "?")


@click.command()
@click.option(
    "--events",
    default="*",
    show_default=True,
    metavar="LIST",
    help="The event types to listen for, such as 'user.*,role.created'.",
)
@click.option(
    "--forward", metavar="URL", help="Send each delivery on to this URL, and answer as it does."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    help="The port to listen on. Default: any free one.",
)
@click.option(
    "--url",
    metavar="URL",
    help="The URL at which the daemon reaches this port. Default: this machine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line.")
@with_target
def listen(
    target: Target, events: str, forward: str | None, port: int, url: str | None, as_json: bool
) -> None:
    """Show what a webhook would receive, with signatures verified, until Ctrl-C.

    Register a receiver on this machine as a webhook, and delete the webhook at the end. To reach a
    receiver on 127.0.0.1, the daemon needs 127.0.0.1/32 in egress.allow.
    """
    types = [text.strip() for text in events.split(",")]

    async def request(client: "AsyncApi") -> None:
        await _listen(client, Receiver(forward, as_json), types, port, url)

    call_api(target, request)


async def _listen(
    client: "AsyncApi", receiver: "Receiver", types: list[str], port: int, url: str | None
) -> None:
    """Register the receiver as a webhook, and delete the webhook after the first signal."""
    from dispatcher.cli.signals import stop_signal

    with stop_signal() as stop:
        async with receiver.at(port) as local:
            webhook = await _create(client, receiver, types, url, local)
            try:
                click.echo(
                    f"Listening on {local} as webhook {webhook.id}. Waiting for deliveries.",
                    err=True,
                )
                if url is None:
                    await _watch_for_blocked(client, webhook.id, stop, receiver)
                await stop.wait()
            finally:
                await _remove(client, webhook.id)


async def _create(
    client: "AsyncApi", receiver: "Receiver", types: list[str], url: str | None, local: str
) -> "Resource":
    """Create the webhook. Raise MisuseError if the daemon may not send to this machine."""
    from dispatcher.client import InvalidError

    try:
        return await client.webhooks.create(
            url or local, types, name="dispatcher listen", secret=receiver.secret
        )
    except InvalidError as error:
        if url is None and "egress.allow" in str(error.details):
            raise MisuseError(NOT_ALLOWED) from None
        raise


async def _watch_for_blocked(
    client: "AsyncApi", webhook_id: str, stop: "asyncio.Event", receiver: "Receiver"
) -> None:
    """Wait until a delivery arrives or the command stops. Say so if one is blocked, and return."""
    import asyncio

    while not stop.is_set() and not receiver.has_arrivals:
        with suppress(TimeoutError):
            async with asyncio.timeout(BLOCKED_POLL_SECONDS):
                await stop.wait()
        if await _is_blocked(client, webhook_id):
            click.echo(NOT_ALLOWED, err=True)
            return


async def _is_blocked(client: "AsyncApi", webhook_id: str) -> bool:
    """Return True if a delivery of the webhook is blocked, False also if there is no answer."""
    from dispatcher.client import ClientError
    from dispatcher.store.errors import StatementTimeoutError, StoreError

    try:
        page = await client.deliveries.list(webhook_id=webhook_id, error_code="blocked", limit=1)
    except (ClientError, StoreError, StatementTimeoutError):
        return False  # the next delivery, or the end of the command, shows what is wrong
    return bool(page)


async def _remove(client: "AsyncApi", webhook_id: str) -> None:
    """Delete the webhook. If that fails, print the command to delete it by hand."""
    from dispatcher.client import NotFoundError

    try:
        await client.webhooks.delete(webhook_id)
    except NotFoundError:  # another client has deleted it
        return
    except BaseException:
        click.echo(
            f"The webhook was not deleted. Run: dispatcher webhook delete {webhook_id}", err=True
        )
        raise
    click.echo(f"Deleted webhook {webhook_id}.", err=True)


class Receiver:
    """A receiver that answers 200 to a valid signature, else 400.

    With a URL to forward to, it answers to a valid delivery as that URL does.
    """

    def __init__(self, forward: str | None, as_json: bool) -> None:
        self.secret = secrets.token_hex(32)
        self._forward = forward
        self._show = _document if as_json else _text
        self._session: ClientSession | None = None
        self.has_arrivals = False

    @asynccontextmanager
    async def at(self, port: int) -> AsyncIterator[str]:
        """Serve on a port of HOST and yield the URL. Raise CommandError if the port is taken."""
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, web

        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        app.router.add_post("/", self._receive)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        timeout = ClientTimeout(total=FORWARD_LIMIT_SECONDS)
        try:
            async with ClientSession(timeout=timeout, cookie_jar=DummyCookieJar()) as session:
                self._session = session
                await _open(web.TCPSite(runner, HOST, port), port)
                host, opened = runner.addresses[0][:2]
                yield f"http://{host}:{opened}/"
        finally:
            await runner.cleanup()

    async def _receive(self, request: "web.Request") -> "web.Response":
        from aiohttp import web

        self.has_arrivals = True
        arrival = verify_delivery(request.headers, await request.read(), self.secret)
        status, note = 400 if arrival.fault else 200, None
        if self._forward and self._session and not arrival.fault:
            status, note = await _forward(self._session, self._forward, arrival)
        click.echo(self._show(arrival, status, note))
        return web.Response(status=status, text=arrival.fault or note)


async def _open(site: "web.TCPSite", port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CommandError(
            f"The port {port} cannot be opened on {HOST}: {reason}. Free it, or give another --port"
            " (0 takes any free one)."
        ) from None


def verify_delivery(headers: Mapping[str, str], body: bytes, secret: str) -> Arrival:
    """Return a delivery, verified as receivers do it.

    A signature without a time counts only if there is no other. Otherwise a delivery would pass
    here whose other signature receivers refuse.
    """
    from dispatcher.receiver import (
        SCHEMES,
        MissingSignatureError,
        SignatureVerificationError,
        verify,
    )

    try:
        try:
            scheme = verify(body, headers, secret)
        except MissingSignatureError:
            scheme = verify(body, headers, secret, schemes=SCHEMES)
    except SignatureVerificationError as error:
        return Arrival(headers, body, None, str(error))
    return Arrival(headers, body, scheme, None)


async def _forward(session: "ClientSession", url: str, arrival: Arrival) -> tuple[int, str | None]:
    """Forward a delivery. Return the status to answer with, and a message if it failed."""
    from aiohttp import ClientError

    headers = {k: v for k, v in arrival.headers.items() if k.lower() not in CONNECTION_HEADERS}
    try:
        async with session.post(
            url, data=arrival.body, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status, None
    except (ClientError, TimeoutError, ValueError) as error:
        return 502, f"Forwarding failed: {error or type(error).__name__}"


def _document(arrival: Arrival, status: int, note: str | None) -> str:
    return json.dumps(
        {
            "verified": arrival.fault is None,
            "scheme": arrival.scheme,
            "fault": arrival.fault or note,
            "event": arrival.field("event"),
            "delivery": arrival.field("delivery"),
            "attempt": arrival.field("attempt"),
            "answered": status,
            "headers": dict(arrival.headers),
            "body": arrival.body.decode(errors="replace"),
        }
    )


def _text(arrival: Arrival, status: int, note: str | None) -> str:
    head = f" {arrival.field('event')}  {arrival.field('delivery')}"
    arrow = printable("→", "->")
    result = (
        f"  attempt {arrival.field('attempt')}  {arrival.fault or arrival.scheme}  {arrow} {status}"
    )
    lines = [
        head + result,
        f"  {arrival.body.decode(errors='replace')}",
        *([f"  {note}"] if note else []),
    ]
    return mark(arrival.fault is None) + "\n".join(escape_controls(line) for line in lines)
