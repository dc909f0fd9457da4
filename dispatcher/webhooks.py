"""Webhooks, as people know endpoints: what the command line, the API and the dashboard call."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_hex
from typing import Any
from uuid import UUID, uuid4

from dispatcher import patterns
from dispatcher.crypto import Cipher
from dispatcher.egress import Guard, UrlError
from dispatcher.store.endpoints import Endpoints

SECRET_BYTES = 32
LONGEST_NAME = 200


class InvalidWebhook(ValueError):
    """Something given for a webhook is wrong: `field` says what, the text why."""

    def __init__(self, field_: str, message: str) -> None:
        self.field = field_
        super().__init__(message)


class UnknownWebhook(LookupError):
    """There is no such webhook in this environment."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """`secret` is known only to the call that created it."""

    id: UUID
    environment_id: str
    name: str
    url: str
    events: tuple[str, ...]
    active: bool
    disabled_reason: str | None
    created_at: datetime
    updated_at: datetime | None
    secret: str | None = field(default=None, repr=False)


class Webhooks:
    """Raises InvalidWebhook and UnknownWebhook, and StoreUnavailable when the database is away.

    The `cipher` seals secrets: None will do for all but `create`.
    """

    def __init__(self, endpoints: Endpoints, cipher: Cipher | None, guard: Guard) -> None:
        self._endpoints = endpoints
        self._cipher = cipher
        self._guard = guard

    async def create(
        self, url: str, events: Sequence[str], *, environment_id: str, name: str | None = None
    ) -> Webhook:
        """A new endpoint that is sent what is emitted from now on; its secret is in the answer."""
        if self._cipher is None:
            raise RuntimeError("there is no key to seal a secret with")
        try:
            target = self._guard.check_url(url)
        except UrlError as error:
            raise InvalidWebhook("url", str(error)) from None
        wanted = _patterns(events)
        name = (target.host or url) if name is None else name
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise InvalidWebhook("name", f"must be 1 to {LONGEST_NAME} printable characters")
        endpoint_id, secret = uuid4(), token_hex(SECRET_BYTES)
        row = await self._endpoints.create(
            endpoint_id,
            environment_id=environment_id,
            name=name,
            url=str(target),
            events=wanted,
            secret=self._cipher.encrypt(secret.encode(), context=endpoint_id.bytes),
        )
        if row is None:
            raise InvalidWebhook("environment_id", f"there is no environment {environment_id!r}")
        return _webhook({**row, "events": wanted}, secret)

    async def list(self, environment_id: str | None = None) -> Sequence[Webhook]:
        """Oldest first; of all environments when none is named."""
        return [_webhook(row) for row in await self._endpoints.list(environment_id)]

    async def delete(self, webhook_id: UUID, environment_id: str | None = None) -> None:
        """What is pending for it is cancelled within seconds."""
        if not await self._endpoints.delete(webhook_id, environment_id):
            raise UnknownWebhook(f"there is no webhook {webhook_id}")


def _patterns(events: Sequence[str]) -> tuple[str, ...]:
    if not events:
        raise InvalidWebhook("events", "must name at least one event type or pattern")
    try:
        return patterns.simplify([patterns.parse_pattern(text) for text in events])
    except ValueError as error:
        raise InvalidWebhook("events", str(error)) from None


def _webhook(row: dict[str, Any], secret: str | None = None) -> Webhook:
    return Webhook(
        id=row["id"],
        environment_id=row["environment_id"],
        name=row["name"],
        url=row["url"],
        events=tuple(row["events"]),
        active=row["active"],
        disabled_reason=row.get("disabled_reason"),
        created_at=row["created_at"],
        updated_at=row.get("updated_at"),
        secret=secret,
    )
