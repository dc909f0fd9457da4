"""Build a webhook, as people read it, from the row of an endpoint. Do no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from dispatcher.core.model import RawJson
from dispatcher.services.webhooks.webhook_credentials import WebhookAuthentication, WebhookTls
from dispatcher.store.queries.endpoints import EndpointRow


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
    authentication: WebhookAuthentication | None
    tls: WebhookTls | None
    signing_secret: str | None = field(default=None, repr=False)

    @classmethod
    def from_row(
        cls, row: EndpointRow, header_names: Iterable[str], secret: str | None = None
    ) -> "Webhook":
        """Return the webhook of an endpoint's row. The row holds the headers only encrypted."""
        schemes, timeout_ms = row["signature_schemes"], row["timeout_ms"]
        return cls(
            id=row["id"],
            environment_id=row["environment_id"],
            name=row["name"],
            description=row["description"],
            url=row["url"],
            active=row["active"],
            disabled_reason=row["disabled_reason"],
            rate_limit=row["rate_limit"],
            max_in_flight=row["max_in_flight"],
            ordered=row["ordered"],
            paused_until=row["resting_until"],
            failing_since=row["failing_since"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            events=tuple(row["events"]),
            header_names=tuple(header_names),
            timeout=timeout_ms / 1000 if timeout_ms else None,
            retry=RawJson(row["retry"]) if row["retry"] else None,
            signature_schemes=tuple(schemes) if schemes else None,
            metadata=RawJson(row["metadata"]),
            previous_secret_until=row["previous_until"],
            authentication=WebhookAuthentication.from_text(row["authentication"]),
            tls=WebhookTls.from_text(row["tls"]),
            signing_secret=secret,
        )

    @property
    def revision(self) -> int:
        """Return a number that differs after every change by people and after disabling."""
        return revision(self.updated_at)


def revision(updated_at: datetime) -> int:
    """Return the revision of a webhook that was last changed at this time."""
    return round(updated_at.timestamp() * 1_000_000)
