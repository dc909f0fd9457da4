"""Create, change, delete and test webhooks.

*Webhook* is the public noun, in the API, the dashboard and the command line. The engine and the
store call the same object an *endpoint*. For what people read, the services change the name.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from secrets import token_hex
from typing import Any
from uuid import UUID, uuid4

from dispatcher.core import ids
from dispatcher.core.errors import ChangedError, ConflictError, InvalidError
from dispatcher.core.model import RawJson
from dispatcher.core.pagination import Page, PageBounds, fill_page
from dispatcher.encryption.cipher import Cipher
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.services.inputs.webhook_inputs import NewWebhook, WebhookChanges
from dispatcher.services.public_ids import no_webhook
from dispatcher.services.webhooks import webhook_audit, webhook_columns
from dispatcher.services.webhooks.certificate_checks import NOTHING_CHECKED, CheckedTls
from dispatcher.services.webhooks.webhook_credentials import WebhookTls, check_exclusive
from dispatcher.services.webhooks.webhook_resource import Webhook
from dispatcher.services.webhooks.webhook_resource import revision as revision_of
from dispatcher.services.webhooks.webhook_rules import WebhookRules
from dispatcher.services.webhooks.webhook_secrets import WebhookSecrets
from dispatcher.store.queries.endpoints import EndpointRow, Endpoints, SealedEndpointRow
from dispatcher.store.queries.events import Events
from dispatcher.store.session import Queryable

SECRET_BYTES = 32
STEP_LIMIT_WEBHOOKS = 50
"""Webhooks read in one step. More would block the event loop and delay heartbeats."""
TEST_TYPE = "webhook.test"
SAMPLE = RawJson('{"test":true,"text":"If you can read this, your webhook works."}')


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
        self._secrets = WebhookSecrets(cipher)
        self._rules = rules

    async def create(
        self, form: NewWebhook, *, environment_id: str, checked: CheckedTls = NOTHING_CHECKED
    ) -> Webhook:
        """Create a webhook for events emitted from now on. Return it with its secret.

        `checked` is the result of checking the form's certificates.
        """
        self._rules.check(form.given())
        check_exclusive(form.headers, form.authentication)
        tls = checked.of(form.tls)
        url, host = self._rules.target(form.url)
        endpoint_id = uuid4()
        secret = form.signing_secret or token_hex(SECRET_BYTES)
        columns = {
            **webhook_columns.columns(form),
            "name": form.name or host,
            "url": url,
            "ordered": form.ordered,
            "secret": self._secrets.encrypt(secret, endpoint_id),
            "headers": self._secrets.encrypt_headers(form.headers, endpoint_id),
            **self._secrets.authentication(form.authentication, endpoint_id),
            **self._secrets.tls(form.tls, tls, endpoint_id),
        }
        version = await self._endpoints.next_version()
        limit = self._rules.limits.webhooks
        self._rules.check_room(await self._endpoints.count(environment_id, limit))
        if not await self._endpoints.create(endpoint_id, environment_id, version, columns):
            raise InvalidError.field(
                "environment_id", f"there is no environment {environment_id!r}"
            )
        await self._endpoints.subscribe(endpoint_id, form.events)
        webhook = await self.get(endpoint_id, environment_id, secret=secret)
        await self._journal.note(
            "webhook.create", str(endpoint_id), environment_id, **webhook_audit.created(webhook)
        )
        return webhook

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
        """Return the webhooks that come after `after`, oldest first: one page."""
        return (await self.page(environment_id, after=after, limit=limit)).items

    async def page(
        self,
        environment_id: str | None = None,
        *,
        after: UUID | None = None,
        limit: int | None = None,
    ) -> Page[Webhook, UUID]:
        """Return a page of the webhooks that come after `after`, oldest first.

        Without an environment, list those of all. A page has at most `limit` webhooks (by default
        limits.page) and about limits.page_bytes bytes.
        """
        return await self._read_page(
            lambda last, step: self._endpoints.list(environment_id, after=last, limit=step),
            after,
            limit,
        )

    async def _read_page(
        self,
        read: Callable[[UUID | None, int], Awaitable[Sequence[EndpointRow]]],
        after: UUID | None,
        limit: int | None,
    ) -> Page[Webhook, UUID]:
        limits = self._rules.limits
        return await fill_page(
            read,
            after,
            PageBounds(limit or limits.page, limits.page_bytes, STEP_LIMIT_WEBHOOKS),
            key=lambda row: row["id"],
            size=webhook_columns.size,
            make=self._webhook,
        )

    async def of_ids(self, environment_id: str, ids: Sequence[UUID]) -> tuple[Webhook, ...]:
        """Return webhooks in the order of their ids. Those that are gone are left out."""
        rows = await self._endpoints.for_people(environment_id, ids) if ids else ()
        return tuple(map(self._webhook, rows))

    async def page_of_ids(
        self, environment_id: str, ids: Sequence[UUID], limit: int
    ) -> Page[Webhook, UUID]:
        """Return a page of these webhooks, as `page` does. Those that are gone are left out."""
        left = list(ids)

        async def read(_: UUID | None, step: int) -> list[EndpointRow]:
            rows: list[EndpointRow] = []
            while left and len(rows) < step:
                batch = left[: step - len(rows)]
                del left[: len(batch)]
                rows += await self._endpoints.for_people(environment_id, batch)
            return rows

        return await self._read_page(read, None, limit)

    async def update(
        self,
        webhook_id: UUID,
        environment_id: str | None,
        form: WebhookChanges,
        *,
        revision: int | None = None,
        checked: CheckedTls = NOTHING_CHECKED,
    ) -> Webhook:
        """Change a webhook, and return it. Write nothing if it stays as it is.

        `checked` is the result of checking the form's certificates. Raise ChangedError if
        `revision` is given and no longer current.
        """
        changes = form.given()
        self._rules.check(changes)
        tls = checked.of(form.tls)
        row = await self._row(webhook_id, environment_id)
        _check_revision(row, revision)
        if self._merge(row, form, changes, tls) is None:
            return self._webhook(row)
        version = await self._endpoints.next_version()
        row = await self._row(webhook_id, environment_id)  # another change may have come before
        _check_revision(row, revision)
        merged = self._merge(row, form, changes, tls)
        if merged is None:
            return self._webhook(row)
        await self._endpoints.update(webhook_id, version, merged)
        if changes.get("events"):
            await self._endpoints.subscribe(webhook_id, changes["events"])
        webhook = await self.get(webhook_id, environment_id)
        detail = webhook_audit.updated(changes, self._webhook(row), webhook)
        await self._journal.note("webhook.update", str(webhook_id), row["environment_id"], **detail)
        return webhook

    async def version(self, webhook_id: UUID) -> int:
        """Return the version of the last change of a webhook."""
        version: int = (await self._row(webhook_id, None))["version"]
        return version

    async def rotate_secret(
        self, webhook_id: UUID, environment_id: str | None, *, overlap_seconds: float = 0
    ) -> tuple[Webhook, int]:
        """Replace the secret. Return the webhook with the new one, and the version of the change.

        Attempts use the new secret as soon as every daemon has acknowledged the version.
        """
        version = await self._endpoints.next_version()
        row = await self._row(webhook_id, environment_id)
        secret = token_hex(SECRET_BYTES)
        encrypted = self._secrets.encrypt(secret, webhook_id)
        await self._endpoints.rotate(webhook_id, version, encrypted, overlap_seconds)
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
        """Delete a webhook. Its pending deliveries are cancelled soon, by maintenance."""
        version = await self._endpoints.next_version()
        row = await self._row(webhook_id, environment_id)
        _check_revision(row, revision)
        await self._endpoints.lock(webhook_id)
        await self._endpoints.delete(webhook_id, version)
        await self._journal.note(
            "webhook.delete",
            str(webhook_id),
            row["environment_id"],
            name=row["name"],
            url=row["url"],
        )

    async def test(
        self, webhook_id: UUID, environment_id: str | None, *, sample: RawJson | None = None
    ) -> str:
        """Emit a test event for a webhook. Return the delivery's id.

        Raise ConflictError if the webhook is disabled.
        """
        row = await self._row(webhook_id, environment_id)
        if not row["active"]:
            raise ConflictError("The webhook is disabled. Enable it before sending a test.")
        delivery_id = await self._events.emit_directed(
            row["environment_id"], TEST_TYPE, sample or SAMPLE, webhook_id
        )
        if delivery_id is None:
            raise no_webhook(webhook_id)
        name = ids.delivery_name(delivery_id)
        await self._journal.note(
            "webhook.test", str(webhook_id), row["environment_id"], delivery=name
        )
        return name

    async def _row(self, webhook_id: UUID, environment_id: str | None) -> SealedEndpointRow:
        row = await self._endpoints.get(webhook_id, environment_id)
        if row is None:
            raise no_webhook(webhook_id)
        return row

    def _merge(
        self,
        row: SealedEndpointRow,
        form: WebhookChanges,
        changes: Mapping[str, Any],
        tls: WebhookTls | None,
    ) -> dict[str, object] | None:
        """Return the new row, None if it is the same. `tls` describes new certificates.

        Credentials that are given count as new ones.
        """
        merged = self._settings(row, form, changes) | self._credentials(row, form, changes, tls)
        return None if webhook_columns.are_equal(row, merged) else merged

    def _settings(
        self, row: SealedEndpointRow, form: WebhookChanges, changes: Mapping[str, Any]
    ) -> dict[str, object]:
        """Return the new row. null changes nothing in a column that cannot be empty."""
        never_empty = {"name", "description", "url", "active", "metadata"}
        columns = {
            name: value
            for name, value in webhook_columns.columns(form).items()
            if name.removesuffix("_ms") in changes
        }
        merged = {
            **row,
            **{
                name: value
                for name, value in columns.items()
                if value is not None or name not in never_empty
            },
        }
        if changes.get("url") is not None:
            merged["url"] = self._rules.target(changes["url"])[0]
        if changes.get("events"):
            merged["events"] = changes["events"]
        if "headers" in changes:
            merged["headers"] = self._merge_headers(row, changes["headers"])
        return merged

    def _merge_headers(
        self, row: EndpointRow, changes: Mapping[str, str | None] | None
    ) -> bytes | None:
        """Return the column of the headers: the stored one if they stay as they are."""
        before = self._secrets.headers(row)  # empty too if they cannot be read
        headers = self._secrets.merge_headers(row, changes)
        self._rules.check_headers(headers, before=before)
        if headers == before and (headers or row["headers"] is None):
            return row["headers"]
        return self._secrets.encrypt_headers(headers, row["id"])

    def _credentials(
        self,
        row: EndpointRow,
        form: WebhookChanges,
        changes: Mapping[str, Any],
        tls: WebhookTls | None,
    ) -> dict[str, Any]:
        """Return the columns of the credentials that change. `tls` describes new certificates."""
        columns: dict[str, Any] = {}
        if "authentication" in changes:
            columns |= self._secrets.authentication(form.authentication, row["id"])
        if "tls" in changes:
            columns |= self._secrets.tls(form.tls, tls, row["id"])
        headers = self._secrets.headers(row)
        if "headers" in changes:
            headers = self._secrets.merge_headers(row, changes["headers"])
        check_exclusive(headers, columns.get("authentication", row["authentication"]))
        return columns

    def _webhook(self, row: EndpointRow, secret: str | None = None) -> Webhook:
        return Webhook.from_row(row, self._secrets.headers(row), secret)


def _check_revision(row: EndpointRow, expected: int | None) -> None:
    """Raise ChangedError if a revision is expected and the stored one differs."""
    if expected is not None and expected != revision_of(row["updated_at"]):
        raise ChangedError(
            f"The webhook {row['id']} was changed since you read it. Read it again, then change it."
        )
