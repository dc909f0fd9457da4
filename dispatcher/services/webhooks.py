"""Create, change, delete and test webhooks. The engine and the store call them endpoints."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from secrets import token_hex
from typing import Any
from uuid import UUID, uuid4

import orjson

from dispatcher.config.sections import Limits
from dispatcher.core import ids
from dispatcher.core.endpoint_url import UrlError
from dispatcher.core.errors import ChangedError, ConflictError, InvalidError, NotFoundError
from dispatcher.core.model import RawJson
from dispatcher.core.pagination import PageBounds, fill_page
from dispatcher.encryption.cipher import Cipher, WrongKeyError
from dispatcher.services import webhook_columns
from dispatcher.services.audit_log import Actor, Journal
from dispatcher.services.inputs.webhooks import NewWebhook, WebhookChanges
from dispatcher.store.endpoints import Endpoints
from dispatcher.store.events import Events
from dispatcher.store.session import Queryable
from dispatcher.transport.egress import Guard

SECRET_BYTES = 32
AT_ONCE = 50
"""Webhooks read in one step. More would block the event loop and delay heartbeats."""
TEST_TYPE = "webhook.test"
SAMPLE = RawJson('{"test":true,"text":"If you can read this, your webhook works."}')


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook. Only a call that makes a secret sets `signing_secret`. `timeout` is in seconds."""

    id: UUID
    environment_id: str
    name: str
    description: str
    url: str
    events: tuple[str, ...]
    active: bool
    disabled_reason: str | None
    header_names: tuple[str, ...]
    rate_limit: int | None
    max_in_flight: int | None
    timeout: float | None
    retry: RawJson | None
    ordered: bool
    signature_schemes: tuple[str, ...] | None
    metadata: RawJson
    paused_until: datetime | None
    failing_since: datetime | None
    previous_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime
    signing_secret: str | None = field(default=None, repr=False)

    @property
    def revision(self) -> int:
        """Return a number that differs after every change by people and after disabling."""
        return _revision(self.updated_at)


@dataclass(frozen=True, slots=True)
class WebhookRules:
    """The rules for webhooks: allowed targets, enabled schemes, headers of the daemon itself."""

    guard: Guard
    schemes: tuple[str, ...]
    own_headers: Collection[str]
    limits: Limits = field(default_factory=Limits)


