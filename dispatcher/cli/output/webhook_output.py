"""The output of commands about webhooks."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.output.tables import Column, clip, counted
from dispatcher.cli.params import escape_controls
from dispatcher.core import durations

if TYPE_CHECKING:
    from dispatcher.client import Resource


STATE_COLOURS = {"active": "green", "failing": "red", "resting": "yellow", "disabled": "red"}


def webhook_state(webhook: "Resource") -> str:
    """Return the state of a webhook, as the dashboard shows it and `--state` filters by it."""
    if not webhook.active:
        return "disabled"
    if webhook.paused_until:
        return "resting"
    return "failing" if webhook.failing_since else "active"


WEBHOOKS = (
    Column("ID", lambda item: item.id),
    Column(
        "STATE",
        webhook_state,
        colour=lambda item: STATE_COLOURS[webhook_state(item)],
    ),
    Column("NAME", lambda item: item.name, shrinks=1),
    Column("EVENTS", lambda item: ",".join(item.events), shrinks=2),
    Column("URL", lambda item: item.url, shrinks=2),
)


def preview_text(preview: "Resource") -> str:
    """Return the counts of a preview, for people."""
    more = "at least " if preview.more else ""
    return f"{more}{preview.failed} failed and {preview.missed} missed"


def print_webhook(webhook: "Resource", as_json: bool) -> None:
    """Print a webhook, with its secret if the resource has it."""
    if as_json:
        click.echo(json.dumps(webhook))
        return
    click.echo(webhook_text(webhook))
    if "secret" in webhook:
        click.echo(f"  secret  {webhook.secret}")
        click.echo("Copy the secret now. It is not shown again.")


def webhook_text(webhook: "Resource") -> str:
    """Return a few lines about a webhook, for people."""
    state = {
        "active": "active",
        "failing": f"failing since {webhook.failing_since}",
        "resting": f"resting until {webhook.paused_until}",
        "disabled": f"disabled ({webhook.disabled_reason or 'by hand'})",
    }[webhook_state(webhook)]
    return "\n".join(
        escape_controls(line)
        for line in (
            f"{webhook.id}  {webhook.name}",
            f"  url     {webhook.url}",
            f"  events  {', '.join(webhook.events)}",
            f"  state   {state}, in {webhook.environment_id}",
            *setting_lines(webhook),
            *credential_lines(webhook),
            *_overlap_lines(webhook),
        )
    )


_SETTINGS: Mapping[str, Callable[[Any], str]] = {
    "description": lambda text: f"about   {text}",
    "ordered": lambda _: "order   one delivery at a time, in order",
    "rateLimit": lambda limit: f"rate    at most {counted(limit, 'request')} a second",
    "maxInFlight": lambda limit: f"flight  at most {counted(limit, 'request')} at one time",
    "timeout": lambda seconds: f"timeout {seconds:g} s for an attempt",
    "retry": lambda retry: f"retry   {_retry_text(retry)}",
    "signatureSchemes": lambda names: f"signs   by {', '.join(names)}",
    "headerNames": lambda names: f"headers {', '.join(names)}; their values are not shown",
    "metadata": lambda metadata: f"meta    {json.dumps(metadata, ensure_ascii=False)}",
}
"""The line about each setting that can differ from its default, which is an empty value."""


def setting_lines(webhook: "Resource") -> Iterator[str]:
    """Yield a line for each setting that is not the default. Of headers, only names are known."""
    for name, text in _SETTINGS.items():
        if webhook.get(name):
            yield clip(escape_controls(f"  {text(webhook[name])}"))


def _retry_text(retry: Mapping[str, float | None]) -> str:
    """Return what a schedule has of its own, as in `2 retries, the first after 10 s`."""
    texts: Mapping[str, Callable[[float], str]] = {
        "retries": lambda number: counted(int(number), "retry", "retries"),
        "base": lambda seconds: f"the first after {durations.precise(seconds)}",
        "factor": lambda factor: f"each delay {factor:g} times the one before",
        "jitter": lambda part: f"changed at random by up to {part * 100:g} %",
        "cap": lambda seconds: f"no delay above {durations.precise(seconds)} before that",
    }
    values = {name: value for name in texts if (value := retry.get(name)) is not None}
    return ", ".join(texts[name](value) for name, value in values.items())


def _overlap_lines(webhook: "Resource") -> Iterator[str]:
    """Yield a line while the previous signing secret signs too."""
    until = webhook.get("previousSecretUntil")
    if until and datetime.fromisoformat(until) > datetime.now(UTC):
        yield f"  secrets two: the previous one also signs until {until}"


def old_secret_text(webhook: "Resource") -> str:
    """Return what the old secret of a webhook does after a rotation."""
    until = webhook.get("previousSecretUntil")
    if until:
        return (
            f"The old secret also signs until {until}. Put the new one into the receiver by then."
        )
    return "The old secret signs nothing from now on. Put the new one into the receiver now."


def credential_lines(webhook: "Resource") -> Iterator[str]:
    """Yield a line for each kind of credentials that a webhook has, without secrets."""
    authentication, tls = webhook.get("authentication"), webhook.get("tls")
    if authentication:
        server = authentication.get("tokenUrl")
        yield f"  auth    {authentication['type']}" + (f", tokens from {server}" if server else "")
    if not tls:
        return
    own = tls.get("certificate")
    if own:
        yield f"  tls     certificate {own['subject']}, valid until {own['notAfter']}"
    if tls.get("ca"):
        yield f"  tls     trusts {', '.join(authority['subject'] for authority in tls['ca'])}"