class Webhooks:
    """The webhooks. Call the methods that change something in a transaction.

    The methods raise the errors of core.errors. `cipher` encrypts secrets. It may be None for
    listing and deleting.
    """

    def __init__(
        self, session: Queryable, actor: Actor, *, cipher: Cipher | None, rules: WebhookRules
    ) -> None:
        self._endpoints = Endpoints(session)
        self._events = Events(session)
        self._journal = Journal(session, actor)
        self._sealing = cipher
        self._rules = rules

    async def create(self, form: NewWebhook, *, environment_id: str) -> Webhook:
        """Create a webhook for events emitted from now on. Return it with its secret."""
        self._check(form.given())
        host = self._target(form.url)[1]
        endpoint_id = uuid4()
        secret = form.signing_secret or token_hex(SECRET_BYTES)
        columns = {
            **webhook_columns.columns(form),
            "name": form.name or host,
            "url": self._target(form.url)[0],
            "ordered": form.ordered,
            "secret": self._sealed(secret, endpoint_id),
            "headers": self._sealed_headers(form.headers, endpoint_id),
        }
        version = await self._endpoints.next_version()
        await self._check_room(environment_id)
        if not await self._endpoints.create(endpoint_id, environment_id, version, columns):
            raise InvalidError.field(
                "environment_id", f"there is no environment {environment_id!r}"
            )
        await self._endpoints.subscribe(endpoint_id, form.events)
        await self._journal.note(
            "webhook.create", str(endpoint_id), environment_id, url=columns["url"]
        )
        return await self.get(endpoint_id, environment_id, secret=secret)

    async def get(
        self, webhook_id: UUID, environment_id: str | None, *, secret: str | None = None
    ) -> Webhook:
        """Return one webhook. Raise NotFoundError if there is none."""
        return self._webhook(await self._row(webhook_id, environment_id), secret)

    async def list(
        self,
        environment_id: str | None = None,
        *,
        after: UUID | None = None,
        limit: int | None = None,
    ) -> tuple[Webhook, ...]:
        """Return the first page, at most `limit` webhooks."""
        return (await self.page(environment_id, after=after, limit=limit))[0]

    async def page(
        self,
        environment_id: str | None = None,
        *,
        after: UUID | None = None,
        limit: int | None = None,
    ) -> tuple[tuple[Webhook, ...], UUID | None]:
        """Return webhooks that come after `after`, oldest first, and where the next page begins.

        The second value is None if there are no more. Without an environment, list those of all. A
        page has at most `limit` webhooks (by default limits.page) and about limits.page_bytes
        bytes.
        """
        limits = self._rules.limits
        read: Callable[..., Awaitable[Sequence[Mapping[str, Any]]]] = self._endpoints.list_of_all
        if environment_id is not None:
            read = partial(self._endpoints.list, environment_id)
        found, more = await fill_page(
            lambda last, step: read(after=last, limit=step),
            after,
            PageBounds(limit or limits.page, limits.page_bytes, AT_ONCE),
            key=lambda row: row["id"],
            size=webhook_columns.size,
            make=self._webhook,
        )
        return tuple(found), found[-1].id if more else None

    async def update(
        self,
        webhook_id: UUID,
        environment_id: str | None,
        form: WebhookChanges,
        *,
        revision: int | None = None,
    ) -> Webhook:
        """Change a webhook. Raise ChangedError if `revision` is given and no longer current."""
        given = form.given()
        self._check(given)
        next_version = await self._endpoints.next_version()
        row = await self._row(webhook_id, environment_id)
        if revision is not None and revision != _revision(row["updated_at"]):
            raise ChangedError(f"webhook {webhook_id} was changed since you read it")
        await self._endpoints.update(webhook_id, next_version, self._merged(row, form, given))
        if given.get("events"):
            await self._endpoints.subscribe(webhook_id, given["events"])
        await self._journal.note(
            "webhook.update", str(webhook_id), row["environment_id"], **_told(given)
        )
        return await self.get(webhook_id, environment_id)

    async def rotate_secret(
        self, webhook_id: UUID, environment_id: str | None, *, overlap_seconds: float = 0
    ) -> tuple[Webhook, int]:
        """Replace the secret. Return the webhook with the new one, and the version of the change.

        Attempts use the new secret as soon as every daemon has acknowledged the version.
        """
        version = await self._endpoints.next_version()
        row = await self._row(webhook_id, environment_id)
        secret = token_hex(SECRET_BYTES)
        sealed = self._sealed(secret, webhook_id)
        await self._endpoints.rotate(webhook_id, version, sealed, overlap_seconds)
        await self._journal.note(
            "webhook.rotate_secret",
            str(webhook_id),
            row["environment_id"],
            overlap_seconds=overlap_seconds,
        )
        return await self.get(webhook_id, environment_id, secret=secret), version

    async def delete(
        self, webhook_id: UUID, environment_id: str | None = None, *, revision: int | None = None
    ) -> None:
        """Delete a webhook. Its pending deliveries are cancelled within seconds."""
        next_version = await self._endpoints.next_version()
        row = await self._row(webhook_id, environment_id)
        if revision is not None and revision != _revision(row["updated_at"]):
            raise ChangedError(f"webhook {webhook_id} was changed since you read it")
        await self._endpoints.delete(webhook_id, next_version)
        await self._journal.note(
            "webhook.delete", str(webhook_id), row["environment_id"], url=row["url"]
        )

    async def test(
        self, webhook_id: UUID, environment_id: str | None, *, sample: RawJson | None = None
    ) -> str:
        """Emit a test event for it. Return the delivery's id. Raise ConflictError if disabled."""
        row = await self._row(webhook_id, environment_id)
        if not row["active"]:
            raise ConflictError("the webhook is disabled: a test would wait until it is enabled")
        _, delivery_id = await self._events.emit_directed(
            row["environment_id"], TEST_TYPE, sample or SAMPLE, webhook_id
        )
        name = ids.delivery_name(delivery_id)
        await self._journal.note(
            "webhook.test", str(webhook_id), row["environment_id"], delivery=name
        )
        return name

    async def _row(self, webhook_id: UUID, environment_id: str | None) -> Mapping[str, Any]:
        row = await self._endpoints.get(webhook_id, environment_id)
        if row is None:
            raise NotFoundError(f"there is no webhook {webhook_id}")
        return row

    async def _check_room(self, environment_id: str) -> None:
        most = self._rules.limits.webhooks
        if await self._endpoints.count(environment_id, most) >= most:
            raise ConflictError(
                f"the environment has {most} webhooks, the most (limits.webhooks): delete some first"
            )

    def _check(self, given: Mapping[str, Any]) -> None:
        """Raise InvalidError for input that contradicts this daemon's configuration."""
        if given.get("url") is not None:
            self._target(given["url"])
        for scheme in given.get("signature_schemes") or ():
            if scheme not in self._rules.schemes:
                raise InvalidError.field("signature_schemes", f"{scheme} is not in signing.schemes")
        webhook_columns.check(given, self._rules.limits)
        for name in given.get("headers") or ():
            if name.lower() in self._rules.own_headers:
                raise InvalidError.field("headers", f"{name} is written by the dispatcher itself")

    def _target(self, url: str) -> tuple[str, str]:
        """Return the URL as it was typed, and its host. Raise InvalidError if the URL is not allowed."""
        try:
            target = self._rules.guard.check_url(url)
        except UrlError as error:
            raise InvalidError.field("url", str(error)) from None
        return target.text, target.shown_host

    def _merged(
        self, row: Mapping[str, Any], form: WebhookChanges, given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the new row. null changes nothing in a column that cannot be empty."""
        kept = {"name", "description", "url", "active", "metadata"}
        asked = {
            n: v for n, v in webhook_columns.columns(form).items() if n.removesuffix("_ms") in given
        }
        merged = {**row, **{n: v for n, v in asked.items() if v is not None or n not in kept}}
        if given.get("url") is not None:
            merged["url"] = self._target(given["url"])[0]
        if "headers" in given:
            merged["headers"] = self._merged_headers(row, given["headers"])
        return merged

    def _merged_headers(
        self, row: Mapping[str, Any], changes: Mapping[str, str | None] | None
    ) -> bytes | None:
        if changes is None:
            return None
        changed = {name.lower() for name in changes}
        headers = {n: v for n, v in self._opened(row).items() if n.lower() not in changed}
        headers |= {name: value for name, value in changes.items() if value is not None}
        if len(headers) > self._rules.limits.headers:
            raise InvalidError.field("headers", f"are at most {self._rules.limits.headers}")
        return self._sealed_headers(headers, row["id"])

    def _opened(self, row: Mapping[str, Any]) -> dict[str, str]:
        if row["headers"] is None or self._sealing is None:
            return {}
        try:
            text = self._sealing.decrypt(row["headers"], context=row["id"].bytes)
        except WrongKeyError:
            return {}
        return dict(orjson.loads(text))

    def _sealed(self, secret: str, endpoint_id: UUID) -> bytes:
        if self._sealing is None:
            raise RuntimeError("there is no key to seal a secret with")
        return self._sealing.encrypt(secret.encode(), context=endpoint_id.bytes)

    def _sealed_headers(self, headers: Mapping[str, str], endpoint_id: UUID) -> bytes | None:
        return self._sealed(orjson.dumps(headers).decode(), endpoint_id) if headers else None

    def _webhook(self, row: Mapping[str, Any], secret: str | None = None) -> Webhook:
        schemes, timeout_ms = row["signature_schemes"], row["timeout_ms"]
        return Webhook(
            **{name: row[name] for name in _AS_STORED},
            events=tuple(row["events"]),
            header_names=tuple(self._opened(row)),
            timeout=timeout_ms / 1000 if timeout_ms else None,
            retry=RawJson(row["retry"]) if row["retry"] else None,
            signature_schemes=tuple(schemes) if schemes else None,
            metadata=RawJson(row["metadata"]),
            previous_secret_until=row["previous_until"],
            signing_secret=secret,
        )


_AS_STORED = (
    *("id", "environment_id", "name", "description", "url", "active", "disabled_reason"),
    *("rate_limit", "max_in_flight", "ordered", "paused_until", "failing_since"),
    *("created_at", "updated_at"),
)


def _revision(updated_at: datetime) -> int:
    return round(updated_at.timestamp() * 1_000_000)


def _told(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the audit detail: the changed fields, and new values that are no secret."""
    secret = {name: list(given[name] or ()) for name in ("headers",) if name in given}
    plain: Sequence[str] = ("name", "url", "events", "active", "rate_limit", "max_in_flight")
    return {
        "changed": sorted(given),
        **{name: given[name] for name in plain if name in given},
        **secret,
    }
